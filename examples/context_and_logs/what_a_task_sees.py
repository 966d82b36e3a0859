"""A task sees the context of async code; what a def endpoint or dependency sets is lost."""

from contextvars import ContextVar

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()
user: ContextVar[str] = ContextVar("user", default="nobody")


async def write_audit_log(where: str) -> None:
    print(f"set in {where}: {user.get()}")


@app.post("/async-endpoint")
async def set_in_async_endpoint(tasks: BackgroundTasks) -> None:
    user.set("ada")
    tasks.add_task(write_audit_log, "an async def endpoint")


@app.post("/def-endpoint")
def set_in_def_endpoint(tasks: BackgroundTasks) -> None:
    user.set("ada")
    tasks.add_task(write_audit_log, "a def endpoint")


async def set_user_async() -> None:
    user.set("ada")


def set_user() -> None:
    user.set("ada")


@app.post("/async-dependency", dependencies=[Depends(set_user_async)])
async def set_in_async_dependency(tasks: BackgroundTasks) -> None:
    tasks.add_task(write_audit_log, "an async def dependency")


@app.post("/def-dependency", dependencies=[Depends(set_user)])
async def set_in_def_dependency(tasks: BackgroundTasks) -> None:
    tasks.add_task(write_audit_log, "a def dependency")
