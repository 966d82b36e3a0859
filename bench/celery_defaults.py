"""The Celery example as if its settings had been left out, for the bench."""

from examples.celery.receipts import app, queue

__all__ = ["app", "queue"]

queue.conf.update(
    task_acks_late=False,
    task_reject_on_worker_lost=None,
    worker_prefetch_multiplier=4,
    broker_transport_options={},
    result_backend_transport_options={},
)
