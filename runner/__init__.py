"""How an example is run, the way a reader does: a real uvicorn in its own process."""

from runner.clients import client, new_client
from runner.process import Line, Server, ServerError, serve

__all__ = ["Line", "Server", "ServerError", "client", "new_client", "serve"]
