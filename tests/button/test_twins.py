"""What stands in for threads where a browser cannot stop a function in its middle."""

import ast
import asyncio
import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from button.twins import in_thread, names, with_twins

SLEEPING = """
import time
from functools import partial

said = []

def nap(who, seconds=0.01):
    said.append(f"{who}: asleep")
    time.sleep(seconds)
    said.append(f"{who}: awake")
    return who

"""


def made(source: str) -> Any:
    """The module of `SLEEPING` and that source, with its twins."""
    module = ModuleType("main")
    vars(module).update(names(asyncio.sleep))
    tree = with_twins(ast.parse(SLEEPING + source))
    exec(compile(tree, "main.py", "exec"), vars(module))
    return module


def in_its_loop(coroutine: Any) -> Any:
    """What it returns; the thread of the tests may have a loop, of the browser's library."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result(30)


def at_once(module: Any, *calls: Any) -> list[str]:
    """What is said when all are called at the same time, as in threads."""

    async def call() -> None:
        await asyncio.gather(*map(in_thread, calls))

    in_its_loop(call())
    said: list[str] = module.said
    return said


OVERLAP = ["a: asleep", "b: asleep", "a: awake", "b: awake"]
TURNS = ["a: asleep", "a: awake", "b: asleep", "b: awake"]


def partials(function: Any) -> list[Any]:
    return [functools.partial(function, who) for who in "ab"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("nap", ""),
        ("outer", "def outer(who):\n    return nap(who)"),
        ("outer", "def outer(who):\n    [nap(each) for each in who]"),
        (
            "outer",
            "def outer(who):\n    for each in map(str, [who]):\n        nap(each)",
        ),
        ("outer", "def outer(who):\n    partial(nap, who)()"),
        (
            "outer",
            "def outer(who, do=nap):\n    with open('/dev/null'):\n        do(who)",
        ),
        ("outer", "def outer(who):\n    def inner():\n        nap(who)\n    inner()"),
        (
            "bed",
            "class Bed:\n    def lie(self, who):\n        nap(who)\nbed = Bed().lie",
        ),
        (
            "outer",
            "def outer(who):\n    try:\n        nap(who)\n    finally:\n        x = 1",
        ),
    ],
)
def test_what_sleeps_lets_others_go_on(name: str, source: str):
    """Also in what it calls, however it is called."""
    module = made(source)
    assert at_once(module, *partials(getattr(module, name))) == OVERLAP


@pytest.mark.parametrize(
    "source",
    [
        "def outer(who):\n    list(nap(each) for each in who)",
        "outer = lambda who: nap(who)",
        "import functools\n@functools.cache\ndef outer(who):\n    nap(who)",
        "def naps(who):\n    yield nap(who)\ndef outer(who):\n    list(naps(who))",
    ],
)
def test_what_has_no_twin_blocks_while_it_sleeps(source: str):
    module = made(source)
    assert at_once(module, *partials(module.outer)) == TURNS


def test_called_from_anywhere_else_a_function_is_what_it_was():
    """It returns its value at once, and blocks while it sleeps."""
    module = made("async def route(who):\n    return nap(who)")
    assert module.nap("a") == "a"

    async def both() -> list[str]:
        return await asyncio.gather(module.route("b"), module.route("c"))

    assert in_its_loop(both()) == ["b", "c"]
    assert module.said[2:4] == ["b: asleep", "b: awake"]


def test_an_exception_is_told_with_the_functions_name_and_line():
    module = made("def outer(who):\n    nap(who)\n    raise ValueError(who)")
    line = SLEEPING.count("\n") + 3
    with pytest.raises(ValueError, match="a") as error:
        in_its_loop(in_thread(module.outer, "a"))
    last = error.traceback[-1]
    assert (last.name, last.lineno + 1) == ("outer", line)


def test_a_route_keeps_its_function_and_its_parameters():
    """FastAPI reads the annotations of the function itself."""
    module = made(
        "class App:\n"
        "    def get(self, path):\n"
        "        return lambda function: self.routes.append(function) or function\n"
        "    routes = []\n"
        "app = App()\n"
        '@app.get("/nap")\n'
        "def route(who: str, seconds: float = 0.01) -> str:\n"
        "    return nap(who, seconds=seconds)\n"
    )
    (route,) = module.app.routes
    assert route is module.route
    assert list(route.__annotations__) == ["who", "seconds", "return"]
    assert at_once(module, *partials(route)) == OVERLAP


def test_real_threads_are_left_alone():
    """`time.sleep` itself is not changed: only calls of functions with a twin are."""
    module = made("")
    thread = threading.Thread(target=module.nap, args=("a",))
    thread.start()
    thread.join(10)
    assert module.said == ["a: asleep", "a: awake"]
    assert not asyncio.iscoroutinefunction(time.sleep)
