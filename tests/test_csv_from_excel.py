"""The statements of docs/recipes/csv-from-excel.md."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runner import Server, client, serve
from tests.copying import changed

APP = "examples.recipes.csv_from_excel:app"
GERMAN = "sku;name;price\r\na1;Grüner Tee;3,50\r\na2;Öl;12\r\n"
ENGLISH = "sku,name,price\r\na1,Grüner Tee,3.50\r\na2,Öl,12\r\n"
WITH_BAD_LINES = 'sku;name;price\na1;Tea;3,50\na2;"Milk\nfresh";cheap\na3;;1,20\n'
TEA_AND_OIL = [("a1", "Grüner Tee", "3.50"), ("a2", "Öl", "12")]
BY_LINES = {
    "        db.execute(UPSERT, (json.dumps(products[start : start + BATCH]),))": (
        "        db.executemany(\n"
        "                        'insert into products values (?, ?, ?) on conflict do nothing',\n"
        "                        [[*p.values()] for p in products[start : start + BATCH]],\n"
        "                    )"
    )
}


def report(app: Server, data: bytes, nth: int = 1, dry_run: bool = False) -> dict:
    """The report of the nth file, when its import has ended."""
    answer = client.post(
        f"{app.url}/imports",
        files={"file": ("products.csv", data)},
        params={"dry_run": dry_run},
    )
    assert answer.status_code == 202
    app.wait_for("import_products: ", nth=nth)
    return client.get(f"{app.url}/imports/{answer.json()['id']}").json()


def products(settings: dict[str, str]) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        return db.execute("select * from products order by sku").fetchall()


@pytest.mark.parametrize(
    "data",
    [
        GERMAN.encode("cp1252"),
        GERMAN.encode("utf-8-sig"),
        GERMAN.encode(),
        GERMAN.replace("\r\n", "\r").encode("cp1252"),
        ENGLISH.encode("cp1252"),
        ENGLISH.replace(",", "\t").encode("utf-8-sig"),
    ],
    ids=["; cp1252", "; BOM", "; UTF-8", "; CR", ", cp1252", "tab BOM"],
)
def test_what_excel_saves_can_be_read(
    app: Server, settings: dict[str, str], data: bytes
):
    """Excel's “CSV”, with `;`, a decimal comma and Windows-1252, its “CSV UTF-8” with a byte order mark, and the same with commas, tabs or the line ends of an old Mac, are the same two products."""
    assert report(app, data) == {
        "dry_run": False,
        "status": "done",
        "good": 2,
        "bad": 0,
        "problems": [],
    }
    assert products(settings) == TEA_AND_OIL


def test_an_umlaut_in_the_last_line_decides(app: Server, settings: dict[str, str]):
    """The first byte that is no UTF-8 may stand in the last line: 10,000 lines of plain ASCII before it are read well."""
    lines = "".join(f"b{n};Tea;1\r\n" for n in range(10_000))
    data = f"sku;name;price\r\n{lines}a2;Öl;12\r\n".encode("cp1252")
    assert report(app, data)["good"] == 10_001
    assert products(settings)[0] == ("a2", "Öl", "12")


def test_the_first_line_names_the_delimiter(app: Server, settings: dict[str, str]):
    """The first line alone says what the delimiter is: names full of the other one do no harm."""
    data = b'sku,name,price\na1,"Tea; green; fresh; new",1\n'
    assert report(app, data)["good"] == 1
    assert products(settings) == [("a1", "Tea; green; fresh; new", "1")]


def test_more_than_five_megabytes_are_413(app: Server):
    """A file of more than five megabytes gets `413`."""
    files = {"file": ("products.csv", b"a" * 5_000_001)}
    assert client.post(f"{app.url}/imports", files=files).status_code == 413


def test_a_dry_run_tells_and_writes_nothing(app: Server, settings: dict[str, str]):
    """A dry run reports how many lines are good, and each bad one with its line, as an editor counts it, its column and what is wrong. Nothing is written, also of a file without bad lines."""
    with_bad = report(app, WITH_BAD_LINES.encode(), dry_run=True)
    without = report(app, GERMAN.encode(), nth=2, dry_run=True)
    assert products(settings) == []
    assert with_bad == {
        "dry_run": True,
        "status": "failed",
        "good": 1,
        "bad": 2,
        "problems": [
            "line 4: price: Input should be a valid decimal",
            "line 5: name: String should have at least 1 character",
        ],
    }
    assert (without["status"], without["good"]) == ("done", 2)


