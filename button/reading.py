"""Reads the source of an app: its names, routes, dependencies, and calls of `add_task`.

What cannot be told for certain is told as nothing: a name that two statements bind, a
function that comes from elsewhere or that a decorator changes.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef
Binding = ast.AST | str | None
"""What gave a name its value: a def, a class, a parameter, an assigned expression, the dotted
name of an import; None: it cannot be told."""

TASKS = (
    "fastapi.BackgroundTasks",
    "fastapi.background.BackgroundTasks",
    "starlette.background.BackgroundTasks",
)
_DEPENDS = ("fastapi.Depends", "fastapi.Security", "fastapi.params.Depends")
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_AWAITED = ("asyncio.sleep", "anyio.sleep")

YIELD = ast.Yield()
"""Stands for every ``yield``, in what has happened before an `Event`."""


@dataclass(frozen=True)
class Add:
    """A call of `add_task` on a `BackgroundTasks`."""

    call: ast.Call
    task: ast.expr
    """The function, or what stands in its place."""
    tasks: ast.arg | ast.Call
    """The parameter that FastAPI fills in, or the `BackgroundTasks()` that somebody made."""
    function: Function
    """Where it is called."""

    @property
    def name(self) -> str:
        """The task in the words of the code."""
        return name_of(self.task)


@dataclass(frozen=True)
class Event:
    """A call of `add_task`, a ``return``, or a ``raise`` that leaves the function."""

    node: ast.AST
    before: frozenset[ast.AST]
    """What has happened by then on every path: calls of `add_task`, and `YIELD`."""


@dataclass(eq=False)
class _Scope:
    """The names of a module, a class or a function."""

    node: ast.AST
    outer: "_Scope | None" = None
    names: dict[str, list[Binding]] = field(default_factory=dict)

    def bind(self, name: str, value: Binding) -> None:
        values = self.names.setdefault(name, [])
        if not (isinstance(value, str) and value in values):
            values.append(value)


class File:
    """An app's source, read. Raises `SyntaxError`."""

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.unread: set[ast.AST] = set()
        """What no import runs: below ``TYPE_CHECKING`` and ``__name__ == "__main__"``."""
        self._scopes: dict[ast.AST, _Scope] = {}
        self._read(self.tree, _Scope(self.tree))
        self.nodes = list(self._scopes)
        self.functions = [n for n in self.nodes if isinstance(n, Function)]
        self.calls = [n for n in self.nodes if isinstance(n, ast.Call)]
        self.depends = [c for c in self.calls if self.origin(c.func) in _DEPENDS]
        self.routes = {
            function: kind
            for function in self.functions
            for decorator in function.decorator_list
            if (kind := _route(decorator))
        }
        """The endpoints, each with "http" or "websocket"."""
        self.endpoints = [f for f, kind in self.routes.items() if kind == "http"]
        """Those that answer with a response."""
        self.providers = [
            f
            for f in self.functions
            if any(self.provider(d) is f for d in self.depends)
        ]
        """The functions that some `Depends(...)` names."""
        self.adds = list(self._adds())

    # Names.

    def around(self, node: ast.AST) -> ast.AST:
        """The module, class, function or lambda in which a node stands."""
        return self._scopes[node].node

    def meaning(self, node: ast.AST | None) -> Binding:
        """What gave a name its value, where only one thing did."""
        if not isinstance(node, ast.Name):
            return None
        start = self._scopes[node]
        scope: _Scope | None = start
        while scope:
            reaches = scope is start or not isinstance(scope.node, ast.ClassDef)
            if reaches and (values := scope.names.get(node.id)):
                return values[0] if len(values) == 1 else None
            scope = scope.outer
        return f"builtins.{node.id}"

    def origin(self, node: ast.AST | None) -> str:
        """The dotted name of what is imported or built in, such as ``asyncio.sleep``, or ""."""
        if isinstance(node, ast.Attribute):
            owner = self.origin(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        meant = self.meaning(node)
        return meant if isinstance(meant, str) else ""

    def function(self, node: ast.expr) -> Function | None:
        """The function of this file that a name stands for, unless a decorator changes it."""
        meant = self.meaning(self.value(node))
        plain = isinstance(meant, Function) and not meant.decorator_list
        return meant if plain else None  # type: ignore[return-value]

    def value(self, node: ast.expr) -> ast.expr:
        """The expression that a name was given; any other expression itself."""
        meant = self.meaning(node)
        return meant if isinstance(meant, ast.expr) else node

    def is_coroutine(self, node: ast.AST | None) -> bool:
        """Whether it is a call that makes a coroutine."""
        if not isinstance(node, ast.Call):
            return False
        called = self.function(node.func)
        if isinstance(called, ast.AsyncFunctionDef):
            return not yields(called.body)
        return self.origin(node.func) in _AWAITED

    # FastAPI's.

    def are_tasks(self, annotation: ast.expr | None) -> bool:
        """Whether FastAPI fills in its `BackgroundTasks` for this annotation."""
        match annotation:
            case ast.Constant(value=str(text)):
                return text.rpartition(".")[2] == "BackgroundTasks"
            case ast.Subscript(value=of, slice=ast.Tuple(elts=[first, *_])):
                return self.origin(of).endswith(".Annotated") and self.are_tasks(first)
        if self.origin(annotation) in TASKS:
            return True
        meant = self.meaning(annotation)
        if isinstance(meant, ast.ClassDef):
            return any(map(self.are_tasks, meant.bases))
        return isinstance(meant, ast.expr) and self.are_tasks(meant)

    def default(self, parameter: ast.arg) -> ast.expr | None:
        """The default of a parameter."""
        around = self.around(parameter)
        assert isinstance(around, Function | ast.Lambda)
        return _defaults(around.args).get(parameter)

    def dependency(self, parameter: ast.AST | Binding) -> ast.Call | None:
        """The `Depends(...)` of a parameter: its default, or in `Annotated`, or in an alias of that."""
        if not isinstance(parameter, ast.arg):
            return None
        marks: list[ast.AST | None] = [self.default(parameter)]
        annotation = parameter.annotation and self.value(parameter.annotation)
        match annotation:
            case ast.Subscript(slice=ast.Tuple(elts=[_, *rest])):
                marks += rest
        return next((m for m in marks if m in self.depends), None)

    def provider(self, depends: ast.Call) -> Function | None:
        """The function of this file that a `Depends(...)` names."""
        given = depends.args[0] if depends.args else keyword(depends, "dependency")
        meant = self.meaning(given)
        return meant if isinstance(meant, Function) else None

    def events(self, function: Function) -> list[Event]:
        """What is reached in a function, and what has happened by then."""
        added = {a.call for a in self.adds if isinstance(a.tasks, ast.arg)}
        walk = _Walk(added)
        walk.through(function.body, frozenset(), caught=False)
        return walk.events

    def _adds(self) -> Iterator[Add]:
        kept = {
            (class_of, attribute): parameter
            for node in self.nodes
            if isinstance(node, ast.Assign)
            and (attribute := _of_self(node.targets[0]))
            and (class_of := self._class_of(node))
            and isinstance(parameter := self.meaning(node.value), ast.arg)
        }
        for call in self.calls:
            if not isinstance(call.func, ast.Attribute) or call.func.attr != "add_task":
                continue
            on = call.func.value
            tasks = self.meaning(on) if isinstance(on, ast.Name) else on
            attribute, class_of = _of_self(on), self._class_of(call)
            if attribute and class_of:
                tasks = kept.get((class_of, attribute))
            task = call.args[0] if call.args else keyword(call, "func")
            function = self.around(call)
            if not task or not isinstance(function, Function):
                continue
            match tasks:
                case ast.arg(annotation=a) if self.are_tasks(a):
                    yield Add(call, task, tasks, function)
                case ast.Call(func=f) if self.are_tasks(f):
                    yield Add(call, task, tasks, function)

    def _class_of(self, node: ast.AST) -> ast.AST | None:
        outer = self._scopes[node].outer
        return outer.node if outer and isinstance(outer.node, ast.ClassDef) else None

    # The scope of each node.

    def _read(self, node: ast.AST, scope: _Scope) -> None:
        self._scopes[node] = scope
        inner, inside = scope, set[ast.AST]()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                scope.bind(node.name, node)
                inner, inside = _Scope(node, scope), {*node.body}
            case ast.Lambda():
                inner, inside = _Scope(node, scope), {node.body}
            case ast.Import(names=names):
                for alias in names:
                    top = alias.name.partition(".")[0]
                    scope.bind(alias.asname or top, alias.name if alias.asname else top)
            case ast.ImportFrom(module=module, names=names, level=level):
                for alias in names:
                    origin = f"{'.' * level}{module or ''}.{alias.name}"
                    scope.bind(alias.asname or alias.name, origin)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ):
                scope.bind(name, value)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self._share(names, scope)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                scope.bind(name, None)
            case ast.If(test=test, body=body) if _is_unread(test):
                self.unread.update(n for part in body for n in ast.walk(part))
        if isinstance(node, Function | ast.Lambda):
            inside |= set(parameters(node.args))
            for parameter in parameters(node.args):
                inner.bind(parameter.arg, parameter)
            for star in filter(None, (node.args.vararg, node.args.kwarg)):
                inner.bind(star.arg, None)
        bound = _target(node)
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if (
                    child is not bound
                ):
                    scope.bind(name, None)
            if isinstance(child, ast.arguments):
                self._scopes[child] = scope
                for part in ast.iter_child_nodes(child):
                    self._read(part, inner if part in inside else scope)
            else:
                self._read(child, inner if child in inside else scope)

    def _share(self, names: list[str], scope: _Scope | None) -> None:
        while scope:
            for name in names:
                scope.bind(name, None)
            scope = scope.outer


