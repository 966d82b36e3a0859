"""A task raises: the client has its 200, and no handler for the exception is called."""

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

app = FastAPI()


class CardDeclined(Exception):
    """The bank refused the payment."""


@app.exception_handler(CardDeclined)
async def answer_card_declined(request: Request, error: CardDeclined) -> JSONResponse:
    print("answer_card_declined: called")
    return JSONResponse({"detail": "card declined"}, status_code=402)


def charge_card() -> None:
    raise CardDeclined("card ends with 4242")


def refuse() -> None:
    raise HTTPException(status_code=402, detail="card declined")


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(charge_card)
    return {"message": "Task has been queued"}


@app.post("/http-exception")
async def raise_http_exception(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(refuse)
    return {"message": "Task has been queued"}
