"""Reads an app before it runs: what is known to go wrong with its tasks, what a browser lacks.

A rule speaks of what the file itself proves, and is silent otherwise. What ruff finds is
left to ruff.
"""

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from button.reading import (
    TASKS,
    YIELD,
    Add,
    Event,
    File,
    Function,
    keyword,
    line_of,
    name_of,
    own,
    parameters,
    yields,
)


@dataclass(frozen=True, order=True)
class Hint:
    """What is to be said of a line."""

    line: int
    """From 1."""
    text: str
    """One sentence that names what is in the code."""
    page: str
    """What explains it: an address below the site's root, with an anchor; "" for a limit."""


Found = Iterator[tuple[ast.AST, *tuple[object, ...]]]
"""For each mistake: the node whose line it is, then what the rule's sentence names."""


@dataclass(frozen=True)
class Rule:
    """A mistake that reading finds."""

    name: str
    says: str
    """With a place for each of the names that are found."""
    page: str
    find: Callable[[File], Found]

    def hints(self, file: File) -> Iterator[Hint]:
        """What it has to say of a file."""
        for node, *names in self.find(file):
            yield Hint(line_of(node), self.says.format(*names), self.page)


RULES: list[Rule] = []
"""All that `hints` looks for."""


def hints(source: str) -> list[Hint]:
    """What is known to go wrong with the background tasks of an app, by line.

    Nothing for what is no Python: its run says so.
    """
    try:
        file = File(source)
        return sorted({hint for rule in RULES for hint in rule.hints(file)})
    except _NOT_TO_BE_READ:
        return []


def limits(source: str, found: Callable[[str], bool]) -> list[Hint]:
    """What an app asks for and a browser has not, by line, each once.

    `found` says of the first part of a package's name whether it can be imported. Nothing
    for what is no Python.
    """
    first: dict[str, int] = {}
    try:
        for node, text in _lacking(File(source), found):
            first[text] = min(line_of(node), first.get(text, line_of(node)))
    except _NOT_TO_BE_READ:
        return []
    return sorted(Hint(line, text, "") for text, line in first.items())


_NOT_TO_BE_READ = (SyntaxError, ValueError, RecursionError)
"""What Python 3.11 raises for source that is none, that has a null byte, or that nests deep."""


def _rule(page: str, says: str) -> Callable[[Callable[[File], Found]], None]:
    def add(find: Callable[[File], Found]) -> None:
        RULES.append(Rule(find.__name__, says, page, find))

    return add


# What add_task is given.

_NEVER_AWAITED = "def-or-async/#my-async-task-never-runs-coroutine-was-never-awaited"


@_rule(
    _NEVER_AWAITED,
    "add_task gets a coroutine, which nobody awaits: write add_task({}, …).",
)
def coroutine_in_place_of_a_function(file: File) -> Found:
    for add in file.adds:
        call = file.value(add.task)
        if isinstance(call, ast.Call) and file.is_coroutine(call):
            yield add.call, name_of(call.func)


@_rule(
    "why-it-never-ran/#a-call-in-place-of-a-function-it-runs-in-the-request",
    "{0}(…) is called here, in the request: write add_task({0}, …).",
)
def call_in_place_of_a_function(file: File) -> Found:
    for add in file.adds:
        call = file.value(add.task)
        if isinstance(call, ast.Call):
            known = file.origin(call.func) in ("builtins.print", "time.sleep")
            if known or _returns_no_function(file.function(call.func)):
                yield add.call, name_of(call.func)


@_rule(
    _NEVER_AWAITED,
    "The lambda hides that {0} is async, and nobody awaits it: write add_task({0}, …).",
)
def coroutine_behind_a_lambda(file: File) -> Found:
    for add in file.adds:
        match file.value(add.task):
            case ast.Lambda(body=ast.Call() as call) if file.is_coroutine(call):
                yield add.call, name_of(call.func)