_State = frozenset[ast.AST]


class _Walk:
    """Goes through the statements of a function, and keeps what is true on every path."""

    def __init__(self, adds: set[ast.Call]) -> None:
        self._adds = adds
        self.events: list[Event] = []

    def through(
        self, body: list[ast.stmt], state: _State | None, caught: bool
    ) -> _State | None:
        """What has happened after a block; None: nothing comes after it.

        `caught`: an exception there does not leave the function.
        """
        for node in body:
            if state is None:
                return None
            state = self._after(node, state, caught)
        return state

    def _after(self, node: ast.stmt, state: _State, caught: bool) -> _State | None:
        match node:
            case ast.If():
                state = self._evaluated(node.test, state)
                ends = [
                    self.through(b, state, caught) for b in (node.body, node.orelse)
                ]
                return _on_all(ends)
            case ast.For(iter=first) | ast.AsyncFor(iter=first) | ast.While(test=first):
                state = self._evaluated(first, state)
                self.through(node.body, state, caught)
                return self.through(node.orelse, state, caught)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    state = self._evaluated(item.context_expr, state)
                return self.through(node.body, state, caught or _suppresses(node))
            case ast.Try() | ast.TryStar():
                return self._after_try(node, state, caught)
            case ast.Match():
                state = self._evaluated(node.subject, state)
                ends = [self.through(c.body, state, caught) for c in node.cases]
                return _on_all([state, *ends])
        state = self._evaluated(node, state)
        if isinstance(node, ast.Return) or (isinstance(node, ast.Raise) and not caught):
            self.events.append(Event(node, state))
        ends_here = isinstance(node, ast.Return | ast.Raise | ast.Break | ast.Continue)
        return None if ends_here else state

    def _after_try(
        self, node: ast.Try | ast.TryStar, state: _State, caught: bool
    ) -> _State | None:
        outside = caught or any(isinstance(n, ast.Return) for n in own(node.finalbody))
        inside = outside or not all(map(_always_raises, node.handlers))
        thrown = state | {YIELD} if yields(node.body) else state
        end = self.through(node.body, state, inside)
        ends = [self.through(node.orelse, end, outside)]
        ends += [self.through(h.body, thrown, outside) for h in node.handlers]
        rest = _on_all(ends)
        last = self.through(node.finalbody, thrown if rest is None else rest, caught)
        return None if rest is None else last

    def _evaluated(self, node: ast.AST, state: _State) -> _State:
        for part in own([node]):
            if part in self._adds:
                self.events.append(Event(part, state))
                state |= {part}
            elif isinstance(part, ast.Yield | ast.YieldFrom):
                state |= {YIELD}
        return state


