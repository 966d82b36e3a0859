"""Each process of the worker loads the model after the fork, before its first job."""

import os
import time
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
SECONDS_TO_LOAD = float(os.environ.get("SECONDS_TO_LOAD", "0.1"))
queue = Celery("shop", broker=BROKER)
queue.conf.worker_proc_alive_timeout = 60  # seconds for load_model; 4 by default


class Model:
    """Stands in for one on a GPU: it works in the process that has loaded it."""

    def __init__(self) -> None:
        time.sleep(SECONDS_TO_LOAD)
        self.process = os.getpid()
        print(f"Model: loaded in process {self.process}", flush=True)

    def predict(self, text: str) -> int:
        if os.getpid() != self.process:
            raise RuntimeError("this model was loaded in another process")
        return len(text)


models: list[Model] = []


@worker_process_init.connect
def load_model(**_: Any) -> None:
    models.append(Model())


@queue.task
def classify(text: str) -> None:
    answer = models[0].predict(text)
    print(f"classify: {text} is {answer} in process {os.getpid()}", flush=True)


app = FastAPI()


@app.post("/texts/{text}", status_code=202)
def create_classification(text: str) -> dict[str, str]:
    return {"job": classify.delay(text).id}
