"""The playground in a real Chromium: a reader's own code, and links with code in them."""

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Error, Locator, Page

from button.script import lines
from runner.process import ROOT
from runner.scenes import SCENES
from tests.button.running import press, printed, run, scene, status
from tests.test_browser import AXE, switch
from tests.test_browser import load as load_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.audit,
    pytest.mark.long,
    pytest.mark.timeout(600),
]

FIRST = (ROOT / "examples/background_tasks/first_task.py").read_text()
WRONG = FIRST.replace("add_task(send_receipt)", "add_task(send_receipt())")
HOSTILE = "</textarea></script><img src=x onerror=window.owned=1><script>window.owned=1</script>"
MANY = "import fastapi\n" + "".join(f"x{n} = {n * n}  # {n:x}\n" for n in range(250))
"""Four kilobytes that do not get small."""


@pytest.fixture(scope="module")
def page(reader: BrowserContext) -> Iterator[Page]:
    """A tab, in which nothing is an error."""
    page = reader.new_page()
    errors: list[str] = []

    def keep(error: Error) -> None:
        errors.append(str(error))

    page.on("pageerror", keep)
    load_page(page, "/playground/")
    yield page
    page.close()
    assert errors == []


@pytest.fixture
def playground(page: Page) -> Locator:
    """The element, as a reader finds it."""
    return page.locator("run-playground")


def link(code: object, requests: object = "GET /") -> str:
    """The address of the playground with those in it."""
    packer = zlib.compressobj(wbits=-15)
    data = json.dumps({"code": code, "requests": requests}).encode()
    packed = packer.compress(data) + packer.flush()
    text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return f"/playground/#{text}"


def write(playground: Locator, code: str, requests: str = "POST /task") -> None:
    """Have that code and those requests in it, as if they were pasted."""
    area = playground.get_by_role("textbox", name="main.py")
    area.hover()
    editor = playground.locator(".cm-content")
    editor.click()
    playground.page.keyboard.press("Control+a")
    playground.page.keyboard.insert_text(code)
    playground.get_by_label("Requests").fill(requests)


def shown(playground: Locator) -> str:
    """The code in the editor."""
    return "\n".join(playground.locator(".cm-line").all_inner_texts())


def hints(playground: Locator) -> list[str]:
    return playground.locator(".hints li").all_inner_texts()


def test_it_begins_with_the_first_example_and_loads_no_editor(
    page: Page, playground: Locator
):
    urls = [response.url for response in load_page(page, "/playground/")]
    assert not [url for url in urls if "editor.js" in url or "pyodide" in url]
    area = playground.get_by_role("textbox", name="main.py")
    assert area.input_value() == FIRST
    assert len(run(page, playground).calls) == 1


def test_by_the_keyboard_alone(page: Page, playground: Locator):
    """Tab goes into the editor and out of it; what is typed is run."""
    load_page(page, "/playground/")
    playground.get_by_role("textbox", name="main.py").focus()
    playground.locator(".cm-focused").wait_for()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("print('typed')\n")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Requests"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Run"
    page.keyboard.press("Space")
    printed(playground, "typed")
    status(playground, "Finished")


FEW = f"""{FIRST}
import email.mime.text, pydantic.dataclasses, tomllib
print(email.mime.text.MIMEText("tea").get_content_type(), tomllib.loads("cups = 2"))
"""


def test_what_few_programs_import_is_fetched_at_the_first_import(
    page: Page, playground: Locator
):
    """Modules, packages, and parts of packages that are there: all with one request."""
    load_page(page, "/playground/")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(Path(request.url).name))
    run(page, playground)
    assert "later.zip" not in fetched
    write(playground, FEW)
    for _ in range(2):
        press(playground, "Run")
        printed(playground, "text/plain {'cups': 2}")
        status(playground, "Finished")
    assert fetched.count("later.zip") == 1


def test_what_cannot_be_fetched_is_an_import_error(page: Page, playground: Locator):
    load_page(page, "/playground/")
    page.context.route("**/later.zip", lambda route: route.abort())
    write(playground, FEW)
    press(playground, "Run")
    printed(playground, "ImportError: email.mime could not be loaded")
    page.context.unroute("**/later.zip")
    press(playground, "Run")
    printed(playground, "text/plain {'cups': 2}")


BLOCKING = """
import time
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()

async def compute() -> None:
    time.sleep(0.5)

@app.get("/")
async def read(tasks: BackgroundTasks) -> None:
    tasks.add_task(compute)
"""


