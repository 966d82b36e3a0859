"""What is said of an app before it runs: each mistake that is known, and nothing else."""

import ast
import sys
from pathlib import Path

import pytest

from button.hints import RULES, hints, limits
from button.reading import File
from tests.test_examples import EXAMPLES, FILES

BROKEN_ON_PURPOSE = {
    "def_or_async/back_to_the_loop": {"no_loop_in_a_thread"},
    "def_or_async/called_too_early": {
        "coroutine_in_place_of_a_function",
        "wrong_arguments",
    },
    "def_or_async/never_awaited": {
        "coroutine_behind_a_decorator",
        "coroutine_behind_a_lambda",
    },
    "event_loop_errors/two_loops": {"loop_in_a_loop"},
    "restarts/what_is_left": {"blocks_through_a_def"},
    "sessions_and_dependencies/detached": {"row_detached_before_the_task"},
    "sessions_and_dependencies/reopened": {"session_closed_before_the_task"},
    "sessions_and_dependencies/row_not_found": {"row_committed_after_the_task"},
    "uploads_and_requests/not_resolved": {"dependency_of_a_task"},
    "when_it_runs/too_late_to_change": {"response_changed_too_late"},
    "why_it_never_ran/after_yield": {"added_after_yield"},
    "why_it_never_ran/called_at_once": {"call_in_place_of_a_function"},
    "why_it_never_ran/kept": {"made_for_all_requests", "response_made_once"},
    "why_it_never_ran/not_injected": {"not_annotated"},
    "why_it_never_ran/of_its_own": {"made_and_forgotten"},
    "why_it_never_ran/own_response": {"replaced_by_the_response"},
    "why_it_never_ran/raised_after": {"raised_after"},
    "why_it_never_ran/websocket": {"added_in_a_websocket"},
    "why_it_never_ran/work_on_error": {"raised_after"},
}
"""The examples that show a mistake which reading finds."""

HEAD = """
import asyncio
import functools
import subprocess
import time
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Optional

import requests
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

app = FastAPI()

async def send(to: str = "ada", *, copies: int = 1) -> None: ...
async def stream() -> Any: yield 1
def write(text: str = "") -> None: print(text)
def make(text: str) -> Any: return lambda: print(text)
def get_session() -> Any:
    with Session() as session:
        yield session
def get_committed() -> Any:
    with Session() as session:
        yield session
        session.commit()
def get_settings() -> dict: return {}
Tasks = BackgroundTasks
Committed = Annotated[Session, Depends(get_committed)]
EarlyCommitted = Annotated[Session, Depends(get_committed, scope="function")]
"""
"""What the snippets find defined."""


def names_of(source: str) -> list[tuple[str, int]]:
    """The rules that find something in a source, each with the line."""
    file = File(source)
    return [(rule.name, hint.line) for rule in RULES for hint in set(rule.hints(file))]


