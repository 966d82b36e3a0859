"""The statements of docs/recipes/forgot-password.md."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner import Server, client, serve
from runner.process import ROOT
from tests.copying import changed

TARGET = "examples.recipes.forgot_password:app"
KNOWN, UNKNOWN, FULL = "ada@example.com", "eve@example.com", "full@example.com"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"DATABASE": str(tmp_path / "accounts.db"), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def server(settings: dict[str, str]) -> Iterator[Server]:
    with serve(TARGET, env=settings) as server:
        yield server


def forget(server: Server, email: str, **headers: str) -> httpx.Response:
    url = f"{server.url}/forgotten-passwords"
    return client.post(url, json={"email": email}, headers=headers)


def token(server: Server, nth: int = 1) -> str:
    """That of the nth mail."""
    line = server.wait_for("send: to ada@example.com", nth=nth)
    return line.text.rpartition("#")[2]


def reset(server: Server, token: str) -> int:
    body = {"token": token, "password": "correct horse"}
    return client.post(f"{server.url}/new-passwords", json=body).status_code


def passwords(settings: dict[str, str]) -> list[Any]:
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        rows = db.execute("select password from users order by email").fetchall()
    return [password for (password,) in rows]


def test_the_answer_is_the_same(server: Server):
    """An address with an account and one without get the same answer: status, headers, body. One of them gets a mail."""
    seen = []
    for email in (KNOWN, UNKNOWN):
        answer = forget(server, email)
        assert answer.status_code == 202
        seen.append((answer.text, {**answer.headers, "date": ""}))
    server.wait_for("mail_link: done", nth=2)
    server.stop()
    assert seen[0] == seen[1]
    assert len(re.findall("send: to", server.transcript())) == 1
    assert f"send: to {KNOWN}" in server.transcript()


def test_it_is_there_before_anybody_looks(server: Server, settings: dict[str, str]):
    """While nobody can read the database, both get their answer: it cannot depend on what is in there. The mail is sent when it can be read."""
    with closing(sqlite3.connect(settings["DATABASE"], isolation_level=None)) as db:
        db.execute("begin exclusive")
        answers = [forget(server, email) for email in (KNOWN, UNKNOWN)]
        server.wait_for("mail_link: started", nth=2)
        early = server.transcript()
        db.execute("rollback")
    server.wait_for("mail_link: done", nth=2)
    assert [answer.status_code for answer in answers] == [202, 202]
    assert "send: to" not in early


def test_the_mail_alone_in_the_background_is_not_enough(
    settings: dict[str, str], tmp_path: Path
):
    """What often is written: look, write the token down, answer the same, and send the mail in the background. While somebody else writes to the database, an unknown address gets its answer and a known one waits, so the clock tells them apart."""
    in_the_endpoint = {
        "tasks.add_task(mail_link, form.email)": (
            "if link := make_link(form.email):\n"
            "        tasks.add_task(send, form.email, link)"
        ),
        "async def forgot": "def forgot",
    }
    settings = changed(settings, tmp_path, TARGET, in_the_endpoint)
    with (
        serve("changed:app", env=settings) as server,
        closing(sqlite3.connect(settings["DATABASE"], isolation_level=None)) as db,
        ThreadPoolExecutor() as threads,
    ):
        db.execute("begin immediate")
        known = threads.submit(forget, server, KNOWN)
        unknown = threads.submit(forget, server, UNKNOWN)
        assert unknown.result().status_code == 202
        assert not known.done()
        db.execute("rollback")
        assert known.result().text == unknown.result().text


def ask(connection: HTTPConnection, email: str) -> int:
    """Ask on that connection, which is not opened again; the answer's status."""
    body, headers = f'{{"email": "{email}"}}', {"Content-Type": "application/json"}
    connection.request("POST", "/forgotten-passwords", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_mail_that_fails_tells_nothing(server: Server):
    """The mail cannot be sent: the log says so, and the connection stays open, as it does for an unknown address."""
    for times, email in enumerate((FULL, UNKNOWN), 1):
        with closing(HTTPConnection(server.url.removeprefix("http://"))) as connection:
            assert ask(connection, email) == 202
            server.wait_for("mail_link: done", nth=2 * times - 1)
            assert ask(connection, email) == 202
            server.wait_for("mail_link: done", nth=2 * times)
    assert f"mail_link: no mail to {FULL}" in server.transcript()


def test_an_exception_would_have_closed_the_connection(
    settings: dict[str, str], tmp_path: Path
):
    """Without the `except`, the connection of the address with the full mailbox is closed, and that of an unknown one is not."""
    raising = {'logger.exception("mail_link: no mail to %s", email)': "raise"}
    settings = changed(settings, tmp_path, TARGET, raising)
    with (
        serve("changed:app", env=settings) as server,
        closing(HTTPConnection(server.url.removeprefix("http://"))) as full,
        closing(HTTPConnection(server.url.removeprefix("http://"))) as unknown,
    ):
        ask(unknown, UNKNOWN)
        server.wait_for("mail_link: done")
        ask(full, FULL)
        server.wait_for("ConnectionError: the mailbox is full")
        assert full.sock.recv(1) == b""  # closed by the server
        assert ask(unknown, UNKNOWN) == 202


def test_the_link_sets_a_new_password_once(server: Server, settings: dict[str, str]):
    """The link sets a new password, once: of ten at the same time one does."""
    forget(server, KNOWN)
    mailed = token(server)
    with ThreadPoolExecutor(10) as threads:
        statuses = list(threads.map(lambda _: reset(server, mailed), range(10)))
    assert sorted(statuses) == [204, *[400] * 9]
    hers, other = passwords(settings)
    assert len(hers) > 100
    assert "horse" not in hers
    assert other is None


def test_an_older_link_is_of_no_use_then(server: Server):
    """Whoever asked twice has two links. When one was used, so is the other."""
    forget(server, KNOWN)
    first = token(server)
    forget(server, KNOWN)
    second = token(server, nth=2)
    assert [reset(server, second), reset(server, first)] == [204, 400]


def test_a_link_is_good_for_an_hour(server: Server, settings: dict[str, str]):
    """After an hour the link is of no use, and whoever tries it deletes it, and not the newer one."""
    forget(server, KNOWN)
    old = token(server)
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        [(left,)] = db.execute("select until - unixepoch() from links").fetchall()
        db.execute("update links set until = until - 3601")
        db.commit()
        forget(server, KNOWN)
        new = token(server, nth=2)
        assert reset(server, old) == 400
        assert db.execute("select count(*) from links").fetchone() == (1,)
    assert reset(server, new) == 204
    assert 3000 < left <= 3601


def test_a_link_survives_a_restart(settings: dict[str, str]):
    """The link is good after a restart too."""
    with serve(TARGET, env=settings) as server:
        forget(server, KNOWN)
        mailed = token(server)
    with serve(TARGET, env=settings) as server:
        assert reset(server, mailed) == 204


def test_the_table_has_no_token(server: Server, settings: dict[str, str]):
    """What is in the table is no link: the token's SHA-256."""
    forget(server, KNOWN)
    mailed = token(server)
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        [(stored,)] = db.execute("select digest from links").fetchall()
    assert mailed not in Path(settings["DATABASE"]).read_bytes().decode("latin-1")
    assert reset(server, stored) == 400
    assert reset(server, mailed) == 204


def test_the_link_leads_to_your_site(server: Server):
    """The link is made of your own address, `SITE`, not of what the request says in `Host`: with `Host: evil.example` too."""
    forget(server, KNOWN, Host="evil.example")
    line = server.wait_for("send: to")
    assert "https://shop.example.com/reset#" in line.text


def test_bad_input_gets_422(server: Server):
    """What is no address, and a password of less than eight characters, get `422`."""
    short = {"token": "tea", "password": "tea"}
    assert forget(server, "ada").status_code == 422
    assert client.post(f"{server.url}/new-passwords", json=short).status_code == 422