@pytest.mark.parametrize("second", ["GET /", "sleep 0.1\nGET /"])
def test_a_client_waits_where_a_task_blocks_the_event_loop(
    page: Page, playground: Locator, second: str
):
    """`time.sleep` in an `async def` task stops the event loop, as under a server: whoever sends the next request waits."""
    load_page(page, "/playground/")
    write(playground, BLOCKING, f"GET /\n{second}")
    ran = run(page, playground)
    waits = ran.exchanges[1]
    assert waits.sent < ran.calls[0].end
    assert waits.received
    assert waits.received >= ran.calls[0].end


@pytest.mark.parametrize(
    ("code", "to_add"),
    [
        ("", "add app = FastAPI()"),
        ("api = FastAPI()", "add app = api"),
        ("orders = APIRouter()", "add app = FastAPI() and app.include_router(orders)"),
    ],
)
def test_without_an_app_it_says_what_to_add(
    page: Page, playground: Locator, code: str, to_add: str
):
    load_page(page, "/playground/")
    write(playground, f"from fastapi import APIRouter, FastAPI\n{code}")
    press(playground, "Run")
    printed(playground, f"There is no app: {to_add}")


def test_what_is_known_to_go_wrong_is_named_with_its_line_and_page(
    page: Page, playground: Locator
):
    write(playground, WRONG)
    press(playground, "Run")
    status(playground, "Finished")
    (hint,) = [hint for hint in hints(playground) if "is called here" in hint]
    line = WRONG.splitlines().index("    background_tasks.add_task(send_receipt())") + 1
    assert hint.startswith(f"Line {line}: ")
    assert playground.locator(".cm-lintRange-warning").count()
    playground.get_by_role("link", name="Why").last.click()
    page.wait_for_url("**/why-it-never-ran/**")


def test_what_cannot_run_here_is_named_before_it_fails(page: Page, playground: Locator):
    load_page(page, "/playground/")
    write(playground, "import sqlalchemy\n" + FIRST)
    press(playground, "Run")
    status(playground, "raised an exception")
    (hint,) = hints(playground)
    assert hint.startswith("Line 1: ")
    assert "sqlalchemy" in hint
    printed(playground, "ModuleNotFoundError")


ASKED = {
    "threading.Thread": "threading.Thread(target=print).start()",
    "threading.Timer": "threading.Timer(0, print).start()",
    "concurrent.futures.ThreadPoolExecutor": "concurrent.futures.ThreadPoolExecutor().submit(print)",
    "concurrent.futures.ProcessPoolExecutor": "concurrent.futures.ProcessPoolExecutor().submit(print)",
    "subprocess.run": "subprocess.run(['ls'])",
    "os.popen": "os.popen('ls')",
    "os.fork": "os.fork()",
    "socket.create_server": "socket.create_server(('127.0.0.1', 0))",
    "urllib.request.urlopen": "urllib.request.urlopen('http://127.0.0.1:9/')",
    "signal.alarm": "signal.alarm(1)",
    "anyio.from_thread.run": "anyio.from_thread.run(anyio.sleep, 0)",
    "asyncio.create_subprocess_exec": "asyncio.run(asyncio.create_subprocess_exec('ls'))",
    "asyncio.open_connection": "asyncio.run(asyncio.open_connection('127.0.0.1', 9))",
    "asyncio.start_server": "asyncio.run(asyncio.start_server(print, '127.0.0.1', 0))",
}
"""What limits name, and the code that asks for it."""


def test_what_is_said_to_be_missing_fails(page: Page, playground: Locator):
    load_page(page, "/playground/")
    tried = "".join(
        f"try:\n    {code}\nexcept BaseException as error:\n"
        f"    print('{name}:', type(error).__name__)\n"
        for name, code in ASKED.items()
    )
    modules = "asyncio, concurrent.futures, os, signal, socket, subprocess, threading"
    head = f"import {modules}, urllib.request\nimport anyio.from_thread\n"
    write(playground, head + tried + FIRST)
    press(playground, "Run")
    status(playground, "Finished")
    output = playground.get_by_role("region").inner_text().splitlines()
    failed = {line.partition(":")[0] for line in output if "Error" in line}
    assert failed >= ASKED.keys()
    named = {hint.split()[2].rstrip(":") for hint in hints(playground)}
    assert named >= ASKED.keys()