# Small questions about a node.


def own(nodes: Iterable[ast.AST], guarded: bool = True) -> Iterator[ast.AST]:
    """The nodes and all below, without functions and classes within.

    Without what is `guarded`: in the body of a ``try``.
    """
    for node in nodes:
        yield node
        if isinstance(node, Function | ast.Lambda | ast.ClassDef):
            continue
        kept = guarded or not isinstance(node, ast.Try | ast.TryStar)
        below = ast.iter_child_nodes(node) if kept else node.handlers  # type: ignore[attr-defined]
        yield from own(below, guarded)


def yields(body: list[ast.stmt]) -> bool:
    """Whether there is a ``yield`` in it."""
    return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own(body))


def name_of(node: ast.AST) -> str:
    """An expression in the words of the code, shortened."""
    match node:
        case ast.Lambda():
            return "the lambda"
        case ast.Call(func=func):
            return f"{ast.unparse(func)}(…)"
    return ast.unparse(node)


def line_of(node: ast.AST) -> int:
    """The line in which a statement, an expression or a parameter begins."""
    return node.lineno  # type: ignore[attr-defined, no-any-return]


def parameters(of: ast.arguments) -> list[ast.arg]:
    """The parameters of a function but ``*args`` and ``**kwargs``."""
    return [*of.posonlyargs, *of.args, *of.kwonlyargs]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """What a call is given for that name."""
    return next((k.value for k in call.keywords if k.arg == name), None)