FOUND = {
    "coroutine_in_place_of_a_function": [
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(send("ada"))  # here""",
        """
@app.post("/")
def post(tasks: Tasks):
    mail = send()
    tasks.add_task(func=mail)  # here""",
        """
@app.post("/")
async def post(tasks: Annotated[BackgroundTasks, "some"]):
    tasks.add_task(asyncio.sleep(1))  # here""",
        """
class Service:
    def __init__(self, tasks: BackgroundTasks): self.tasks = tasks
    def order(self): self.tasks.add_task(send())  # here""",
        """
class Noted(BackgroundTasks): ...
@app.put("/")
def put(tasks: Noted):
    if mail := send("ada"):
        tasks.add_task(mail)  # here""",
    ],
    "call_in_place_of_a_function": [
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(write("tea"))  # here""",
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(print("tea"))  # here""",
        """
def status() -> dict: return {"ok": True}
async def notify(tasks: "BackgroundTasks"): tasks.add_task(status())  # here""",
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(time.sleep(1))  # here""",
        """
def leave(early: bool):
    if early:
        return
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(leave(True))  # here""",
    ],
    "coroutine_behind_a_lambda": [
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(lambda: send("ada"))  # here""",
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    later = lambda: asyncio.sleep(1)
    tasks.add_task(later)  # here""",
    ],
    "coroutine_behind_a_def": [
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    def later(): return send("ada")  # here
    tasks.add_task(later)""",
    ],
    "coroutine_behind_a_decorator": [
        """
def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        print(function.__name__)
        return function(*args, **kwargs)
    return wrapper
@logged
async def notify(): ...
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(notify)  # here""",
    ],
    "coroutine_thrown_away": [
        """
async def task():
    send("ada")  # here""",
        """
async def task():
    asyncio.sleep(1)  # here""",
        """
class Mailer:
    def send(self): ...
    async def later(self): send("ada")  # here""",
    ],
    "wrong_arguments": [
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(send, address="ada")  # here""",
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(send, "ada", 2)  # here""",
        """
def charge(order: int, /, *, card): ...
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(charge, 7)  # here""",
        """
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(send, "ada", to="bob")  # here""",
        """
def charge(order: int, /): ...
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(charge, order=7)  # here""",
        """
def charge(order: int, card: int = 1): ...
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(func=charge)  # here""",
    ],
    "dependency_of_a_task": [
        """
def task(settings = Depends(get_settings)): ...
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(task)  # here""",
        """
def task(order: int, session: Committed): ...
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(task, 7)  # here""",
    ],
    "session_closed_before_the_task": [
        """
def task(session): ...
@app.post("/")
def post(session: Annotated[Session, Depends(get_session, scope="function")], tasks: BackgroundTasks):
    tasks.add_task(task, session)  # here""",
        """
def task(db): ...
@app.post("/")
def post(tasks: BackgroundTasks, db = Depends(get_session, scope="function")):
    tasks.add_task(task, db=db)  # here""",
        """
def task(session): ...
@app.post("/")
def post(session: EarlyCommitted, tasks: BackgroundTasks):
    tasks.add_task(partial(task, session))  # here""",
        """
def task(session): ...
@app.post("/")
def post(session: EarlyCommitted, tasks: BackgroundTasks):
    tasks.add_task(lambda session: task(session), None)
    tasks.add_task(lambda: task(session))  # here""",
        """
from elsewhere import get_connection
def task(session): ...
@app.post("/")
def post(tasks: BackgroundTasks, session = Depends(get_connection, scope="function")):
    tasks.add_task(task, session)  # here""",
    ],
    "row_detached_before_the_task": [
        """
@app.post("/")
def post(session: EarlyCommitted, tasks: BackgroundTasks):
    session.add(order := Order())
    tasks.add_task(write, order)  # here""",
        """
def get_quick():
    with Session(autoflush=False) as session:
        yield session
        session.commit()
@app.post("/")
def post(session: Annotated[Session, Depends(get_quick, scope="function")], tasks: BackgroundTasks):
    session.add(order := Order())
    tasks.add_task(write, order)  # here""",
    ],
    "row_committed_after_the_task": [
        """
@app.post("/")
def post(session: Committed, tasks: BackgroundTasks):
    order = Order()
    session.add(order)
    session.flush()
    tasks.add_task(write, order.id)  # here""",
        """
@app.post("/")
def post(tasks: BackgroundTasks, session: Session = Depends(get_committed)):
    session.add(order := Order())
    tasks.add_task(write, text=order.id)  # here""",
    ],
    "replaced_by_the_response": [
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)
    return JSONResponse({}, background=BackgroundTask(write))  # here""",
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)
    others = BackgroundTasks()
    others.add_task(write)
    answer = FileResponse("a.csv", background=others)  # here
    return answer""",
        """
answer = JSONResponse({}, background=BackgroundTask(write))  # here
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)
    return answer""",
    ],
    "response_made_once": [
        """