@_rule(
    _NEVER_AWAITED,
    "{} is def and returns a coroutine, which nobody awaits: make it async def, and await.",
)
def coroutine_behind_a_def(file: File) -> Found:
    for add in file.adds:
        function = file.function(add.task)
        if isinstance(function, ast.FunctionDef):
            for node in own(function.body):
                if isinstance(node, ast.Return) and file.is_coroutine(node.value):
                    yield node, add.name


@_rule(
    _NEVER_AWAITED,
    "{} hides that {} is async, and nobody awaits it: make its wrapper async def.",
)
def coroutine_behind_a_decorator(file: File) -> Found:
    for add in file.adds:
        function = file.meaning(add.task)
        if isinstance(function, ast.AsyncFunctionDef):
            for decorator in function.decorator_list:
                if _makes_a_def(file.meaning(decorator)):
                    yield add.call, name_of(decorator), add.name


@_rule(_NEVER_AWAITED, "{} makes a coroutine, which nobody awaits: nothing of it runs.")
def coroutine_thrown_away(file: File) -> Found:
    for node in file.nodes:
        if isinstance(node, ast.Expr) and file.is_coroutine(node.value):
            yield node, name_of(node.value)


@_rule(_NEVER_AWAITED, "{} cannot be called so, and fails after the response: {}.")
def wrong_arguments(file: File) -> Found:
    for add, _, error in _given_too_little_or_too_much(file):
        if error:
            yield add.call, add.name, error


@_rule(
    "uploads-and-requests/#depends-in-a-background-task",
    "{} of {} is not filled in: nobody resolves the Depends of a task.",
)
def dependency_of_a_task(file: File) -> Found:
    for add, unresolved, _ in _given_too_little_or_too_much(file):
        for parameter in unresolved:
            yield add.call, parameter, add.name


# What a dependency with `yield` holds.

_DETACHED = (
    "sessions-and-dependencies/#detachedinstanceerror-an-object-of-a-closed-session"
)


@_rule(
    _DETACHED,
    '{} ends before the response, by scope="function": let {} open one of its own.',
)
def session_closed_before_the_task(file: File) -> Found:
    for add in file.adds:
        for given in _handed_over(add.call):
            depends = file.dependency(file.meaning(given))
            if depends and _scope_of(depends) == "function":
                provider = file.provider(depends)
                if not provider or yields(provider.body):
                    yield add.call, given.id, add.name


@_rule(_DETACHED, "{} is detached in {}, after the commit in {}: pass its id.")
def row_detached_before_the_task(file: File) -> Found:
    for add, row, provider, scope in _rows_committed_after_yield(file):
        for given in _arguments(add.call):
            if isinstance(given, ast.Name) and given.id == row and scope == "function":
                yield add.call, row, add.name, provider.name


@_rule(
    "sessions-and-dependencies/#the-task-cant-see-the-row-just-created",
    "{} commits after its yield, when {} has run, which does not find {}.",
)
def row_committed_after_the_task(file: File) -> Found:
    for add, row, provider, scope in _rows_committed_after_yield(file):
        for given in _arguments(add.call):
            match given:
                case ast.Attribute(value=ast.Name(id=name)) if name == row:
                    if scope == "request":
                        yield add.call, provider.name, add.name, row


# What takes the tasks to the server.


@_rule(
    "why-it-never-ran/#i-return-a-response-of-my-own",
    "{}(background=…) replaces what add_task has noted: {} does not run.",
)
def replaced_by_the_response(file: File) -> Found:
    for add, answer, _ in _returned_with_tasks(file):
        if _brings_others(file, answer, add):
            yield answer, name_of(answer.func), add.name


@_rule(
    "why-it-never-ran/#the-tasks-of-earlier-requests-run-again",
    "{} is made once: it keeps the tasks of its first request, and takes no others.",
)
def response_made_once(file: File) -> Found:
    for _, answer, returned in _returned_with_tasks(file):
        if file.around(answer) is file.tree and not keyword(answer, "background"):
            yield returned, name_of(returned)


