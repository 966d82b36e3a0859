"""Serves a built site as a static host does: compressed, and nothing else."""

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

app = Starlette(
    routes=[Mount("/", StaticFiles(directory=os.environ["SITE"], html=True))],
    middleware=[Middleware(GZipMiddleware, compresslevel=1)],
)