answer = JSONResponse({})
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)
    return answer  # here""",
    ],
    "raised_after": [
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    try:
        tasks.add_task(write)  # here
    finally:
        print("added")
    raise HTTPException(404)""",
        """
@app.post(path="/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)  # here
    raise HTTPException(404)""",
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)  # here
    raise HTTPException(404)""",
        """
@app.post("/")
async def post(tasks: BackgroundTasks, item: str):
    tasks.add_task(write)  # here
    if not item:
        raise HTTPException(404)
    return {}""",
        """
@app.api_route("/", methods=["POST"])
def post(tasks: BackgroundTasks):
    try:
        order()
    except ValueError as error:
        tasks.add_task(write, "failed")  # here
        raise HTTPException(400) from error""",
        """
@app.post("/")
def post(tasks: BackgroundTasks, item: str):
    try:
        tasks.add_task(write)  # here
        if not item:
            raise HTTPException(404)
    except HTTPException:
        raise
    return {}""",
        """
def current_user(tasks: BackgroundTasks, request: Request):
    with open("users") as file:
        tasks.add_task(write)  # here
        match file.read():
            case "":
                raise HTTPException(401)
@app.get("/")
def get(user = Depends(current_user)): ...""",
        """
@app.post("/")
def post(tasks: BackgroundTasks, items: list[str]):
    for item in items:
        tasks.add_task(write, item)  # here
        if not item:
            raise HTTPException(404)""",
        """
@app.post("")
def post(tasks: BackgroundTasks, item: str):
    tasks.add_task(write)  # here
    if item:
        print(item)
    while item:
        raise HTTPException(404)""",
        """
@app.post("/")
def post(tasks: BackgroundTasks, item: str):
    if item:
        tasks.add_task(write)  # here
    else:
        return {}
    raise HTTPException(404)""",
        """
@app.post("/")
async def post(tasks: BackgroundTasks, item: str):
    async with connect() as shop:
        async for item in shop:
            tasks.add_task(write)  # here
            raise HTTPException(404)""",
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    try:
        order()
    except* ValueError:
        tasks.add_task(write)  # here
        raise""",
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    try:
        order()
    finally:
        tasks.add_task(write)  # here
    raise HTTPException(404)""",
        """
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)  # here
    try:
        return {}
    finally:
        raise ValueError""",
    ],
    "added_after_yield": [
        """
def audit(tasks: BackgroundTasks):
    tasks.add_task(write, "before")
    yield
    tasks.add_task(write, "after")  # here
@app.get("/", dependencies=[Depends(audit)])
def get(): ...""",
        """
async def audit(tasks: BackgroundTasks):
    try:
        yield
    finally:
        tasks.add_task(write)  # here
@app.get("/")
def get(a: Annotated[None, Depends(audit)]): ...""",
        """
def audit(tasks: BackgroundTasks):
    try:
        yield
    except ValueError:
        tasks.add_task(write)  # here
        raise
@app.get("/")
def get(a: Annotated[None, Depends(audit, scope="request")]): ...""",
    ],
    "added_in_a_websocket": [
        """
@app.websocket("/chat")
async def chat(websocket, tasks: BackgroundTasks): tasks.add_task(write)  # here""",
        """
@app.websocket("/chat")
async def chat(websocket, tasks: BackgroundTasks):
    tasks.add_task(write)  # here
    raise ValueError""",
    ],
    "made_and_forgotten": [
        """
@app.post("/")
def post():
    tasks = BackgroundTasks()  # here
    tasks.add_task(write)""",
        """
class Service:
    def order(self): BackgroundTasks().add_task(write)  # here""",
        """
async def lifespan(app):
    tasks = BackgroundTasks()  # here
    tasks.add_task(write, tasks)
    yield""",
        """
tasks = BackgroundTasks()  # here
@app.post("/")
def post(): tasks.add_task(write)""",
    ],
    "made_for_all_requests": [
        """
tasks = BackgroundTasks()  # here
@app.post("/")
def post():
    tasks.add_task(write)
    return JSONResponse({}, background=tasks)""",
    ],
    "not_annotated": [
        """
@app.post("/")
def post(background_tasks):  # here
    background_tasks.add_task(write)""",
        """
@app.post("/")
def post(tasks=BackgroundTasks()):  # here
    tasks.add_task(write)""",
        """
@app.post("/")
def post(tasks: Any = BackgroundTasks):  # here
    tasks.add_task(write)""",
        """
def audit(tasks):  # here
    tasks.add_task(write)
@app.get("/")
def get(a = Depends(audit)): ...""",
        """
@app.post("/")
def post(tasks: Any):  # here
    other.add_task(write)
    tasks.add_task(write)""",
    ],
    "optional_tasks": [
        """
@app.post("/")
def post(tasks: BackgroundTasks | None = None): ...  # here""",
        """
@app.post("/")
def post(tasks: Optional[BackgroundTasks] = None): ...  # here""",
    ],
    "depends_on_the_class": [
        """
@app.post("/")
def post(tasks: BackgroundTasks = Depends()): ...  # here""",
        """
@app.post("/")
def post(tasks = Depends(BackgroundTasks)): ...  # here""",
        """
@app.post("/")
def post(tasks: Annotated[BackgroundTasks, Depends()]): ...  # here""",
    ],
    "imported_for_types_only": [
        """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from fastapi import BackgroundTasks as Later
@app.post("/")
def post(tasks: Later): ...  # here""",
        """
from __future__ import annotations
import typing
from fastapi import FastAPI
if typing.TYPE_CHECKING:
    from fastapi import BackgroundTasks
app = FastAPI()
@app.post("/")
def post(tasks: BackgroundTasks): ...  # here""",
    ],
    "response_changed_too_late": [
        """
def fail(response):
    response.headers["x"] = "failed"  # here
@app.post("/")
def post(response: Response, tasks: BackgroundTasks): tasks.add_task(fail, response)""",
        """
def log_in(answer):
    answer.set_cookie("user", "ada")  # here
@app.post("/")
def post(response: Response, tasks: BackgroundTasks): tasks.add_task(log_in, answer=response)""",
    ],
    "no_loop_in_a_thread": [
        """
def task(): asyncio.create_task(send())  # here
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(task)""",
        """
from asyncio import get_running_loop
@app.post("/")
def post(): get_running_loop().create_task(send())  # here""",
    ],
    "loop_in_a_loop": [
        """
async def task(): asyncio.run(send())  # here""",
    ],
    "blocks_through_a_def": [
        """
def build(): time.sleep(1)
async def task(): build()  # here
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(task)""",
        """
def fetch(): return requests.get("https://example.com")
@app.get("/")
async def get(): return fetch()  # here""",
        """
import urllib.request as web
def fetch(): return web.urlopen("https://example.com")
@app.get("/")
async def get(): return fetch()  # here""",
    ],
}
"""For each rule, what it must find, at the line that says so."""