def _defaults(of: ast.arguments) -> dict[ast.arg, ast.expr]:
    places = [*of.posonlyargs, *of.args][-len(of.defaults) :] if of.defaults else []
    found = dict(zip(places, of.defaults, strict=True))
    by_name = zip(of.kwonlyargs, of.kw_defaults, strict=True)
    return found | {parameter: value for parameter, value in by_name if value}


def _route(decorator: ast.expr) -> str:
    """What kind of endpoint it makes, or ""."""
    match decorator:
        case ast.Call(func=ast.Attribute(attr=attr), args=[path, *_]):
            pass
        case ast.Call(
            func=ast.Attribute(attr=attr), keywords=[ast.keyword("path", path), *_]
        ):
            pass
        case _:
            return ""
    if isinstance(path, ast.Constant):  # a patch("module.name") is none
        text = path.value
        if not isinstance(text, str) or not (text == "" or text.startswith("/")):
            return ""
    if attr == "websocket":
        return "websocket"
    return "http" if attr in (*_METHODS, "api_route") else ""


def _of_self(node: ast.AST) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=attr):
            return attr
    return ""


def _target(node: ast.AST) -> ast.AST | None:
    """The name that a plain assignment binds."""
    match node:
        case ast.Assign(targets=[target]):
            return target
        case (
            ast.AnnAssign(target=target, value=ast.expr())
            | ast.NamedExpr(target=target)
        ):
            return target
    return None


def _is_unread(test: ast.expr) -> bool:
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]):
            return True
    return False


def _on_all(ends: list[_State | None]) -> _State | None:
    reached = [state for state in ends if state is not None]
    return frozenset.intersection(*reached) if reached else None


def _suppresses(node: ast.With | ast.AsyncWith) -> bool:
    return any(name_of(i.context_expr).endswith("suppress(…)") for i in node.items)


def _always_raises(handler: ast.ExceptHandler) -> bool:
    leaves = (ast.Return, ast.Break, ast.Continue)
    stays = any(isinstance(n, leaves) for n in own(handler.body))
    return isinstance(handler.body[-1], ast.Raise) and not stays
