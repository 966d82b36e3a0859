"""Serves the site while it is written: ``make serve``.

Each build is a process of its own, so that it finds the theme's code as it is now. What was
built last is served meanwhile, and a browser that shows it is told to load it again.
"""

import asyncio
import html
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from watchfiles import awatch

ROOT = Path(__file__).parent.parent
WATCHED = [
    ROOT / name
    for name in (
        *("docs", "examples", "tests", "mkdocs.yml"),
        *("theme", "recording", "runner", "button", "workshop"),
    )
]

_SCRIPT = """<script>
let opened = false
const news = new EventSource("/livereload")
news.onmessage = () => location.reload()
news.onopen = () => { if (opened) location.reload(); opened = true }
</script></body>"""
_BROKEN = "<!doctype html><title>Not built</title><body><h1>Not built</h1><pre>{}</pre></body>"

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [  # whose import takes longest
        *("uvicorn", "starlette.staticfiles", "watchfiles"),
        *("mkdocs.commands.build", "mkdocs.config.defaults", "httpx", "psutil"),
        *("material.plugins.search.plugin", "material.templates"),
        *("pymdownx.superfences", "pymdownx.blocks.details"),
        *(
            "pygments.formatters.html",
            "pygments.lexers.python",
            "pygments.lexers.shell",
        ),
        *("markdown.extensions.tables", "markdown.extensions.md_in_html"),
    ]
)


class Site(StaticFiles):
    """The newest build; its pages reload themselves."""

    def __init__(self) -> None:
        super().__init__(directory=None, html=True, check_dir=False)
        self.broken = ""
        """Why there is none, or none that is newer."""
        self._news = asyncio.Event()
        self.ended = asyncio.Event()

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file of the site as it is; a page with the script that reloads it."""
        if self.broken:
            words = _BROKEN.format(html.escape(self.broken))
            return HTMLResponse(words.replace("</body>", _SCRIPT), 500)
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        if isinstance(response, FileResponse) and str(response.path).endswith(".html"):
            words = Path(response.path).read_text().replace("</body>", _SCRIPT)
            return HTMLResponse(words, response.status_code)
        return response

    def tell(self) -> None:
        """Have every page that is open loaded again."""
        self._news.set()
        self._news = asyncio.Event()

    async def events(self, _: Request) -> Response:
        """Say when there is something new, as server-sent events."""
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        yield ": hello\n\n"
        news = self._news
        while not self.ended.is_set():
            await news.wait()
            news = self._news
            yield "data: built\n\n"


class Server(uvicorn.Server):
    """Ends at once when it is told to, and when whoever started it has ended."""

    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._site = site
        self._parent = os.getppid()

    def stop(self) -> None:
        """End soon, without waiting for the browsers that wait for news."""
        self.should_exit = True
        self._site.ended.set()
        self._site.tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stop()

    async def on_tick(self, counter: int) -> bool:
        if os.getppid() != self._parent:
            self.stop()
        return await super().on_tick(counter)


class Builds:
    """Builds what changes, each time in a process of its own."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self._number = 0
        """Of the build that is served; each is in a folder of that name."""

    async def follow(self, url: str) -> None:
        """Build, say where it is served, and build again what changes.

        A page that is edited is built first, and shown; the rest follows, and is begun
        again if something changes meanwhile.
        """
        await self._build_all()
        print(f"Serving on {url}", flush=True)
        rest: asyncio.Task[None] | None = None
        changed = awatch(*WATCHED, step=50, debounce=400, stop_event=self._site.ended)
        async for changes in changed:
            if rest:
                rest.cancel()
                await asyncio.wait([rest])
            files = [Path(name) for _, name in changes]
            alone = all(f.suffix == ".md" and f.exists() for f in files)
            if alone and self._number and not self._site.broken:
                await self._build_pages(files)
            rest = asyncio.create_task(self._build_all(quietly=alone))

    async def _build_all(self, quietly: bool = False) -> None:
        if quietly:
            await asyncio.sleep(1)  # the browser has the machine to itself
        await self._run(self._next(), [])
        if self._site.broken or not quietly:
            self._site.tell()

    async def _build_pages(self, files: list[Path]) -> None:
        pages = [file.relative_to(ROOT).as_posix() for file in files]
        folder = self._next()
        shutil.copytree(self._folder / str(self._number), folder)
        await self._run(folder, pages)
        self._site.tell()

    def _next(self) -> Path:
        """A folder for the next build: not there, also when the last build was killed."""
        folder = self._folder / str(self._number + 1)
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    async def _run(self, folder: Path, pages: list[str]) -> None:
        """Build in a process, then serve that; if this is cancelled the process is killed.

        What was served until now stays, for those who are reading a file of it.
        """
        told = self._folder / "told"
        told.write_text("the build was killed")
        process = _processes.Process(
            target=_build, args=(folder, pages, told), daemon=True
        )
        process.start()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(process.sentinel)
            process.kill()
            process.join()
        self._site.broken = told.read_text()
        if self._site.broken:
            print(self._site.broken, file=sys.stderr, flush=True)
            return
        self._number += 1
        self._site.all_directories = [folder]
        shutil.rmtree(self._folder / str(self._number - 2), ignore_errors=True)


def _build(folder: Path, pages: list[str], told: Path) -> None:
    """In a process of its own: build with the code as it is now, and tell how it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    try:
        from workshop.building import build_for_writing

        told.write_text(build_for_writing(folder, pages, told.parent))
    except Exception:
        told.write_text(traceback.format_exc())


async def serve(listening: socket.socket, folder: Path) -> None:
    """Build and serve on that socket until the process is told to end."""
    site = Site()
    app = Starlette(
        routes=[Route("/livereload", site.events), Mount("/", site, name="site")]
    )
    server = Server(uvicorn.Config(app, log_level="warning"), site)
    host, port = listening.getsockname()
    builds = asyncio.create_task(Builds(site, folder).follow(f"http://{host}:{port}"))
    builds.add_done_callback(lambda _: server.stop())
    await server.serve(sockets=[listening])
    builds.cancel()
    await asyncio.gather(builds, return_exceptions=True)


def main(port: int) -> int:
    """Serve; 1 if somebody else listens on that port."""
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        print(f"port {port}: {why}: make serve PORT={port + 1}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(serve(listening, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