SILENT = {
    "what is called returns a function": """
def rows(): yield 1
@app.post("/")
def post(tasks: BackgroundTasks, mailer):
    tasks.add_task(make("tea"))
    tasks.add_task(partial(send, "ada"))
    tasks.add_task(mailer.send_later("ada"))
    tasks.add_task(functools.partial(write, "tea"))
@app.put("/")
def put(tasks: BackgroundTasks):
    tasks.add_task(rows())
    tasks.extend(send("ada"))""",
    "another may have changed it": """
@app.post("/")
def post(tasks: BackgroundTasks, again: bool):
    send = make("tea")
    tasks.add_task(send())
    task = send("ada")
    if again:
        task = make("tea")
    tasks.add_task(task)""",
    "a decorator may have changed it": """
from elsewhere import retried
@retried
async def notify(to): ...
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(notify, "too", "many")
    tasks.add_task(notify)
    notify("ada")""",
    "a decorator that awaits": """
def logged(function):
    async def wrapper(*args):
        return await function(*args)
    return wrapper
def told(function):
    def wrapper(*args):
        result = function(*args)
        return asyncio.run(result)
    return wrapper
@logged
async def notify(): ...
@told
async def say(): ...
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(notify)
    tasks.add_task(say)
def both(function):
    async def later(*args): return await function(*args)
    def now(*args): return function(*args)
    return later if asyncio.iscoroutinefunction(function) else now
def any_of(*functions): return lambda: None
@both
async def shout(): ...
@any_of
async def whisper(): ...
@app.put("/")
def put(tasks: BackgroundTasks):
    tasks.add_task(shout)
    tasks.add_task(whisper)""",
    "a function that is swapped": """
def swap():
    global write
    write = make("tea")
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task(write, "too", "many")""",
    "an exception of the same name": """
@app.post("/")
def post(tasks: BackgroundTasks):
    try:
        order()
    except ValueError as send:
        tasks.add_task(send())""",
    "a match of the same name": """
@app.post("/")
def post(tasks: BackgroundTasks):
    match order():
        case [send]: tasks.add_task(send())
@app.put("/")
def put(tasks: BackgroundTasks):
    match order():
        case [*send]: tasks.add_task(send())""",
    "tasks that are swapped": """
@app.post("/")
def post(tasks: BackgroundTasks):
    def later():
        nonlocal tasks
        tasks = other
    tasks.add_task(send())""",
    "parameters of the same name": """
@app.post("/")
def post(tasks: BackgroundTasks, *send): tasks.add_task(send())
@app.put("/")
def put(tasks: BackgroundTasks, **send): tasks.add_task(send())""",
    "annotations that mean another thing": """
Names = list
@app.post("/")
def post(
    a: Names,
    b: dict[BackgroundTasks, str],
    c: Annotated[list, "some"],
    d: Optional[str] = None,
    e: str | None = None,
    f: list[BackgroundTasks] = (),
):
    a.add_task(send())
    b.add_task(send())
    c.add_task(send())""",
    "at module level": """
tasks = BackgroundTasks()
tasks.add_task(send("ada"))
tasks.add_task()
@app.post("/")
def post(tasks: BackgroundTasks): tasks.add_task()""",
    "other things have an add_task": """
from rich.progress import Progress
def show(progress: Progress, scheduler):
    progress.add_task("tea")
    scheduler.add_task(send("ada"))
    Progress().add_task("tea")""",
    "lambdas around plain functions": """
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(lambda: write("tea"))
    tasks.add_task(lambda: asyncio.run(send("ada")))
    tasks.add_task(asyncio.run, send("ada"))""",
    "what is awaited, or kept, or no coroutine": """
async def task():
    await send("ada")
    kept = send("ada")
    await kept
    stream()
    write("tea")""",
    "arguments that fit, or that cannot be seen": """
def all_of(*args, **kwargs): ...
def two(a, b): ...
def some(a, b=2, *, c=3): ...
@app.post("/")
def post(tasks: BackgroundTasks, given: list):
    tasks.add_task(send, "ada", copies=2)
    tasks.add_task(two, *given)
    tasks.add_task(two, 1, **dict(given))
    tasks.add_task(some, 1)
    tasks.add_task(func=send, to="ada")
    tasks.add_task(all_of, 1, 2, x=3)
    tasks.add_task(some, 1, c=4)""",
    "a dependency that is given": """
def task(settings = Depends(get_settings)): ...
@app.post("/")
def post(tasks: BackgroundTasks, settings = Depends(get_settings)):
    tasks.add_task(task, settings)
    tasks.add_task(task, settings=settings)""",
    "a session that is open, or no session": """
def task(session, settings=None): ...
@app.post("/")
def post(
    session: Annotated[Session, Depends(get_session)],
    settings: Annotated[dict, Depends(get_settings, scope="function")],
    early: Annotated[Session, Depends(get_session, scope="function")],
    tasks: BackgroundTasks,
):
    tasks.add_task(task, session, settings)
    tasks.add_task(task, early.bind)
    tasks.add_task(make("tea", early))
    tasks.add_task(lambda early: task(early), 1)
SCOPE = "function" if HEAD else "request"
@app.get("/")
def get(session: Annotated[Session, Depends(get_session, scope=SCOPE)], tasks: BackgroundTasks):
    tasks.add_task(task, session)""",
    "rows that are committed, or given whole while the session is open": """
@app.post("/")
def post(session: Committed, tasks: BackgroundTasks):
    session.add(order := Order())
    session.commit()
    tasks.add_task(write, order.id)
@app.put("/")
def put(session: Committed, tasks: BackgroundTasks):
    session.add(order := Order())
    tasks.add_task(write, order)
    tasks.add_task(write, session.scalar(order.id))
@app.patch("/")
def patch(session: EarlyCommitted, tasks: BackgroundTasks):
    session.add(order := Order())
    session.flush()
    tasks.add_task(write, order.id)
@app.get("/")
def get(session: Annotated[Session, Depends(get_session)], tasks: BackgroundTasks):
    session.add(order := Order())
    tasks.add_task(write, order.id)
def get_kept():
    with Session(expire_on_commit=False) as session:
        yield session
        session.commit()
@app.delete("/")
def delete(session: Annotated[Session, Depends(get_kept, scope="function")], tasks: BackgroundTasks):
    session.add(order := Order())
    tasks.add_task(write, order)
@app.head("/")
def head(session: Committed, early: EarlyCommitted, tasks: BackgroundTasks, user: Any):
    session.add(order := Order())
    early.add(order)
    tasks.add_task(write, user.id)
    tasks.add_task(write, user)
def get_migrated():
    with Session() as session:
        session.commit()
        yield session
def get_one():
    session = Session()
    session.commit()
    return session
@app.options("/")
def options(a: Annotated[Session, Depends(get_migrated)], b: Annotated[Session, Depends(get_one)], tasks: BackgroundTasks):
    a.add(order := Order())
    b.add(order)
    tasks.add_task(write, order.id)""",
    "responses that take the tasks along": """
@app.post("/a")
def a(tasks: BackgroundTasks):
    tasks.add_task(write)
    return JSONResponse({}, background=tasks)
@app.post("/b")
def b(tasks: BackgroundTasks):
    tasks.add_task(write)
    return JSONResponse({}, background=BackgroundTask(tasks))
@app.post("/c")
def c(tasks: BackgroundTasks, cached: bool):
    if cached:
        return JSONResponse({}, background=BackgroundTask(write))
    tasks.add_task(write)
    return JSONResponse({})
@app.post("/d")
def d(tasks: BackgroundTasks):
    tasks.add_task(write)
    return JSONResponse({}, background=None)
@app.post("/e")
def e(tasks: BackgroundTasks):
    return JSONResponse({}, background=BackgroundTask(write))
@app.post("/f")
def f(tasks: BackgroundTasks):
    tasks.add_task(write)
    return JSONResponse({}, background=all_of(tasks))
@app.post("/g")
def g(tasks: BackgroundTasks):
    tasks.add_task(write)
    return JSONResponse({}, background=another())
@app.post("/h")
def h(tasks: BackgroundTasks):
    tasks.add_task(write)
    return render("page", background=BackgroundTask(write))
@app.post("/i")
def i(tasks: BackgroundTasks):
    tasks.add_task(write)
    return""",
    "raised where no task has been added": """
@app.post("/a")
def a(tasks: BackgroundTasks, item: str):
    if not item:
        raise HTTPException(404)
    tasks.add_task(write)
    return {}
@app.post("/b")
def b(tasks: BackgroundTasks, item: str):
    if item:
        tasks.add_task(write)
        return {}
    raise HTTPException(404)
@app.post("/c")
def c(tasks: BackgroundTasks):
    try:
        order()
        tasks.add_task(write)
    except ValueError:
        raise HTTPException(400)
@app.post("/d")
def d(tasks: BackgroundTasks, item: str):
    if item:
        tasks.add_task(write)
    else:
        raise HTTPException(404)
@app.post("/e")
def e(tasks: BackgroundTasks, item: str):
    match item:
        case "tea": tasks.add_task(write)
        case _: raise HTTPException(404)""",
    "raised and caught": """
@app.post("/a")
def a(tasks: BackgroundTasks):
    tasks.add_task(write)
    try:
        raise ValueError
    except ValueError:
        return JSONResponse({}, status_code=400)
@app.post("/b")
def b(tasks: BackgroundTasks):
    tasks.add_task(write)
    with suppress(ValueError):
        raise ValueError
@app.post("/c")
def c(tasks: BackgroundTasks):
    tasks.add_task(write)
    try:
        raise ValueError
    finally:
        return {}
@app.post("/d")
def d(tasks: BackgroundTasks):
    tasks.add_task(write)
    def later(): raise ValueError
    return {}
@app.post("/e")
def e(tasks: BackgroundTasks):
    tasks.add_task(write)
    try:
        raise ValueError
    except ValueError:
        print("again")
    return {}
@app.post("/f")
def f(tasks: BackgroundTasks, item: str):
    try:
        tasks.add_task(write)
        raise ValueError
    except ValueError:
        if item:
            return {}
        raise
@app.post("/g")
def g(tasks: BackgroundTasks):
    tasks.add_task(write)
    try:
        with open("items"):
            raise ValueError
    except ValueError:
        return {}
@app.post("/i")
def i(tasks: BackgroundTasks):
    tasks.add_task(write)
    try:
        try:
            raise ValueError
        except KeyError:
            raise
    except ValueError:
        return {}
@app.post("/h")
def h(tasks: BackgroundTasks):
    tasks.add_task(write)
    try:
        return {}
    finally:
        print("done")
    raise ValueError""",
    "raised to a handler that takes the tasks": """
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(write)
    raise Refused(background=tasks)""",
    "raised where the caller may catch it": """
def order(tasks: BackgroundTasks, item: str):
    tasks.add_task(write)
    raise ValueError(item)""",
    "raised after a yield, when the tasks have run": """
def audit(tasks: BackgroundTasks):
    tasks.add_task(write)
    yield
    raise ValueError
@app.get("/")
def get(a = Depends(audit)): ...""",
    "added after yield where the tasks come later": """
def audit(tasks: BackgroundTasks):
    yield
    tasks.add_task(write)
@app.get("/")
def get(a: Annotated[None, Depends(audit, scope="function")]): ...
def rows(tasks: BackgroundTasks):
    yield "a row"
    tasks.add_task(write)
def either(tasks: BackgroundTasks, first: bool):
    if first:
        yield 1
    else:
        tasks.add_task(write)
        yield 2
@app.post("/")
def post(e = Depends(either)): ...""",
    "lists of one's own that somebody takes": """
@app.post("/a")
def a():
    tasks = BackgroundTasks()
    tasks.add_task(write)
    return JSONResponse({}, background=tasks)
async def b():
    tasks = BackgroundTasks()
    tasks.add_task(write)
    await tasks()
def c():
    tasks = BackgroundTasks()
    tasks.add_task(write)
    return tasks
def test_d():
    tasks = BackgroundTasks()
    tasks.add_task(write)
    assert tasks.tasks
@app.websocket("/e")
async def e(websocket):
    tasks = BackgroundTasks()
    tasks.add_task(write)
    await tasks()
    raise ValueError
@app.post("/f")
async def f():
    tasks = BackgroundTasks()
    tasks.add_task(write)
    await tasks()
    raise ValueError
def g():
    tasks = BackgroundTasks()
    tasks.add_task(write)
    others = BackgroundTasks()
    others.add_task(tasks)
    return JSONResponse({}, background=others)""",
    "annotated parameters": """
class Noted(BackgroundTasks): ...
def noted(tasks: BackgroundTasks): return Noted()
@app.post("/")
def post(
    a: BackgroundTasks,
    b: "BackgroundTasks",
    c: Noted,
    d: Annotated[Noted, Depends(noted)],
    background_tasks=Depends(noted),
    e: BackgroundTasks = None,
    f: BackgroundTasks = BackgroundTasks(),
):
    background_tasks.add_task(write)
def helper(tasks=None, other: BackgroundTasks | None = None):
    tasks.add_task(write)""",
    "imported for all": """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from fastapi import BackgroundTasks
@app.post("/")
def post(tasks: BackgroundTasks): ...
if TYPE_CHECKING:
    from fastapi import Response as Late
@app.put("/")
def put(answer: Late): ...""",
    "a response that is read, or one's own": """
def read(response):
    print(response.status_code, response.headers.get("x"))
    report.status = "read"
def change(report): report.status = "done"
@app.post("/")
def post(response: Response, tasks: BackgroundTasks, report: Any):
    tasks.add_task(read, response)
    tasks.add_task(change, report)""",
    "loops where they belong": """
async def task(): asyncio.create_task(send())
def in_a_thread(): asyncio.run(send())
def guarded():
    try:
        asyncio.get_running_loop()
    except RuntimeError: ...
async def with_thread():
    def work(): asyncio.run(send())
    await asyncio.to_thread(work)
def never_a_task(): asyncio.create_task(send())
@app.post("/")
async def post(tasks: BackgroundTasks):
    tasks.add_task(task)
    tasks.add_task(in_a_thread)
    tasks.add_task(guarded)
    tasks.add_task(with_thread)""",
    "a loop that may be nested": """
import nest_asyncio
nest_asyncio.apply()
async def nested(): asyncio.run(send())""",
    "blocking where it belongs, or not here": """
def build(): time.sleep(1)
async def task():
    await asyncio.to_thread(build)
    time.sleep(1)  # a linter's business
@app.get("/")
def get(): build()
@app.post("/")
async def post(tasks: BackgroundTasks):
    tasks.add_task(task)
    tasks.add_task(build)
async def never_called(): build()
def rows():
    time.sleep(1)
    yield "row"
@app.put("/")
async def put(): return StreamingResponse(rows())""",
    "not FastAPI's": """
from elsewhere import BackgroundTasks
@app.post("/")
def post(tasks: BackgroundTasks):
    tasks.add_task(send("ada"))
    raise HTTPException(404)""",
    "no route": """
from unittest import mock
@mock.patch("app.mail")
def test_mail(tasks: BackgroundTasks):
    tasks.add_task(write)
    raise AssertionError
@scheduler.job("/nightly")
def nightly(tasks: BackgroundTasks):
    tasks.add_task(write)
    raise AssertionError
@app.exception_handler(404)
def answer(tasks: BackgroundTasks):
    tasks.add_task(write)
    raise AssertionError""",
}
"""What no rule may speak of."""


