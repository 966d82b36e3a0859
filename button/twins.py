"""What stands in for threads where a browser cannot stop a function in its middle.

Without stack switching (JSPI) `time.sleep` in the one thread stops everything. So a
function that may sleep gets a twin: the same statements as ``async def``, in which each
call is awaited if what is called has a twin itself. What runs in an imitated thread is
the twin; called from anywhere else the function is what it was. Generators, lambdas and
what other packages call back have no twin and block while they sleep.
"""

import ast
import copy
import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from button.reading import yields
from recording.watching import TWIN

_CALL, _KEEP, _ORIGINAL = "__call_in_thread__", "__keep_twin__", "__original__"
_LOOK_AROUND = {"super", "locals", "globals", "vars", "dir", "eval", "exec"}
"""Built-in functions that see who calls them."""
_ROUTES = {"get", "post", "put", "patch", "delete", "head", "options", "api_route"}


def with_twins(tree: ast.Module) -> ast.Module:
    """The module, in which each function that may sleep has its twin."""
    _Twins(_that_may_sleep(tree)).visit(tree)
    return ast.fix_missing_locations(tree)


def names(sleep: Callable[[float], Awaitable[None]]) -> dict[str, Any]:
    """What such a module needs; `sleep` is awaited in place of `time.sleep`."""

    async def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        if function is time.sleep:
            return await sleep(*args, **kwargs)
        return await in_thread(function, *args, **kwargs)

    return {_CALL: call, _KEEP: _keep}


async def in_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call it as a thread would: its twin, if it has one."""
    while isinstance(function, functools.partial):
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        function = function.func
    if twin := getattr(function, TWIN, None):
        owner = getattr(function, "__self__", None)
        return await twin(*(() if owner is None else (owner,)), *args, **kwargs)
    return function(*args, **kwargs)


def _keep(function: Any, twin: Any) -> Any:
    setattr(function, TWIN, twin)
    return function


def _that_may_sleep(tree: ast.Module) -> set[str]:
    """The names of functions that reach `sleep`, and of `sleep` itself."""
    uses: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            uses.setdefault(node.name, set()).update(_names_in(node))
    found = {"sleep"}
    while more := {name for name, used in uses.items() if used & found} - found:
        found |= more
    return found


def _names_in(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


class _Twins(ast.NodeTransformer):
    """Puts behind a function its twin, of the same name, and keeps it in the function."""

    def __init__(self, may_sleep: set[str]) -> None:
        self._may_sleep = may_sleep

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.generic_visit(node)
        if (
            node.name not in self._may_sleep
            or yields(node.body)
            or not all(map(_is_route, node.decorator_list))
        ):
            return node
        plain = copy.deepcopy(node.args)
        for argument in ast.walk(plain):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        body = [_Awaits().visit(copy.deepcopy(statement)) for statement in node.body]
        before, twin, after = ast.parse(
            f"{_ORIGINAL} = {node.name}\n"
            f"async def {node.name}(): ...\n"
            f"{node.name} = {_KEEP}({_ORIGINAL}, {node.name})"
        ).body
        assert isinstance(twin, ast.AsyncFunctionDef)
        twin.args, twin.body = plain, body
        return [node, before, ast.copy_location(twin, node), after]


class _Awaits(ast.NodeTransformer):
    """Awaits each call of a function's own statements."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _LOOK_AROUND:
            return node
        call = ast.Call(
            ast.Name(_CALL, ast.Load()), [node.func, *node.args], node.keywords
        )
        return ast.copy_location(ast.Await(ast.copy_location(call, node)), node)

    def _leave(self, node: Any) -> Any:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _leave
    visit_Lambda = visit_GeneratorExp = _leave


def _is_route(decorator: ast.expr) -> bool:
    """Whether it is one such as ``@app.post("/task")``, which keeps the function itself."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in _ROUTES
