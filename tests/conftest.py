"""Real servers, a real browser and the built site: the tests start them themselves."""

import argparse
import ast
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from fcntl import LOCK_EX, flock
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import mean

import pytest
from playwright.sync_api import Browser

from button.markup import BUILT
from runner import Server, serve
from runner.services import Service
from tests.last_run import here
from tests.services import new_database, postgresql_url, running, settings_of
from tests.site.building import CHROMIUM, build, open_browser, serve_static
from workshop.copying import copied
from workshop.pages import address_of
from workshop.pictures import of_pages


@pytest.fixture
def postgresql() -> str:
    """SQLAlchemy's URL of an empty database of a real PostgreSQL, from its wheel."""
    return postgresql_url(new_database()).replace(":", "+psycopg:", 1)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that names the database: the example's own file, or a server."""
    if request.param == "SQLite":
        return {}
    return {"DATABASE_URL": request.getfixturevalue("postgresql")}


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What the module's `APP`, and what runs beside it, finds in its environment."""
    return settings_of(request.module.APP, tmp_path)


@pytest.fixture
def app(request: pytest.FixtureRequest, settings: dict[str, str]) -> Iterator[Server]:
    """The module's `APP`, running."""
    with serve(request.module.APP, env=settings) as server:
        yield server


@pytest.fixture
def redis() -> Service:
    """A real Redis. A test may kill it: the next one finds it running."""
    return running("redis")


@pytest.fixture
def rabbitmq() -> Service:
    """A real RabbitMQ. A test may kill it: the next one finds it running."""
    return running("rabbitmq")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome (Debian: apt install chromium)")
    with open_browser() as browser:
        yield browser


def seconds_to_parse() -> float:
    """The seconds of a processor that Python takes to parse its own `argparse`."""
    source = Path(argparse.__file__).read_text()
    before = time.thread_time()
    ast.parse(source)
    return time.thread_time() - before


@pytest.fixture(scope="session")
def site(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
) -> Path:
    """The folder of the built site: built once for all processes of the tests.

    How much of a processor that took is in a file beside it, in files that it parses
    meanwhile: the same processor is now quick and now slow. With ``--page`` only that
    page's picture is drawn.
    """
    common = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        common = common.parent
    with (common / "site.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        folder = common / "site"
        if (wrong := folder.with_suffix(".wrong")).exists():
            raise RuntimeError(wrong.read_text())
        if not (folder / "sitemap.xml").exists():
            last_run = folder.with_suffix(".json")
            here().save(last_run)
            before = getrusage(RUSAGE_CHILDREN)
            parsed = []
            with ThreadPoolExecutor(1) as beside:
                building = beside.submit(build, folder, last_run=last_run)
                while wait([building], timeout=0.2).not_done:
                    parsed.append(seconds_to_parse())
            if error := building.exception():
                wrong.write_text(str(error))  # or each process would try it again
                raise error
            after = getrusage(RUSAGE_CHILDREN)
            took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            folder.with_suffix(".units").write_text(str(took / mean(parsed)))
            page = pytestconfig.getoption("--page")
            of_pages(folder / address_of(page)[1:] if page else folder)
    return folder


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """The address of the built site."""
    with serve_static(site) as server:
        yield server.url


@pytest.fixture(scope="session")
def runtime() -> None:
    """What the Run button loads has been built: without it, no page has one."""
    if not BUILT.exists():
        pytest.skip("needs the runtime of the Run button: make, with npm and PyPI")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's files, to be changed."""
    return copied(tmp_path / "copy")
