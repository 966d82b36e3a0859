"""The statements of docs/recipes/welcome-mail.md."""

import asyncio
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from runner import Server, client, serve
from runner.process import free_port, wait_until_it_listens
from tests.load import REQUESTS, load

ADA = {"email": "ada@example.com", "name": "Ada"}


class Postbox:
    """A real SMTP server's handler: keeps mails, and answers the first ones as told."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.attempts: list[str] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.goodbye = "221 Bye"
        self.answers: list[str] = []
        """What to answer to the next mails; then each is accepted."""
        self.open = self.most_open = self.together = 0
        """How many mails come in; the most at a time; how many wait for each other."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        await asyncio.sleep(0.01)
        while self.most_open < self.together:
            await asyncio.sleep(0.01)
        self.open -= 1
        mail = message_from_bytes(envelope.content)
        self.attempts.append(mail["Message-ID"])
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(mail)
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        return self.goodbye

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, login: Any
    ) -> AuthResult:
        self.logins.append((login.login, login.password))
        return AuthResult(success=True)


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def server(postbox: Postbox) -> Iterator[Server]:
    smtp = Controller(postbox, hostname="127.0.0.1", port=free_port())
    smtp.start()
    settings = {"SMTP_PORT": str(smtp.port)}
    with serve("examples.recipes.welcome_mail:app", env=settings) as server:
        yield server
    smtp.stop()


def test_the_mail_arrives(server: Server, postbox: Postbox):
    """The mail arrives, after the response."""
    answer = client.post(f"{server.url}/users", json=ADA)
    server.wait_for("welcome: mail sent to ada@example.com")
    assert answer.status_code == 201
    [mail] = postbox.mails
    assert mail["To"] == "ada@example.com"
    assert mail["Subject"] == "Welcome, Ada"


def test_a_mail_server_to_try_it_with(tmp_path: Path):
    """`python -m aiosmtpd` prints the mails that it gets."""
    port = free_port()
    where = f"127.0.0.1:{port}"
    command = [sys.executable, "-um", "aiosmtpd", "--nosetuid", "--listen", where]
    with (
        (tmp_path / "printed").open("w+") as printed,
        subprocess.Popen(command, stdout=printed, stderr=printed) as mail_server,
        serve(
            "examples.recipes.welcome_mail:app", env={"SMTP_PORT": str(port)}
        ) as server,
    ):
        wait_until_it_listens(f"http://{where}")
        client.post(f"{server.url}/users", json=ADA)
        server.wait_for("welcome: mail sent to ada@example.com")
        mail_server.terminate()
        mail_server.wait(30)
        assert "your account is ready" in (tmp_path / "printed").read_text()


@pytest.mark.slow
def test_later_is_tried_again_with_the_same_id(server: Server, postbox: Postbox):
    """When the mail server says “later” (4xx), the same mail with the same `Message-ID` is sent again."""
    postbox.answers = ["451 too busy", "451 still too busy"]
    client.post(f"{server.url}/users", json=ADA)
    server.wait_for("welcome: mail sent to ada@example.com")
    assert len(postbox.attempts) == 3
    assert len(set(postbox.attempts)) == 1
    assert len(postbox.mails) == 1


def test_a_mail_that_was_accepted_is_not_sent_again(server: Server, postbox: Postbox):
    """The mail server accepts the mail and says “later” to the goodbye: the mail is not sent a second time."""
    postbox.goodbye = "421 too busy for that"
    client.post(f"{server.url}/users", json=ADA)
    server.wait_for("welcome: mail sent to ada@example.com")
    assert len(postbox.mails) == 1


def test_with_a_password_the_mail_is_sent_encrypted(postbox: Postbox, tmp_path: Path):
    """With `SMTP_USER` and `SMTP_PASSWORD` it asks for encryption (STARTTLS, port 587), checks the certificate, and logs in. A certificate that it does not trust gets no password, and is not tried again."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
    settings = {
        "SMTP_USER": "shop",
        "SMTP_PASSWORD": "tea",
        "SSL_CERT_FILE": str(tmp_path / "trusted.pem"),
    }
    for issuer, printed in ((authority, "mail sent"), (stranger, "no mail")):
        encrypted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issuer.issue_cert("127.0.0.1").configure_cert(encrypted)
        smtp = Controller(
            postbox,
            hostname="127.0.0.1",
            port=free_port(),
            tls_context=encrypted,
            require_starttls=True,
            auth_required=True,
            authenticator=postbox.authenticate,
        )
        smtp.start()
        settings["SMTP_PORT"] = str(smtp.port)
        with serve("examples.recipes.welcome_mail:app", env=settings) as server:
            client.post(f"{server.url}/users", json=ADA)
            server.wait_for(f"welcome: {printed} to ada@example.com")
            assert "retry_scheduled" not in server.transcript()
        smtp.stop()
    assert postbox.logins == [(b"shop", b"tea")]
    assert len(postbox.mails) == 1


def test_never_is_not_tried_again(server: Server, postbox: Postbox):
    """When it says “never” (5xx), the log says so at once, and nothing is tried again."""
    postbox.answers = ["554 we do not want this"]
    client.post(f"{server.url}/users", json=ADA)
    server.wait_for("welcome: no mail to ada@example.com")
    server.wait_for("we do not want this")
    server.stop()
    assert len(postbox.attempts) == 1
    assert not any("Exception in ASGI" in line.text for line in server.lines)


@pytest.mark.slow
def test_without_a_mail_server_the_client_has_its_answer_and_the_log_the_rest():
    """Without a mail server the client has its `201`; the task tries four times, and the log says to whom no mail went."""
    settings = {"SMTP_PORT": str(free_port())}
    with serve("examples.recipes.welcome_mail:app", env=settings) as server:
        answer = client.post(f"{server.url}/users", json=ADA)
        server.wait_for("stamina.retry_scheduled", nth=3)
        server.wait_for("welcome: no mail to ada@example.com")
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "user",
    [
        {"email": "ada", "name": "Ada"},
        {"email": "ada@example.com, eve@example.com", "name": "Ada"},
        {"email": "ada@example.com", "name": "Ada\r\nBcc: eve@example.com"},
        {"email": "ada@example.com\nBcc: eve@example.com", "name": "Ada"},
    ],
    ids=["no address", "two addresses", "a header in the name", "one in the address"],
)
def test_an_address_or_a_name_that_smuggles_in_a_header_gets_422(user: dict[str, str]):
    """No address, two addresses, and a name or an address with a header in it, get `422`."""
    with serve("examples.recipes.welcome_mail:app") as server:
        assert client.post(f"{server.url}/users", json=user).status_code == 422


@pytest.mark.slow
def test_200_users_get_a_mail_each(server: Server, postbox: Postbox):
    """200 users, 20 at a time: each gets one mail, over at most five connections at a time."""
    postbox.together = 5
    answers = load(
        server.url,
        lambda client, number: client.post(
            "/users", json={"email": f"user{number}@example.com", "name": "Ada"}
        ),
    )
    assert {answer.status_code for answer in answers} == {201}
    server.wait_for("welcome: mail sent", nth=REQUESTS, timeout=100)
    assert Counter(mail["To"] for mail in postbox.mails) == Counter(
        f"user{number}@example.com" for number in range(REQUESTS)
    )
    assert postbox.most_open == 5
