"""An endpoint that raises drops its tasks; one that returns an error runs them."""

import time

from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import JSONResponse, Response

app = FastAPI()


def write_audit_log(text: str) -> None:
    time.sleep(0.2)  # stands in for a slow disk
    print(f"write_audit_log: {text}")


@app.get("/raised/{item}", responses={404: {"description": "No such item"}})
async def raise_not_found(item: str, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(write_audit_log, f"raised, {item}")
    raise HTTPException(404, f"there is no {item}")


@app.get("/returned/{item}", responses={404: {"description": "No such item"}})
async def return_not_found(item: str, background_tasks: BackgroundTasks) -> Response:
    background_tasks.add_task(write_audit_log, f"returned, {item}")
    return JSONResponse({"detail": f"there is no {item}"}, status_code=404)


@app.get("/set/{item}", responses={404: {"description": "No such item"}})
async def set_not_found(
    item: str, response: Response, background_tasks: BackgroundTasks
) -> dict[str, str]:
    background_tasks.add_task(write_audit_log, f"set, {item}")
    response.status_code = 404
    return {"detail": f"there is no {item}"}