@_rule(
    "why-it-never-ran/#an-httpexception-after-add_task-drops-the-background-task",
    "{} does not run if line {} raises: an exception drops the tasks.",
)
def raised_after(file: File) -> Found:
    for function in {*file.endpoints, *file.providers}:
        said: set[Add] = set()
        for event in file.events(function):
            if isinstance(event.node, ast.Raise) and YIELD not in event.before:
                taken = _names_in(event.node)  # as a handler's background
                for add in set(_added(file, event)) - said:
                    if not isinstance(add.tasks, ast.arg) or add.tasks.arg not in taken:
                        said.add(add)
                        yield add.call, add.name, line_of(event.node)


@_rule(
    "why-it-never-ran/#a-task-added-after-yield-in-a-dependency-never-runs",
    "{} never runs: what {} does after its yield comes when the tasks have ended.",
)
def added_after_yield(file: File) -> Found:
    for function in file.providers:
        uses = [d for d in file.depends if file.provider(d) is function]
        if {_scope_of(depends) for depends in uses} == {"request"}:
            for event in file.events(function):
                for add in file.adds:
                    if add.call is event.node and YIELD in event.before:
                        yield add.call, add.name, function.name


@_rule(
    "why-it-never-ran/#in-a-websocket-endpoint",
    "{} never runs: the WebSocket endpoint {} has no response that takes it along.",
)
def added_in_a_websocket(file: File) -> Found:
    for add in file.adds:
        injected = isinstance(add.tasks, ast.arg)
        if injected and file.routes.get(add.function) == "websocket":
            yield add.call, add.name, add.function.name


@_rule(
    "why-it-never-ran/#i-made-the-backgroundtasks-myself",
    "Nobody runs {0}: take BackgroundTasks as a parameter, or return them with a response.",
)
def made_and_forgotten(file: File) -> Found:
    for add in file.adds:
        if isinstance(add.tasks, ast.Call) and not _is_taken(file, add):
            yield add.tasks, name_of(_called_on(add))


@_rule(
    "why-it-never-ran/#the-tasks-of-earlier-requests-run-again",
    "{} is made once for all requests: it keeps their tasks, and runs them again.",
)
def made_for_all_requests(file: File) -> Found:
    for add in file.adds:
        if file.around(add.tasks) is file.tree and _is_taken(file, add):
            yield add.tasks, name_of(_called_on(add))


# The parameter.

_ANNOTATION = "why-it-never-ran/#the-parameter-has-no-annotation"


@_rule(
    _ANNOTATION,
    "{0} is a query parameter, as it is not annotated: write {0}: BackgroundTasks.",
)
def not_annotated(file: File) -> Found:
    for function, parameter in _filled_in(file):
        annotation, default = parameter.annotation, file.default(parameter)
        untyped = not annotation or file.origin(annotation) == "typing.Any"
        made = default.func if isinstance(default, ast.Call) else default
        forgotten = not default and _adds_to(function, parameter)
        if untyped and (file.are_tasks(made) or forgotten):
            yield parameter, parameter.arg


@_rule(
    _ANNOTATION,
    "{0} cannot be optional, and the app does not start: write {0}: BackgroundTasks.",
)
def optional_tasks(file: File) -> Found:
    for _, parameter in _filled_in(file):
        match parameter.annotation:
            case ast.Subscript(value=of, slice=inside) if (
                file.origin(of) == "typing.Optional"
            ):
                pass
            case ast.BinOp(op=ast.BitOr(), left=inside, right=ast.Constant(value=None)):
                pass
            case _:
                continue
        if file.are_tasks(inside):
            yield parameter, parameter.arg


@_rule(
    _ANNOTATION,
    "Depends makes no BackgroundTasks, and the app does not start: write {}: BackgroundTasks.",
)
def depends_on_the_class(file: File) -> Found:
    for _, parameter in _filled_in(file):
        depends = file.dependency(parameter)
        annotation = parameter.annotation
        match annotation:
            case ast.Subscript(slice=ast.Tuple(elts=[annotation, *_])):
                pass
        if depends:
            made = depends.args[0] if depends.args else annotation
            if file.origin(made) in TASKS:
                yield parameter, parameter.arg