@pytest.mark.parametrize(
    "file", FILES, ids=lambda f: f.relative_to(EXAMPLES).as_posix()
)
def test_an_example_has_the_mistake_that_it_shows_and_no_other(file: Path):
    name = file.relative_to(EXAMPLES).with_suffix("").as_posix()
    found = {rule for rule, _ in names_of(file.read_text())}
    assert found == BROKEN_ON_PURPOSE.get(name, set())


def test_each_rule_has_something_to_find():
    assert list(FOUND) == [rule.name for rule in RULES]


@pytest.mark.parametrize(
    ("rule", "snippet"),
    [(rule, snippet) for rule, snippets in FOUND.items() for snippet in snippets],
)
def test_a_mistake_is_found_in_its_line(rule: str, snippet: str):
    source = snippet if "__future__" in snippet else HEAD + snippet
    ast.parse(source)
    here = [n for n, line in enumerate(source.splitlines(), 1) if "# here" in line]
    assert names_of(source) == [(rule, line) for line in here]


@pytest.mark.parametrize("snippet", SILENT.values(), ids=SILENT)
def test_what_is_right_gets_no_hint(snippet: str):
    assert names_of(HEAD + snippet) == []


@pytest.mark.parametrize(
    "file", FILES, ids=lambda f: f.relative_to(EXAMPLES).as_posix()
)
def test_a_hint_is_a_short_sentence(file: Path):
    for hint in hints(file.read_text()):
        assert hint.text.endswith(".")
        assert len(hint.text) <= 120


