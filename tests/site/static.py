"""Serves a built site as a static host does: compressed, with the headers of ``_headers``.

At the root, and below the path of `PUBLISHED` as where it is published.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.site.addresses import PUBLISHED

SITE = Path(os.environ["SITE"])


class Headers:
    """Sends with everything what the site asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        file = SITE / "_headers"
        lines = file.read_text().splitlines()[1:] if file.exists() else []
        self._headers = [
            (name.strip().lower().encode(), value.strip().encode())
            for name, _, value in (line.partition(":") for line in lines)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with these headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers)


_files = StaticFiles(directory=SITE, html=True)

app = Starlette(
    routes=[
        Mount(urlsplit(PUBLISHED).path.rstrip("/"), _files),
        Mount("/", _files),
    ],
    middleware=[Middleware(Headers), Middleware(GZipMiddleware, compresslevel=1)],
)
