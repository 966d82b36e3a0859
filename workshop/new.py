"""Begins a page: ``make new PAGE=temporary-files``.

Writes the page, its example, its claims and its scene, and adds it to the nav and the front
page. Each has lines that say what to put there; until they are gone the page is red.
"""

import re
import sys
from pathlib import Path

from runner.process import ROOT
from workshop.mistakes import TO_DO
from workshop.pages import CONFIG, DOCS, EXAMPLES, PAGES, TESTS

_NAME = re.compile(r"(recipes/)?[a-z][a-z0-9]*(-[a-z0-9]+)*")

_PAGE = """\
---
description: "{todo}what is answered here, in one or two sentences for a search engine."
searches:
  - "{todo}what a reader types who needs this page; a line for each search."
---

# {title}

{todo}the answer, in two or three sentences, with the condition and the version.

```example
{example}.py
```

```timeline
{example}
```

```console
$ uvicorn main:app
$ curl -X POST http://127.0.0.1:8000/task
{{"message":"Task has been queued"}}
```

```console title="The server's terminal"
work: started
work: done
```

```proof
{claims}::test_the_task_runs_after_the_response
```
"""

_EXAMPLE = '''\
"""{todo}say in one line what to watch for."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def work() -> None:  # {todo}what the page is about; it prints what it does
    print("work: started")
    time.sleep(0.5)
    print("work: done")


@app.post("/task")
async def create_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(work)
    return {{"message": "Task has been queued"}}
'''

_CLAIMS = '''\
"""The statements of docs/{page}.md."""

from runner import client, serve


def test_the_task_runs_after_the_response():
    """{todo}the claim in the reader's words; the name of the test says the same."""
    with serve("{target}") as server:
        response = client.post(f"{{server.url}}/task")
        assert response.status_code == 200
        server.wait_for("work: done")
'''


def begin(page: str) -> list[Path]:
    """Write all that belongs to a page of that name; return the files in the order of work.

    Raises `ValueError` if the name is none for a page, or there is one.
    """
    if not _NAME.fullmatch(page):
        raise ValueError(
            f"{page}: name a page in small letters: make new PAGE=two-words"
        )
    if page in PAGES:
        raise ValueError(f"there is a docs/{page}.md: choose another name")
    name = page.replace("-", "_")
    example = name if "/" in name else f"{name}/first"
    claims = TESTS / f"test_{name.rpartition('/')[2]}.py"
    words = {
        "page": page,
        "title": page.rpartition("/")[2].replace("-", " ").capitalize(),
        "example": example,
        "claims": claims.relative_to(ROOT).as_posix(),
        "target": f"examples.{example.replace('/', '.')}:app",
        "todo": TO_DO,
    }
    written = {
        EXAMPLES / f"{example}.py": _EXAMPLE,
        claims: _CLAIMS,
        DOCS / f"{page}.md": _PAGE,
    }
    for file, text in written.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(**words))
    scenes = ROOT / "runner/scenes.py"
    _insert(
        scenes,
        "]\n\nSCENES = ",
        f'    # {TO_DO}requests for "{name}"; not_in_browser if Run would mislead\n'
        f'    Scene("{example}", (Request("POST", "/task"),)),\n',
    )
    _insert(
        CONFIG,
        "  - Conclusion: ",
        f"  - {words['title']}: {page}.md  # {TO_DO}put it under its heading\n",
    )
    _insert(
        DOCS / "index.md",
        "- Whole recipes: ",
        f"- [{TO_DO}what one can do after reading it]({page}.md);\n",
    )
    return [*written, scenes, CONFIG, DOCS / "index.md"]


def _insert(file: Path, before: str, line: str) -> None:
    """Add a line to a file, above the text that stands there."""
    above, found, below = file.read_text().partition(before)
    assert found, f"{file} has no {before!r}"
    file.write_text(f"{above}{line}{found}{below}")


def main(arguments: list[str]) -> int:
    """Begin a page, and say what to do; 2 for a wrong name."""
    try:
        files = begin(*arguments)
    except (TypeError, ValueError) as error:
        named = isinstance(error, ValueError)
        print(error if named else "name it: make new PAGE=two-words", file=sys.stderr)
        return 2
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if TO_DO in line:
                what = line.partition(TO_DO)[2].partition("](")[0].strip('"')
                print(f"{file.relative_to(ROOT).as_posix()}:{number}: {what}")
    print(f"then: make record, make page PAGE={arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
