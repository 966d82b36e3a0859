"""Start an example the way a reader does, and watch it: a real uvicorn in its own process."""

from runner.server import Line, Server, ServerError, serve

__all__ = ["Line", "Server", "ServerError", "serve"]