def test_hints_follow_what_is_typed(page: Page, playground: Locator):
    """Once Python is there they come and go while the reader writes."""
    write(playground, WRONG)
    playground.locator(".hints li", has_text="is called here").wait_for()
    write(playground, FIRST)
    playground.locator(".hints:empty").wait_for(state="attached")


def test_requests_that_mean_nothing_are_named(page: Page, playground: Locator):
    write(playground, FIRST, "POST /task\nPOST task")
    press(playground, "Run")
    printed(playground, "Requests, line 2: a request is a method and a path")


def test_a_link_brings_back_code_and_requests(page: Page, playground: Locator):
    """A link brings back code and requests, also four kilobytes that are not all ASCII. Nothing runs until Run is pressed."""
    code = MANY + "print('Grüße')\n"
    write(playground, code, "GET /ü\nsleep 1")
    press(playground, "Copy link")
    status(playground, "Copied")
    address = page.evaluate("navigator.clipboard.readText()")
    assert page.url == address
    page.goto("/conclusion/")
    page.goto(address)
    status(playground, "came with the link")
    assert playground.get_by_role("textbox", name="main.py").input_value() == code
    assert playground.get_by_label("Requests").input_value() == "GET /ü\nsleep 1"
    assert not playground.locator("pre.output").count()


@pytest.mark.parametrize(
    "address",
    [
        link(HOSTILE, HOSTILE),
        "/playground/#" + HOSTILE,
        "/playground/#%3Cscript%3Ewindow.owned=1%3C/script%3E",
        link(["print(1)"]),
        link({"__proto__": {"code": "x"}}, 1),
        link("x = 1\n" * 1_000_000),
        "/playground/#" + "A" * 1_000_000,
        "/playground/#____",
    ],
    ids=["script", "html", "quoted", "list", "object", "bomb", "long", "no-deflate"],
)
def test_a_hostile_link_only_shows_text(page: Page, playground: Locator, address: str):
    """A hostile link, with a script anywhere in it or a megabyte of anything, shows text or nothing; nothing runs."""
    page.goto("/conclusion/")
    page.goto(address)
    status(playground, "link")
    assert page.evaluate("window.owned") is None
    assert not page.locator("article img").count()
    assert not playground.locator("pre.output").count()


def test_an_endless_loop_is_stopped_by_hand(page: Page, playground: Locator):
    load_page(page, "/playground/")
    write(playground, "print('begun')\nwhile True: pass\n")
    press(playground, "Run")
    printed(playground, "begun")
    press(playground, "Stop")
    status(playground, "Stopped.")


def test_what_is_written_can_be_taken_home(page: Page, playground: Locator):
    write(playground, FIRST, "POST /task")
    saved = {}
    for name in ("main.py", "requests.sh"):
        with page.expect_download() as download:
            press(playground, f"Download {name}")
        assert download.value.suggested_filename == name
        saved[name] = Path(download.value.path()).read_text()
    assert saved["main.py"] == FIRST
    assert "curl -X POST http://127.0.0.1:8000/task" in saved["requests.sh"]


def test_an_example_is_opened_with_its_requests(page: Page, playground: Locator):
    load_page(page, "/multiple-tasks/")
    element = scene(page, "multiple_tasks/two_clients")
    press(element, "Edit")
    element.get_by_role("link", name="Open in the playground").hover()
    page.wait_for_function("() => document.querySelector('run-scene a:hover').hash")
    element.get_by_role("link", name="Open in the playground").click()
    status(playground, "came with the link")
    wanted = SCENES["multiple_tasks/two_clients"]
    assert playground.get_by_label("Requests").input_value() == lines(wanted)
    assert len(run(page, playground).exchanges) == len(wanted.requests)


def test_axe_finds_nothing_with_hints_and_a_figure(page: Page, playground: Locator):
    if not AXE.exists():
        pytest.skip("needs axe-core from npm: make node_modules/axe-core")
    load_page(page, "/playground/")
    write(playground, WRONG)
    run(page, playground)
    page.evaluate(AXE.read_text())
    for scheme in ("light", "dark"):
        switch(page, scheme)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        assert [rule["id"] for rule in found] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_a_screen(page: Page, playground: Locator, width: int):
    page.set_viewport_size({"width": width, "height": 1000})
    write(playground, WRONG)
    run(page, playground)
    assert page.evaluate("document.documentElement.scrollWidth") == width
