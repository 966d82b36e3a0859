"""The statements of docs/recipes/download-link.md."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from runner import Server, client, serve

TARGET = "examples.recipes.download_link:app"
ADA = {"Authorization": "Bearer ada-token"}
EVE = {"Authorization": "Bearer eve-token"}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE": str(tmp_path / "links.db"),
        "REPORTS": str(tmp_path),
        "LINK_SECRET": "a secret of the tests",
    }


@pytest.fixture
def server(settings: dict[str, str]) -> Iterator[Server]:
    with serve(TARGET, env=settings) as server:
        yield server


def built(server: Server, who: dict[str, str] = ADA) -> str:
    """The id of a report that is built."""
    answer = client.post(f"{server.url}/reports", headers=who)
    assert answer.status_code == 202
    report = str(answer.json()["id"])
    server.wait_for(f"build_report: {report} done")
    return report


def ask(server: Server, report: str, who: dict[str, str] = ADA) -> httpx.Response:
    """Ask for a link to a report."""
    return client.post(f"{server.url}/reports/{report}/links", headers=who)


def link(server: Server) -> str:
    """A link to a report that is built."""
    answer = ask(server, built(server))
    assert answer.status_code == 201
    return str(answer.json()["link"])


def test_the_link_needs_no_token(server: Server):
    """Whoever has the link has the file: no header, no cookie. The browser saves it under its name, and no cache keeps it."""
    answer = client.get(server.url + link(server))
    assert answer.status_code == 200
    assert answer.text == "user,tea\r\nada,42\r\n"
    assert "attachment" in answer.headers["content-disposition"]
    assert "report.csv" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "no-store"


def test_without_a_token_there_is_neither_report_nor_link(server: Server):
    """Without a token, or with an unknown one, there is no report and no link: `401`. An address without a signature is none: `422`."""
    report = built(server)
    for headers in ({}, {"Authorization": "Bearer tea"}):
        assert client.post(f"{server.url}/reports", headers=headers).status_code == 401
        assert ask(server, report, headers).status_code == 401
    assert client.get(f"{server.url}/reports/{report}/file").status_code == 422


def test_somebody_elses_report_is_404(server: Server):
    """Somebody else's report gets `404`, word for word as for one that does not exist."""
    report, unknown = built(server), "0" * 32
    others, nobodys = ask(server, report, EVE), ask(server, unknown, EVE)
    assert others.status_code == nobodys.status_code == 404
    assert others.text.replace(report, unknown) == nobodys.text


def test_a_link_is_good_once(server: Server):
    """Of ten downloads at the same time one gets the file, the others `410`."""
    url = server.url + link(server)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: client.get(url), range(10)))
    assert sorted(a.status_code for a in answers) == [200, *[410] * 9]


def test_a_link_grows_old(settings: dict[str, str]):
    """When its time is over, the link gets `410`."""
    with serve(TARGET, env=settings | {"LINK_LIFETIME": "-1"}) as server:
        assert client.get(server.url + link(server)).status_code == 410


@pytest.mark.parametrize("part", ["report", "until", "nonce", "signature"])
def test_a_changed_link_is_none(server: Server, part: str):
    """With another report, a later time, another number or another signature it gets `403`, and the right one is still good."""
    right = link(server)
    path, query = urlsplit(right).path, parse_qs(urlsplit(right).query)
    values = {name: value for name, [value] in query.items()}
    match part:
        case "report":
            path = f"/reports/{built(server)}/file"
        case "until":
            values["until"] = str(int(values["until"]) + 1)
        case _:
            values[part] = values[part][:-1] + "01"[values[part][-1] == "0"]
    assert client.get(server.url + path, params=values).status_code == 403
    assert client.get(server.url + right).status_code == 200


def test_a_report_that_is_not_ready_has_no_link(server: Server):
    """While the report is being built, asking for a link gets `409`."""
    report = client.post(f"{server.url}/reports", headers=ADA).json()["id"]
    assert ask(server, report).status_code == 409


@pytest.mark.slow
def test_every_worker_knows_the_link(settings: dict[str, str]):
    """With the same `LINK_SECRET` every worker takes the link of another, also after a restart, and once over all of them."""
    with serve(TARGET, "--workers", "2", env=settings) as server:
        links = [link(server) for _ in range(10)]
        first = [client.get(server.url + path).status_code for path in links[:9]]
        again = {client.get(server.url + links[0]).status_code for _ in range(10)}
    with serve(TARGET, env=settings) as server:
        last = client.get(server.url + links[9]).status_code
        again.add(client.get(server.url + links[0]).status_code)
    assert first == [200] * 9
    assert last == 200
    assert again == {410}


@pytest.mark.slow
def test_without_a_common_secret_no_other_worker_does(settings: dict[str, str]):
    """Without it each process makes a secret of its own: after a restart the link gets `403`."""
    del settings["LINK_SECRET"]
    with serve(TARGET, env=settings) as server:
        path = link(server)
    with serve(TARGET, env=settings) as server:
        assert client.get(server.url + path).status_code == 403


@pytest.mark.slow
def test_the_numbers_of_old_links_are_forgotten(settings: dict[str, str]):
    """The table of used links has those that could be used again, and no older ones: each download deletes them."""
    with serve(TARGET, env=settings) as server:
        for _ in range(3):
            client.get(server.url + link(server))
        with closing(sqlite3.connect(settings["DATABASE"])) as db:
            before = db.execute("select count(*) from used").fetchone()
            db.execute("update used set until = until - 61")
            db.commit()
            client.get(server.url + link(server))
            after = db.execute("select count(*) from used").fetchone()
    assert (before, after) == ((3,), (1,))
