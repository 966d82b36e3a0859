"""What an async def task sets stays for the tasks after it; a def task has a copy."""

from contextvars import ContextVar

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
user: ContextVar[str] = ContextVar("user", default="nobody")


async def become(name: str) -> None:
    user.set(name)


def become_in_thread(name: str) -> None:
    user.set(name)


def write_audit_log() -> None:
    print(f"write_audit_log: {user.get()}")


@app.post("/async-task")
async def add_async_task(tasks: BackgroundTasks) -> None:
    tasks.add_task(become, "ada")
    tasks.add_task(write_audit_log)


@app.post("/def-task")
async def add_def_task(tasks: BackgroundTasks) -> None:
    tasks.add_task(become_in_thread, "ada")
    tasks.add_task(write_audit_log)