def test_hints_come_by_line_and_once():
    source = (EXAMPLES / "def_or_async/called_too_early.py").read_text()
    found = hints(source + "\n" + source.replace("app =", "again ="))
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    "source", ["def broken(:", "a = 1\n  b = 2", "\0", "(" * 900 + ")" * 900]
)
def test_what_is_no_python_gets_no_hint(source: str):
    assert hints(source) == []
    assert limits(source, lambda name: False) == []


FASTAPI = {"fastapi", "pydantic", "starlette", "anyio"}


def in_a_browser(name: str) -> bool:
    """What can be imported there."""
    return name in FASTAPI or name in sys.stdlib_module_names


def limits_of(source: str) -> list[tuple[int, str]]:
    return [(h.line, h.text) for h in limits(source, in_a_browser)]


@pytest.mark.parametrize(
    "source",
    [
        "import httpx",
        "import sqlalchemy.orm as orm",
        "from sqlalchemy import select",
        "def f():\n import redis",
        "if True:\n import httpx",
        "from fastapi import UploadFile",
        "from fastapi.testclient import TestClient",
        "from pydantic import EmailStr",
        "import threading\nthreading.Thread(target=print).start()",
        "from threading import Thread\nclass Worker(Thread): ...",
        "from multiprocessing import Process as P\nP(target=print)",
        "import multiprocessing as mp\nmp.get_context('spawn').Process()",
        "import subprocess\ndef f(): subprocess.run(['ls'])",
        "from concurrent.futures import ProcessPoolExecutor\nProcessPoolExecutor()",
        "import concurrent.futures\nconcurrent.futures.ThreadPoolExecutor(4)",
        "import asyncio\nasync def f(): await asyncio.create_subprocess_exec('ls')",
        "import socket\nsocket.create_connection(('localhost', 80))",
        "from urllib.request import urlopen\nurlopen('http://localhost')",
        "import signal\nsignal.signal(signal.SIGTERM, print)",
        "from anyio import from_thread\ndef f(): from_thread.run(print)",
        "open('log.txt', 'a')",
        "open('log.txt', mode='wb')",
        "from pathlib import Path\nPath('log.txt').write_text('tea')",
        "from pathlib import Path\nwith Path('log.txt').open('w') as file: ...",
        "import asyncio\nasyncio.run(print())",
        "import anyio\nanyio.run(print)",
        "from fastapi import FastAPI\nimport asyncio\nasyncio.run(print())",
    ],
)
def test_what_a_browser_has_not_is_said_once_with_its_line(source: str):
    (line, text), *others = limits_of(source + "\n" + source)
    assert others == []
    assert line == len(source.splitlines())
    assert text.endswith(".")
    assert len(text) <= 120


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio, json, sqlite3, threading\nfrom fastapi import FastAPI",
        "from starlette.background import BackgroundTask",
        "try:\n import httpx\nexcept ImportError:\n httpx = None",
        "try:\n import httpx\nexcept (OSError, ModuleNotFoundError):\n ...",
        "try:\n import httpx\nexcept Exception:\n ...",
        "try:\n import httpx\nexcept:\n ...",
        "import typing\nif typing.TYPE_CHECKING:\n import redis",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n import redis",
        "if __name__ == '__main__':\n import uvicorn\n uvicorn.run('main:app')",
        "import asyncio\nif __name__ == '__main__':\n asyncio.run(print())",
        "import asyncio\ndef f(): asyncio.run(print())",
        "import threading\nthreading.current_thread()\nlock = threading.Lock()",
        "def f(thread: 'threading.Thread', subprocess): subprocess.run()",
        "import socket\nsocket.gethostname()",
        "import signal\nprint(signal.SIGTERM)",
        "open('prices.csv')\nopen('prices.csv', 'rb')\nopen('prices.csv', encoding='x')",
        "from pathlib import Path\nPath('a').read_text()\nPath('a').open()",
        "def f(shop): shop.open('9:00')\ndef g(shop): shop.open('away')",
    ],
)
def test_what_a_browser_has_is_not_spoken_of(source: str):
    assert limits_of(source) == []