@_rule(
    "why-it-never-ran/#422-backgroundtasks-is-taken-for-a-query-parameter",
    "{} is taken for a query parameter: BackgroundTasks is imported for type checkers only.",
)
def imported_for_types_only(file: File) -> Found:
    imports = [
        (alias.asname or alias.name, node in file.unread)
        for node in file.nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    for _, parameter in _filled_in(file):
        annotation = parameter.annotation
        if isinstance(annotation, ast.Name) and file.are_tasks(annotation):
            ways = {unread for name, unread in imports if name == annotation.id}
            if ways == {True}:
                yield parameter, parameter.arg


# What a task does.


@_rule(
    "when-it-runs/#may-a-task-change-the-response",
    "{} changes {} when it has left: the client gets nothing of it.",
)
def response_changed_too_late(file: File) -> Found:
    for add in file.adds:
        function, given = file.function(add.task), _given(add)
        if not function or not given:
            continue
        names = [parameter.arg for parameter in parameters(function.args)]
        for name, value in {
            **dict(zip(names, given[0], strict=False)),
            **given[1],
        }.items():
            response = file.meaning(value)
            annotation = response.annotation if isinstance(response, ast.arg) else None
            if file.origin(annotation) in _RESPONSE:
                for node in own(function.body):
                    if _changes(node, name):
                        yield node, add.name, name


@_rule(
    "def-or-async/#call-async-code-from-a-def-task",
    "{} fails in {}: it is def, and no event loop runs in its thread.",
)
def no_loop_in_a_thread(file: File) -> Found:
    for function in _called_by_fastapi(file):
        if isinstance(function, ast.FunctionDef):
            for call in _calls_of(file, function, _NEED_A_LOOP, guarded=False):
                yield call, name_of(call.func), function.name


@_rule(
    "event-loop-errors/#asynciorun-in-a-task-cannot-be-called-from-a-running-event-loop",
    "asyncio.run fails in {}: it is async def, and its event loop runs already.",
)
def loop_in_a_loop(file: File) -> Found:
    nested = any(file.origin(call.func) == "nest_asyncio.apply" for call in file.calls)
    for function in file.functions:
        if isinstance(function, ast.AsyncFunctionDef) and not nested:
            for call in _calls_of(file, function, {"asyncio.run"}, guarded=False):
                yield call, function.name


@_rule(
    "def-or-async/#my-background-task-blocks-everything-else",
    "{} blocks in {}, and all requests wait for it: {} is async def.",
)
def blocks_through_a_def(file: File) -> Found:
    for function in _called_by_fastapi(file):
        if isinstance(function, ast.AsyncFunctionDef):
            for node in own(function.body):
                called = (
                    file.function(node.func) if isinstance(node, ast.Call) else None
                )
                if isinstance(called, ast.FunctionDef) and not yields(called.body):
                    for call in _calls_of(file, called, _BLOCKING):
                        yield node, called.name, name_of(call.func), function.name
                        break


_RESPONSE = ("fastapi.Response", "fastapi.responses.Response")
_NEED_A_LOOP = {"asyncio.create_task", "asyncio.get_running_loop"}
_BLOCKING = {"time.sleep", "urllib.request.urlopen", "subprocess.run"} | {
    f"{library}.{method}"
    for library in ("requests", "httpx")
    for method in ("get", "post", "put", "patch", "delete", "head", "request")
}


# What the rules ask.


def _called_on(add: Add) -> ast.expr:
    assert isinstance(add.call.func, ast.Attribute)
    return add.call.func.value


def _is_taken(file: File, add: Add) -> bool:
    """Whether anything is done with the tasks but to add to them."""
    of_it = (a.call for a in file.adds if a.tasks is add.tasks)
    adding = {part for call in of_it for part in ast.walk(call)}
    return any(
        isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and file.meaning(node) is add.tasks
        and node not in adding
        for node in file.nodes
    )


def _arguments(call: ast.Call) -> list[ast.expr]:
    """What `add_task` is given for the task."""
    return [*call.args[1:], *(k.value for k in call.keywords if k.arg != "func")]


def _added(file: File, event: Event) -> Iterator[Add]:
    return (add for add in file.adds if add.call in event.before)


def _called_by_fastapi(file: File) -> set[Function]:
    """The file's tasks and endpoints."""
    tasks = [file.function(add.task) for add in file.adds]
    return {*file.endpoints, *(task for task in tasks if task)}


def _filled_in(file: File) -> Iterator[tuple[Function, ast.arg]]:
    """The parameters that FastAPI fills in."""
    for function in {*file.routes, *file.providers}:
        for parameter in parameters(function.args):
            yield function, parameter


def _calls_of(
    file: File, function: Function, names: set[str], guarded: bool = True
) -> Iterator[ast.Call]:
    """The calls in a function of what is imported by these names."""
    for node in own(function.body, guarded):
        if isinstance(node, ast.Call) and file.origin(node.func) in names:
            yield node


def _returns_no_function(function: Function | None) -> bool:
    """Whether it is a def, and nothing it returns can be called."""
    if not isinstance(function, ast.FunctionDef) or yields(function.body):
        return False
    plain = (ast.Constant, ast.JoinedStr, ast.Dict, ast.List, ast.Tuple, ast.Set)
    returned = [n.value for n in own(function.body) if isinstance(n, ast.Return)]
    return all(value is None or isinstance(value, plain) for value in returned)


def _makes_a_def(decorator: object) -> bool:
    """Whether it returns a def that returns what the decorated function does."""
    if not isinstance(decorator, ast.FunctionDef) or not decorator.args.args:
        return False
    if any(isinstance(n, ast.AsyncFunctionDef) for n in ast.walk(decorator)):
        return False
    decorated = decorator.args.args[0].arg
    for wrapper in decorator.body:
        for node in own(wrapper.body) if isinstance(wrapper, ast.FunctionDef) else ():
            match node:
                case ast.Return(value=ast.Call(func=ast.Name(id=name))):
                    return name == decorated
    return False


def _given(add: Add) -> tuple[list[ast.expr], dict[str, ast.expr]] | None:
    """What `add_task` gives the task, by place and by name; None: a star hides it."""
    places = add.call.args[1:]
    names = {k.arg or "": k.value for k in add.call.keywords if k.arg != "func"}
    starred = "" in names or any(isinstance(a, ast.Starred) for a in places)
    return None if starred else (places, names)


def _given_too_little_or_too_much(
    file: File,
) -> Iterator[tuple[Add, list[str], TypeError | None]]:
    """Tasks that do not fit: their `Depends(...)` without a value, or what Python will say."""
    for add in file.adds:
        function, given = file.function(add.task), _given(add)
        if not function or not given:
            continue
        signature = _signature(function)
        try:
            filled = signature.bind_partial(*given[0], **given[1]).arguments
            left = [p for p in parameters(function.args) if p.arg not in filled]
            if unresolved := [p.arg for p in left if file.dependency(p)]:
                yield add, unresolved, None
            else:
                signature.bind(*given[0], **given[1])
        except TypeError as error:
            yield add, [], error


def _signature(function: Function) -> inspect.Signature:
    of, kinds = function.args, inspect.Parameter
    first = len(of.posonlyargs) + len(of.args) - len(of.defaults)
    found = []
    for index, parameter in enumerate([*of.posonlyargs, *of.args]):
        by_place = index < len(of.posonlyargs)
        kind = kinds.POSITIONAL_ONLY if by_place else kinds.POSITIONAL_OR_KEYWORD
        default = None if index >= first else kinds.empty
        found.append(kinds(parameter.arg, kind, default=default))
    if of.vararg:
        found.append(kinds(of.vararg.arg, kinds.VAR_POSITIONAL))
    for parameter, value in zip(of.kwonlyargs, of.kw_defaults, strict=True):
        default = None if value else kinds.empty
        found.append(kinds(parameter.arg, kinds.KEYWORD_ONLY, default=default))
    if of.kwarg:
        found.append(kinds(of.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(found)


def _scope_of(depends: ast.Call) -> str:
    """The scope of a `Depends(...)`; "" if it is not written out."""
    given = keyword(depends, "scope") or ast.Constant("request")
    return str(given.value) if isinstance(given, ast.Constant) else ""


def _handed_over(call: ast.Call) -> Iterator[ast.Name]:
    """The names that the task is given, also in a lambda or a partial."""
    given = _arguments(call)
    match call.args:
        case [ast.Lambda(body=body), *_]:
            given += [n for n in ast.walk(body) if isinstance(n, ast.Name)]
        case [ast.Call(func=func) as partial, *_] if name_of(func).endswith("partial"):
            given += _arguments(partial)
    return (n for n in given if isinstance(n, ast.Name))


def _rows_committed_after_yield(
    file: File,
) -> Iterator[tuple[Add, str, Function, str]]:
    """For each task: an object added to a session that its dependency commits after `yield`.

    With the dependency and its scope.
    """
    for add in file.adds:
        inside = list(own(add.function.body))
        if any(_calls_a_method(n, "commit", "begin", "begin_nested") for n in inside):
            continue
        for node in inside:
            match node:
                case ast.Call(
                    func=ast.Attribute(value=session, attr="add"),
                    args=[ast.Name(id=row) | ast.NamedExpr(target=ast.Name(id=row))],
                ):
                    depends = file.dependency(file.meaning(session))
                    provider = file.provider(depends) if depends else None
                    if depends and provider and _commits_after_yield(provider):
                        yield add, row, provider, _scope_of(depends)


def _calls_a_method(node: ast.AST, *names: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=attr)):
            return attr in names
    return False


def _commits_after_yield(provider: Function) -> bool:
    inside = list(own(provider.body))
    yielded = [line_of(n) for n in inside if isinstance(n, ast.Yield)]
    keeps = any(
        isinstance(n, ast.keyword) and n.arg == "expire_on_commit" for n in inside
    )
    return not keeps and any(
        _calls_a_method(node, "commit") and min(yielded) < line_of(node)
        for node in inside
        if yielded
    )


def _returned_with_tasks(file: File) -> Iterator[tuple[Add, ast.Call, ast.expr]]:
    """A task that is added before a response is returned; the response, as made and as returned."""
    for function in file.endpoints:
        for event in file.events(function):
            if isinstance(event.node, ast.Return) and event.node.value:
                answer = file.value(event.node.value)
                if not isinstance(answer, ast.Call):
                    continue
                if name_of(answer.func).endswith("Response"):
                    for added in _added(file, event):
                        yield added, answer, event.node.value


def _brings_others(file: File, answer: ast.Call, added: Add) -> bool:
    """Whether the response has a background in which the injected tasks are not."""
    given = keyword(answer, "background")
    background = file.value(given) if given else None
    if not isinstance(background, ast.Call) or not isinstance(added.tasks, ast.arg):
        return False
    known = (*TASKS, "starlette.background.BackgroundTask")
    others = added.tasks.arg not in _names_in(background)
    return file.origin(background.func) in known and others


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _adds_to(function: Function, parameter: ast.arg) -> bool:
    return any(
        _calls_a_method(node, "add_task") and parameter.arg in _names_in(node.func)
        for node in own(function.body)
        if isinstance(node, ast.Call)
    )


def _changes(node: ast.AST, name: str) -> bool:
    """Whether it sets something of what has that name."""
    match node:
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as changed]):
            pass
        case ast.Call(func=changed) if _calls_a_method(
            node, "set_cookie", "delete_cookie"
        ):
            pass
        case _:
            return False
    while isinstance(changed, ast.Attribute | ast.Subscript):
        changed = changed.value
    return isinstance(changed, ast.Name) and changed.id == name


