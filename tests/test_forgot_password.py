"""The statements of docs/recipes/forgot-password.md."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner import Server, client, serve
from tests.copying import changed

APP = "examples.recipes.forgot_password:app"
KNOWN, UNKNOWN, FULL = "ada@example.com", "eve@example.com", "full@example.com"


def forget(app: Server, email: str, **headers: str) -> httpx.Response:
    url = f"{app.url}/forgotten-passwords"
    return client.post(url, json={"email": email}, headers=headers)


def token(app: Server, nth: int = 1) -> str:
    """That of the nth mail."""
    line = app.wait_for("send: to ada@example.com", nth=nth)
    return line.text.rpartition("#")[2]


def reset(app: Server, token: str) -> int:
    body = {"token": token, "password": "correct horse"}
    return client.post(f"{app.url}/new-passwords", json=body).status_code


def passwords(settings: dict[str, str]) -> list[Any]:
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        rows = db.execute("select password from users order by email").fetchall()
    return [password for (password,) in rows]


def test_the_answer_is_the_same(app: Server):
    """An address with an account and one without get the same answer: status, headers, body. One of them gets a mail."""
    seen = []
    for email in (KNOWN, UNKNOWN):
        answer = forget(app, email)
        assert answer.status_code == 202
        seen.append((answer.text, {**answer.headers, "date": ""}))
    app.wait_for("mail_link: done", nth=2)
    app.stop()
    assert seen[0] == seen[1]
    assert len(re.findall("send: to", app.transcript())) == 1
    assert f"send: to {KNOWN}" in app.transcript()


def test_it_is_there_before_anybody_looks(app: Server, settings: dict[str, str]):
    """While nobody can read the database, both get their answer: it cannot depend on what is in there. The mail is sent when it can be read."""
    with closing(sqlite3.connect(settings["DATABASE"], isolation_level=None)) as db:
        db.execute("begin exclusive")
        answers = [forget(app, email) for email in (KNOWN, UNKNOWN)]
        app.wait_for("mail_link: started", nth=2)
        early = app.transcript()
        db.execute("rollback")
    app.wait_for("mail_link: done", nth=2)
    assert [answer.status_code for answer in answers] == [202, 202]
    assert "send: to" not in early


def test_the_mail_alone_in_the_background_is_not_enough(
    settings: dict[str, str], tmp_path: Path
):
    """What is often written: look, write the token down, answer the same, and send the mail in the background. While somebody else writes to the database, an unknown address gets its answer and a known one waits, so the clock tells them apart."""
    in_the_endpoint = {
        "tasks.add_task(mail_link, form.email)": (
            "if link := make_link(form.email):\n"
            "        tasks.add_task(send, form.email, link)"
        ),
        "async def forgot": "def forgot",
    }
    settings = changed(settings, tmp_path, APP, in_the_endpoint)
    with (
        serve("changed:app", env=settings) as app,
        closing(sqlite3.connect(settings["DATABASE"], isolation_level=None)) as db,
        ThreadPoolExecutor() as threads,
    ):
        db.execute("begin immediate")
        known = threads.submit(forget, app, KNOWN)
        unknown = threads.submit(forget, app, UNKNOWN)
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


@pytest.mark.slow
def test_a_mail_that_fails_tells_nothing(app: Server):
    """The mail cannot be sent: the log says so, and the connection stays open, as it does for an unknown address."""
    for times, email in enumerate((FULL, UNKNOWN), 1):
        with closing(HTTPConnection(app.url.removeprefix("http://"))) as connection:
            assert ask(connection, email) == 202
            app.wait_for("mail_link: done", nth=2 * times - 1)
            assert ask(connection, email) == 202
            app.wait_for("mail_link: done", nth=2 * times)
    app.wait_for(f"mail_link: no mail to {FULL}", nth=2)


def test_an_exception_would_have_closed_the_connection(
    settings: dict[str, str], tmp_path: Path
):
    """Without the `except`, the connection of the address with the full mailbox is closed, and that of an unknown one is not."""
    raising = {'logger.exception("mail_link: no mail to %s", email)': "raise"}
    settings = changed(settings, tmp_path, APP, raising)
    with (
        serve("changed:app", env=settings) as app,
        closing(HTTPConnection(app.url.removeprefix("http://"))) as full,
        closing(HTTPConnection(app.url.removeprefix("http://"))) as unknown,
    ):
        ask(unknown, UNKNOWN)
        app.wait_for("mail_link: done")
        ask(full, FULL)
        app.wait_for("ConnectionError: the mailbox is full")
        assert full.sock.recv(1) == b""  # closed by the app
        assert ask(unknown, UNKNOWN) == 202


@pytest.mark.slow
def test_the_link_sets_a_new_password_once(app: Server, settings: dict[str, str]):
    """The link sets a new password, once: of ten at the same time one does."""
    forget(app, KNOWN)
    mailed = token(app)
    with ThreadPoolExecutor(10) as threads:
        statuses = list(threads.map(lambda _: reset(app, mailed), range(10)))
    assert sorted(statuses) == [204, *[400] * 9]
    hers, other = passwords(settings)
    assert len(hers) > 100
    assert "horse" not in hers
    assert other is None


@pytest.mark.slow
def test_an_older_link_is_of_no_use_then(app: Server):
    """Whoever asked twice has two links. When one is used, the other is void too."""
    forget(app, KNOWN)
    first = token(app)
    forget(app, KNOWN)
    second = token(app, nth=2)
    assert [reset(app, second), reset(app, first)] == [204, 400]


@pytest.mark.slow
def test_a_link_is_good_for_an_hour(app: Server, settings: dict[str, str]):
    """After an hour the link is of no use, and whoever tries it deletes it, and not the newer one."""
    forget(app, KNOWN)
    old = token(app)
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        [(left,)] = db.execute("select until - unixepoch() from links").fetchall()
        db.execute("update links set until = until - 3601")
        db.commit()
        forget(app, KNOWN)
        new = token(app, nth=2)
        assert reset(app, old) == 400
        assert db.execute("select count(*) from links").fetchone() == (1,)
    assert reset(app, new) == 204
    assert 3000 < left <= 3601


@pytest.mark.slow
def test_a_link_survives_a_restart(settings: dict[str, str]):
    """The link is good after a restart too."""
    with serve(APP, env=settings) as app:
        forget(app, KNOWN)
        mailed = token(app)
    with serve(APP, env=settings) as app:
        assert reset(app, mailed) == 204


def test_the_table_has_no_token(app: Server, settings: dict[str, str]):
    """What is in the table is no link: the token's SHA-256."""
    forget(app, KNOWN)
    mailed = token(app)
    with closing(sqlite3.connect(settings["DATABASE"])) as db:
        [(stored,)] = db.execute("select digest from links").fetchall()
    assert mailed not in Path(settings["DATABASE"]).read_bytes().decode("latin-1")
    assert reset(app, stored) == 400
    assert reset(app, mailed) == 204


def test_the_link_leads_to_your_site(app: Server):
    """The link is made of your own address, `SITE`, not of what the request says in `Host`: with `Host: evil.example` too."""
    forget(app, KNOWN, Host="evil.example")
    line = app.wait_for("send: to")
    assert "https://shop.example.com/reset#" in line.text


def test_bad_input_gets_422(app: Server):
    """What is no address, and a password of less than eight characters, get `422`."""
    short = {"token": "tea", "password": "tea"}
    assert forget(app, "ada").status_code == 422
    assert client.post(f"{app.url}/new-passwords", json=short).status_code == 422
