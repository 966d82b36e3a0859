"""The app of many_machines, killed at the first order: DIES=before_commit or after_commit."""

import os
import signal

from sqlalchemy import event
from sqlalchemy.orm import Session

from examples.many_machines.app import app

__all__ = ["app"]


@event.listens_for(Session, os.environ["DIES"])
def die(session: Session) -> None:
    """SIGKILL, as the kernel sends it: no block is left, nothing is said good-bye to."""
    os.kill(os.getpid(), signal.SIGKILL)