# What a browser lacks.

_LACKS = {
    "a browser has one thread, and starts no other": """
        threading.Thread threading.Timer concurrent.futures.ThreadPoolExecutor""",
    "a browser starts no process": """
        asyncio.create_subprocess_exec asyncio.create_subprocess_shell
        concurrent.futures.ProcessPoolExecutor
        multiprocessing.Pool multiprocessing.Process multiprocessing.Queue
        multiprocessing.get_context os.fork os.popen os.system subprocess.Popen
        subprocess.call subprocess.check_call subprocess.check_output subprocess.run""",
    "a browser lets Python connect to nothing": """
        asyncio.open_connection asyncio.start_server
        http.client.HTTPConnection http.client.HTTPSConnection
        httpx.AsyncClient httpx.Client httpx.get httpx.post httpx.stream
        smtplib.SMTP smtplib.SMTP_SSL
        socket.create_connection socket.create_server socket.socket
        urllib.request.urlopen urllib.request.urlretrieve""",
    "no signal comes in a browser": "os.kill signal.alarm signal.signal",
    "a def task runs on the event loop in a browser": """
        anyio.from_thread.run anyio.from_thread.run_sync""",
}
_WHY = {name: why for why, names in _LACKS.items() for name in names.split()}

_NEEDS = {
    "fastapi.File": "python_multipart",
    "fastapi.Form": "python_multipart",
    "fastapi.UploadFile": "python_multipart",
    "fastapi.templating.Jinja2Templates": "jinja2",
    "fastapi.testclient.TestClient": "httpx2",
    "pydantic.EmailStr": "email_validator",
}
"""What wants a package that does not come with FastAPI."""

