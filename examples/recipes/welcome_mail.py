"""A welcome mail by SMTP: few connections, a limit of time, and retries where they help."""

import logging
import os
import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Annotated

import anyio.to_thread
import stamina
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel, StringConstraints

SMTP_HOST = os.environ.get("SMTP_HOST", "127.0.0.1")
SMTP_PORT = int(os.environ.get("SMTP_PORT", "1025"))
SMTP_USER = os.environ.get("SMTP_USER", "")
SMTP_PASSWORD = os.environ.get("SMTP_PASSWORD", "")

app = FastAPI()
logger = logging.getLogger("welcome_mail")
connections = anyio.CapacityLimiter(5)


class User(BaseModel):
    email: Annotated[
        str, StringConstraints(pattern=r"^[^@\s,;<>()]+@[\w.-]+$", max_length=254)
    ]
    name: Annotated[str, StringConstraints(pattern=r"^[^\r\n]+$", max_length=100)]


def passes_by_itself(error: Exception) -> bool:
    """Whether it may work later: no connection, or the server said "later" (4xx)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code < 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code < 500
    never = (smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError)
    return isinstance(error, OSError) and not isinstance(error, never)


@stamina.retry(on=passes_by_itself, attempts=4, timeout=60, wait_initial=0.2)
def send(message: EmailMessage) -> None:
    server = smtplib.SMTP(SMTP_HOST, SMTP_PORT, timeout=10)
    try:
        if SMTP_USER:
            server.starttls(context=ssl.create_default_context())
            server.login(SMTP_USER, SMTP_PASSWORD)
        server.send_message(message)
        with suppress(smtplib.SMTPException, OSError):  # the mail is accepted
            server.quit()
    finally:
        server.close()


def write_welcome(user: User) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "shop@example.com"
    message["To"] = user.email
    message["Subject"] = f"Welcome, {user.name}"
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="example.com")  # for all attempts
    message.set_content(f"Hello {user.name},\n\nyour account is ready.\n")
    return message


async def welcome(user: User) -> None:
    try:
        message = write_welcome(user)
        await anyio.to_thread.run_sync(send, message, limiter=connections)
    except Exception:
        logger.exception("welcome: no mail to %s", user.email)
    else:
        print(f"welcome: mail sent to {user.email}")


@app.post("/users", status_code=201)
async def create_user(user: User, tasks: BackgroundTasks) -> User:
    tasks.add_task(welcome, user)
    return user
