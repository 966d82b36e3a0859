"""Dramatiq on RabbitMQ loses nothing if `send` waits until RabbitMQ has the job."""

import os
import time
from typing import Annotated

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import BrokerConnectionError
from fastapi import FastAPI, HTTPException, Path
from pika.adapters.utils.connection_workflow import AMQPConnectorException

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
CONFIRM = os.environ.get("CONFIRM", "yes") == "yes"
LIMITS = "heartbeat=5&stack_timeout=3"  # seconds, for a RabbitMQ that does not answer
RowId = Annotated[int, Path(gt=0, lt=2**31)]

broker = RabbitmqBroker(url=f"{RABBITMQ}?{LIMITS}", confirm_delivery=CONFIRM)
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=2, min_backoff=1000)  # milliseconds
def send_receipt(order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    time.sleep(1 if item == "slow" else 0.05)  # stands in for a mail server
    if item == "refused":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_receipt: order {order_id} done", flush=True)


app = FastAPI()


@app.post("/orders/{order_id}/{item}", status_code=202, responses={503: {}})
def create_order(order_id: RowId, item: str) -> dict[str, str]:
    try:
        return {"job": send_receipt.send(order_id, item).message_id}
    except (BrokerConnectionError, AMQPConnectorException):
        raise HTTPException(503, "Orders cannot be taken right now.") from None