def test_another_file_is_not_taken_for_a_package():
    [(_, text)] = limits_of("from .prices import price")
    assert text.startswith(".prices.price is in another file")


def test_only_an_import_may_be_tried_and_only_where_its_failure_is_caught():
    source = "try:\n import httpx\nexcept KeyError: ..."
    assert [line for line, _ in limits_of(source)] == [2]
    source = "import os\ntry:\n os.fork()\nexcept Exception: ..."
    assert [line for line, _ in limits_of(source)] == [3]


def test_of_a_package_that_is_not_there_only_its_import_is_told():
    assert [line for line, _ in limits_of("import httpx\nhttpx.get('/')")] == [1]


@pytest.mark.parametrize(
    "method", ["get", "put", "post", "patch", "delete", "head", "options", "trace"]
)
def test_each_method_makes_an_endpoint(method: str):
    snippet = FOUND["raised_after"][0].replace("app.post", f"app.{method}")
    assert names_of(HEAD + snippet)


@pytest.mark.parametrize(
    "module", ["fastapi", "fastapi.background", "starlette.background"]
)
def test_background_tasks_may_be_imported_from(module: str):
    snippet = FOUND["coroutine_in_place_of_a_function"][0]
    head = HEAD.replace("import BackgroundTasks, ", "import ")
    assert names_of(f"{head}\nfrom {module} import BackgroundTasks\n{snippet}")


def test_a_package_that_is_there_may_still_reach_nobody():
    source = "import httpx\nhttpx.get('http://localhost')"
    assert len(limits(source, lambda name: True)) == 1
    assert limits("import httpx\nhttpx.Timeout(5)", lambda name: True) == []
    source = "import uvicorn\nuvicorn.run('main:app')"
    assert [hint.line for hint in limits(source, lambda name: True)] == [2]