_STARTS = ("anyio.run", "asyncio.run", "uvicorn.run")


def _lacking(file: File, found: Callable[[str], bool]) -> Iterator[tuple[ast.AST, str]]:
    """The places that ask for what is not there, and what is said of each."""
    tried = {
        part
        for node in file.nodes
        if isinstance(node, ast.Try) and any(map(_is_for_imports, node.handlers))
        for part in own(node.body)
    }
    for node in file.nodes:
        if node in file.unread:
            continue
        for name in _imported(node) if node not in tried else ():
            package = _NEEDS.get(name, name.partition(".")[0])
            if name.startswith("."):
                yield node, f"{name} is in another file: there is only this one."
            elif not found(package):
                yield (
                    node,
                    f"{package} is not there: a browser has FastAPI, what comes with it, and Python's own modules.",
                )
        used = node.bases if isinstance(node, ast.ClassDef) else []
        if isinstance(node, ast.Call):
            used = [node.func]
            if how := _writes(file, node):
                yield (
                    node,
                    f"{how} writes into the memory of this tab, and nobody finds it.",
                )
        for expression in used:
            name = file.origin(expression)
            if name in _WHY and found(name.partition(".")[0]):
                yield node, f"{name}: {_WHY[name]}."
            if name in _STARTS and file.around(node) is file.tree:
                yield (
                    node,
                    f'{name} runs when the app is imported: put it under if __name__ == "__main__".',
                )


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            return [f"{'.' * level}{module or ''}.{alias.name}" for alias in names]
    return []


def _is_for_imports(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type) if handler.type else "Exception"
    return any(e in caught for e in ("ImportError", "ModuleNotFoundError", "Exception"))


def _writes(file: File, call: ast.Call) -> str:
    """How a call writes a file, in the words of the code, or ""."""
    if _calls_a_method(call, "write_text", "write_bytes"):
        return f"{name_of(call.func).rpartition('.')[2]}(…)"
    if file.origin(call.func) == "builtins.open":
        places = call.args[1:2]
    elif _calls_a_method(call, "open"):
        places = call.args[:1]
    else:
        return ""
    match [*places, keyword(call, "mode")]:
        case [ast.Constant(value=str(mode)), *_] if set(mode) <= set("rwaxbt+"):
            return f'open(…, "{mode}")' if set(mode) & set("wax+") else ""
    return ""
