"""A file that imports one name of FastAPI for an annotation: ruff's TC002 would move it."""

from __future__ import annotations

import time

from fastapi import BackgroundTasks


def write_audit_log(text: str) -> None:
    time.sleep(0.2)  # stands in for a slow disk
    print(f"write_audit_log: {text}")


def audit(tasks: BackgroundTasks) -> None:
    tasks.add_task(write_audit_log, "an order was sent")
