"""The built pages in a real Chromium."""

import gzip
import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Response

from runner.process import ROOT

pytestmark = pytest.mark.slow

AXE = ROOT / "node_modules/axe-core/axe.min.js"
PATHS = [
    "/" + f"{page.relative_to(ROOT / 'docs').with_suffix('')}/".removesuffix("index/")
    for page in sorted((ROOT / "docs").rglob("*.md"))
]
LESS_OF_THE_SAME = """() => {
    const seen = new Set()
    for (const token of document.querySelectorAll(".highlight span[class]")) {
        if (seen.has(token.className)) token.remove()
        seen.add(token.className)
    }
    for (const proof of [...document.querySelectorAll("details")].slice(0, 3)) proof.open = true
}"""
"""Opens three proofs, and leaves one token of each colour in all code: axe takes long."""
MOST_PER_PAGE = 90_000
"""Bytes that a page may weigh, compressed, with everything it loads."""


@pytest.fixture(scope="module")
def tab(browser: Browser, site_url: str) -> Iterator[Page]:
    """One tab for all tests, without a cache, of a reader who may read the clipboard."""
    context = browser.new_context(base_url=site_url)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    network = context.new_cdp_session(tab)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    yield tab
    context.close()


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """That tab as it was opened. Fails on errors in the console."""
    errors: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    def fail(error: Error) -> None:
        errors.append(str(error))

    tab.set_viewport_size({"width": 1280, "height": 1000})
    tab.emulate_media(color_scheme="light")
    tab.on("console", listen)
    tab.on("pageerror", fail)
    yield tab
    tab.remove_listener("console", listen)
    tab.remove_listener("pageerror", fail)
    assert errors == []


@pytest.mark.parametrize("path", [*PATHS, "/404.html"])
def test_a_page_is_accessible_light_copied_byte_for_byte_and_fits(
    page: Page, site_url: str, path: str
):
    """axe finds nothing, nothing comes from another host, and it fits a small screen."""
    if not AXE.exists():
        pytest.skip("needs axe-core from npm: make node_modules/axe-core")
    responses: list[Response] = []

    def keep(response: Response) -> None:
        responses.append(response)

    page.set_viewport_size({"width": 1280, "height": 3000})  # no sidebar scrolls
    page.on("response", keep)
    page.goto(path, wait_until="networkidle")
    page.remove_listener("response", keep)
    weights = {r.url: len(gzip.compress(r.body(), mtime=0)) for r in responses}
    assert [url for url in weights if not url.startswith(site_url)] == []
    assert sum(weights.values()) < MOST_PER_PAGE, weights
    for block in page.locator("article > .language-python").all()[:1]:
        block.get_by_title("Copy to clipboard").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == (ROOT / block.locator(".filename").inner_text()).read_text()
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.evaluate(LESS_OF_THE_SAME)
    page.mouse.move(0, 0)
    page.evaluate(  # "Copied to clipboard" goes away by itself, after a while
        "document.querySelector('.md-dialog').replaceChildren()"
    )
    page.set_viewport_size({"width": 1280, "height": 3000})
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": 1280, "height": height})  # nothing overlaps
    page.evaluate(AXE.read_text())
    assert found_by_axe(page, rules="undefined") == []
    assert faint_texts_of_figures(page) == []
    page.emulate_media(color_scheme="dark")
    assert found_by_axe(page, rules="['color-contrast']") == []
    assert faint_texts_of_figures(page) == []


def found_by_axe(page: Page, rules: str) -> list[tuple[str, str, str]]:
    """What axe finds wrong, and what it cannot decide."""
    page.evaluate(  # half faded in, a colour cannot be judged
        "Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() => 0)"
    )
    options = f"{{runOnly: {rules}, resultTypes: ['violations', 'incomplete']}}"
    result = page.evaluate(f"axe.run({options})")
    return [
        (kind, rule["id"], node["html"])
        for kind in ("violations", "incomplete")
        for rule in result[kind]
        for node in rule["nodes"]
        if not node["html"].startswith("<text")  # in a figure: measured below
    ]


def faint_texts_of_figures(page: Page) -> list[str]:
    """The colours in figures with a contrast below 4.5 to the page."""
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    fills = page.evaluate(
        "[...document.querySelectorAll('svg.timeline text')]"
        ".map(text => getComputedStyle(text).fill)"
    )
    return [fill for fill in set(fills) if contrast(fill, paper) < 4.5]