def test_all_or_nothing(app: Server, settings: dict[str, str]):
    """Without a dry run too, a file with a bad line is not imported, not even its good lines; without the bad ones it is."""
    refused = report(app, WITH_BAD_LINES.encode())
    nothing = products(settings)
    good = WITH_BAD_LINES.splitlines(keepends=True)[:2]
    done = report(app, "".join(good).encode(), nth=2)
    assert (refused["status"], nothing) == ("failed", [])
    assert (done["status"], len(products(settings))) == ("done", 1)


def test_the_import_is_one_transaction(app: Server, settings: dict[str, str]):
    """When the database fails in the middle of 2,000 lines, none of them is there, and the report says `failed`."""
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        db.execute(
            "create trigger full before insert on products when new.sku = 'a1700'"
            " begin select raise(abort, 'the disk is full'); end"
        )
    lines = "".join(f"a{n};Tea;1\n" for n in range(2000))
    app.expect("the disk is full")
    answer = report(app, f"sku;name;price\n{lines}".encode())
    assert answer["status"] == "failed"
    assert answer["problems"] == ["internal error"]
    assert products(settings) == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", ""),
        (b"sku;name\na1;Tea\n", "price: Field required"),
        (b"a1;Tea;3,50\na2;Milk;1,20\n", "sku: Field required"),
        (b'sku;name;price\na1;"Tea;3,50\n', "unexpected end of data"),
        (b"sku;name;price\na1;Tea\x81;3,50\n", "can't decode byte 0x81"),
        (
            b"sku;name;price\na1;Tea;1.234,50\n",
            "price: Input should be a valid decimal",
        ),
        (b"sku;name;price\na1;Tea;3,505\n", "price: Decimal input should have no more"),
        (
            b"sku;name;price\na1;Tea;-1\n",
            "price: Input should be greater than or equal",
        ),
        (b"sku;name;price\na1;Tea;10000000\n", "price: Input should be less than"),
        (b"sku;name;price\na1;Tea\n", "price: Decimal input should be"),
    ],
    ids=[
        "empty",
        "a column",
        "no head",
        "open quote",
        "bytes",
        "1.234,50",
        "3,505",
        "-1",
        "ten million",
        "a short line",
    ],
)
def test_what_cannot_be_read_is_failed(
    app: Server, settings: dict[str, str], data: bytes, problem: str
):
    """An empty file, a missing column or header, an open quote, a byte that is in neither encoding, a line that is too short, and a price that is out of bounds or could be meant in two ways, are `failed`, and all but the empty file say why."""
    answer = report(app, data)
    assert answer["status"] == "failed"
    assert problem in "".join(answer["problems"])
    assert products(settings) == []


def test_further_columns_do_no_harm(app: Server):
    """Further columns, also without a header, do no harm."""
    data = b"sku;name;price;note\na1;Tea;3,50;new;odd\n"
    assert report(app, data)["good"] == 1


def test_no_more_than_a_hundred_are_told(app: Server):
    """Of 150 bad lines all are counted, and the first hundred reported."""
    lines = "".join(f"a{n};;1\n" for n in range(150))
    answer = report(app, f"sku;name;price\n{lines}".encode())
    assert answer["bad"] == 150
    assert len(answer["problems"]) == 100
    assert answer["problems"][0].startswith("line 2:")


@pytest.mark.slow
def test_a_statement_for_500_lines(settings: dict[str, str], tmp_path: Path):
    """2,000 lines are four statements. With `executemany` in batches they are 2,000: SQLite executes it line by line."""
    lines = "".join(f"a{n};Tea;1\n" for n in range(2000))
    traced = {
        "return sqlite3.connect(DATABASE, timeout=30)": (
            "db = sqlite3.connect(DATABASE, timeout=30)\n"
            "    db.set_trace_callback(print)\n"
            "    return db"
        )
    }
    counted = []
    for number, changes in enumerate((traced, traced | BY_LINES)):
        folder = tmp_path / str(number)
        folder.mkdir()
        env = changed(settings, folder, APP, changes)
        with serve("changed:app", env=env) as app:
            assert report(app, f"sku;name;price\n{lines}".encode())["good"] == 2000
            counted.append(app.transcript().count("insert into products"))
    assert counted == [4, 2000]
    assert len(products(settings)) == 2000


def test_an_unknown_import_is_404(app: Server):
    """An unknown import gets `404`."""
    assert client.get(f"{app.url}/imports/7").status_code == 404
