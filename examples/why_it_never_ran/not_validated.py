"""A request or a response that fails validation drops the tasks, also a dependency's."""

from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from pydantic import BaseModel

app = FastAPI()


class Receipt(BaseModel):
    number: int


def write_audit_log(text: str) -> None:
    print(f"write_audit_log: {text}")


def audit(background_tasks: BackgroundTasks) -> None:
    print("audit: task added")
    background_tasks.add_task(write_audit_log, "added in a dependency")


@app.get("/orders", dependencies=[Depends(audit)])
async def read_orders(limit: Annotated[int, "how many"] = 10) -> list[int]:
    return list(range(min(limit, 3)))


@app.get("/receipt", responses={500: {"description": "Always"}})
async def read_receipt(background_tasks: BackgroundTasks) -> Receipt:
    background_tasks.add_task(write_audit_log, "response does not fit")
    return {"number": "A-7"}  # type: ignore[return-value]