def contrast(above: str, below: str) -> float:
    """The contrast of two colours as CSS computes them (WCAG 2.2, 1.4.3)."""
    (*paper, _), (*ink, alpha) = (
        [*map(float, re.findall(r"[\d.]+", colour)), 1.0][:4]
        for colour in (below, above)
    )
    mixed = [i * alpha + p * (1 - alpha) for i, p in zip(ink, paper, strict=True)]
    light, dark = sorted(map(_luminance, (paper, mixed)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: list[float]) -> float:
    parts = [part / 255 for part in colour]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_copying_a_session_gives_what_is_typed(page: Page):
    page.goto("/background-tasks/")
    block = page.locator(".language-console", has_text="POST").first
    block.get_by_title("Copy to clipboard").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "curl -X POST http://127.0.0.1:8000/task"


def test_a_link_to_a_proof_opens_it(page: Page):
    page.goto("/conclusion/")
    page.get_by_role("link", name="one after another").click()
    page.wait_for_url("**/multiple-tasks/#test_tasks_of_one_request*")
    page.locator("details.proof[open]").wait_for()


SEARCHES = {
    "background-tasks": [
        "pass arguments to the task",
    ],
    "multiple-tasks": [
        "run several at the same time",
    ],
    "conclusion": ["computationally expensive"],
    "def-or-async": [
        "def or async def",
        "background task blocks other requests",
        "coroutine was never awaited",
        "thread limit 40",
    ],
    "when-it-runs": [
        "swagger waits for background task",
        "client disconnects",
        "StreamingResponse background",
    ],
    "when-a-task-fails": [
        "exception in background task",
        "exception handler not called",
        "server disconnected",
        "retry",
        "sentry",
    ],
    "why-it-never-ran": [
        "background task not running",
        "HTTPException background task",
        "websocket",
    ],
    "sessions-and-dependencies": [
        "task can't see the row",
        "database session in background task",
        "QueuePool limit",
        "DetachedInstanceError",
        "when does a dependency with yield end",
    ],
    "context-and-logs": [
        "request id",
        "opentelemetry span",
        "duration of a task",
    ],
    "progress-and-results": [
        "progress bar",
        "status of a background task",
        "server-sent events",
        "cancel background task",
        "status 404 several workers",
    ],
    "at-the-same-time": [
        "create_task disappears",
        "task was destroyed but it is pending",
        "queue full 503",
    ],
    "heavy-work": [
        "CPU bound",
        "process pool",
        "BrokenProcessPool",
        "address already in use",
    ],
    "schedules": [
        "cron",
        "scheduled job runs twice",
        "daylight saving time",
    ],
    "restarts": [
        "SIGTERM",
        "deploy kills the worker",
        "grace period",
        "gunicorn worker timeout",
    ],
    "testing": [
        "test background tasks",
        "TestClient waits",
        "httpx2",
    ],
    "durable-on-one-machine": [
        "jobs survive a crash",
        "jobs table",
        "without redis",
        "dbos",
    ],
    "what-is-lost": [
        "worker killed mid-job",
        "at least once delivery",
        "idempotent",
        "charged twice",
    ],
    "many-machines": [
        "taskiq",
        "rabbitmq",
        "dead letter queue",
    ],
    "with-postgresql": [
        "procrastinate",
        "enqueue in the same transaction",
    ],
    "celery": [
        "celery",
        "acks_late",
        "result.get() blocks",
    ],
    "arq": ["arq", "job_timeout"],
    "dramatiq": ["dramatiq"],
    "rq": ["rq worker"],
    "choosing": ["which queue", "compare queues"],
    "recipes/welcome-mail": ["send email"],
    "recipes/thumbnails": ["image upload"],
    "recipes/webhook": ["webhook signature"],
    "recipes/csv-import": ["import csv"],
    "recipes/report-download": ["download report"],
}
"""What a reader types, by the page that answers it."""


def test_a_search_in_a_readers_words_finds_the_page(page: Page):
    box = page.get_by_role("textbox", name="Search")
    links = page.locator(".md-search-result__link")
    wanted = {words: name for name, searches in SEARCHES.items() for words in searches}
    found = {}
    page.goto("/")
    for words in wanted:
        for typed in ("", words):
            box.fill(typed)
            box.press("End")  # Material listens to keys
            links.first.wait_for(state="visible" if typed else "detached")
        url = urljoin(page.url, links.first.get_attribute("href"))
        path = url.removeprefix(page.url).split("?")[0].split("#")[0]
        found[words] = path.strip("/")
    assert {w: found[w] for w in wanted if found[w] != wanted[w]} == {}


def test_the_site_can_be_read_without_javascript(browser: Browser, site_url: str):
    context = browser.new_context(base_url=site_url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/multiple-tasks/")
    proof = page.locator("details.proof").first
    proof.locator("summary").click()
    assert proof.locator("code").last.is_visible()
    context.close()
