"""The statements of docs/recipes/csv-import.md."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from signal import SIGKILL

import httpx
import pytest

from runner import Server, client, serve
from tests.load import REQUESTS, load

TARGET = "examples.recipes.csv_import:app"
HEAD = "sku,name,cents\n"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def server(database: Path) -> Iterator[Server]:
    with serve(TARGET, env={"DATABASE": str(database)}) as server:
        yield server


def upload(server: Server, text: str | bytes) -> str:
    """Upload a file; the address of its report."""
    data = text.encode() if isinstance(text, str) else text
    answer = client.post(
        f"{server.url}/imports", files={"file": ("products.csv", data)}
    )
    assert answer.status_code == 202
    return server.url + answer.headers["location"]


def report(server: Server, text: str | bytes) -> dict:
    """The report of a file, when its import has ended."""
    address = upload(server, text)
    server.wait_for("import_products: ")
    return client.get(address).json()


def products(database: Path) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute("SELECT * FROM products ORDER BY sku").fetchall()


@pytest.mark.slow
def test_good_lines_are_imported_and_bad_ones_reported(server: Server, database: Path):
    """Good lines are imported; bad ones, the first hundred, are reported with number, column and what is wrong."""
    text = HEAD + "a1,Tea,350\na2,,400\na3,Milk,cheap\na4,Sugar,120\n"
    assert report(server, text) == {
        "status": "done",
        "read": 4,
        "imported": 2,
        "problems": [
            "line 3: name: String should have at least 1 character",
            "line 4: cents: Input should be a valid integer, unable to parse string as an integer",
        ],
    }
    assert products(database) == [("a1", "Tea", 350), ("a4", "Sugar", 120)]


def test_the_same_file_again_doubles_nothing(server: Server, database: Path):
    """The same file again doubles nothing: the article number is the key."""
    for text in ("a1,Tea,350\n", "a1,Tea,375\n"):
        upload(server, HEAD + text)
    server.wait_for("import_products: 1 of 1", nth=2)
    assert len(products(database)) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name,cents\nTea,350\n", "the first line must name sku, name and cents"),
        ("", "the first line must name sku, name and cents"),
        (HEAD.encode() + b"a1,T\xe9,350\n", "can't decode byte 0xe9"),
        (HEAD + 'a1,"Tea,350\n', "unexpected end of data"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "can't decode byte 0x89"),
    ],
    ids=["a column is missing", "empty", "not UTF-8", "an open quote", "a picture"],
)
def test_a_file_that_cannot_be_read_is_reported_as_failed(
    server: Server, text: str | bytes, problem: str
):
    """A file that cannot be read has the status `failed` and says why: no columns, not UTF-8, a quote that does not end, no CSV at all."""
    answer = report(server, text)
    assert answer["status"] == "failed"
    assert problem in answer["problems"][-1]


def test_a_byte_order_mark_and_further_columns_do_no_harm(server: Server):
    """A byte order mark, as Excel writes it, and further columns do no harm."""
    answer = report(server, "\ufeff" + "sku,name,cents,note\na1,Tea,350,new,odd\n")
    assert answer["imported"] == 1
    assert answer["problems"] == []


def test_an_unknown_import_is_404(server: Server):
    """An unknown import gets `404`."""
    assert client.get(f"{server.url}/imports/7").status_code == 404


@pytest.fixture
def hurried(database: Path) -> Iterator[Server]:
    """The server, in which a writer waits for a second."""
    env = {"DATABASE": str(database), "PATIENCE": "1"}
    with serve(TARGET, env=env) as server:
        yield server


def test_while_somebody_else_writes_for_long_an_upload_is_503(
    hurried: Server, database: Path
):
    """Somebody else writes for longer than that: an upload gets `503`, and is no import."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post(f"{hurried.url}/imports", files={"file": b"sku"})
        other.execute("ROLLBACK")
        assert answer.status_code == 503
        assert other.execute("SELECT count(*) FROM imports").fetchone() == (0,)


@pytest.mark.slow
def test_an_import_that_has_waited_too_long_is_failed_and_says_so(
    hurried: Server, database: Path
):
    """An import that has waited too long for its turn is `failed`; its report is written when the others let it, and counts exactly what is in the table."""
    lines = "".join(f"a{n:06},Tea,{n}\n" for n in range(500_000))
    address = upload(hurried, HEAD + lines)
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as other:
        while not other.in_transaction:  # between two transactions of the import
            with suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
        hurried.wait_for("sqlite3.OperationalError: database is locked")
        other.execute("ROLLBACK")
    hurried.wait_for("import_products: ")
    answer = client.get(address).json()
    assert answer["status"] == "failed"
    assert answer["problems"] == ["internal error"]
    assert answer["imported"] == len(products(database)) < 500_000


@pytest.mark.slow
def test_after_a_kill_the_report_counts_what_is_in_the_table(
    server: Server, database: Path
):
    """After a `SIGKILL` the report says `running` for ever, and it counts exactly the lines that are in the table: both are committed together."""
    lines = "".join(f"a{n:06},Tea,{n}\n" for n in range(100_000))
    address = upload(server, HEAD + lines)
    while not client.get(address).json()["imported"]:
        pass
    server.stop(SIGKILL)
    with serve(TARGET, env={"DATABASE": str(database)}) as again:
        path = address.removeprefix(server.url)
        answer = client.get(again.url + path).json()
    assert answer["status"] == "running"
    assert 0 < answer["imported"] < 100_000
    assert len(products(database)) == answer["imported"]


@pytest.mark.slow
def test_200_files_are_imported_without_a_loss(server: Server, database: Path):
    """200 files of ten products, 20 at a time: 2,000 products, and 200 reports that say so."""

    def send(client: httpx.Client, number: int) -> httpx.Response:
        lines = "".join(f"{number}-{line},Tea,350\n" for line in range(10))
        return client.post("/imports", files={"file": ("products.csv", HEAD + lines)})

    answers = load(server.url, send)
    assert {answer.status_code for answer in answers} == {202}
    server.wait_for("import_products: 10 of 10", nth=REQUESTS, timeout=100)
    assert len(products(database)) == 10 * REQUESTS
    for answer in answers:
        seen = client.get(server.url + answer.headers["location"]).json()
        assert seen == {"status": "done", "read": 10, "imported": 10, "problems": []}
