"""A server that prints a warning, an error or a traceback that no test expected fails the test."""

import sys
from contextlib import AbstractContextManager

import pytest

from runner import Server
from runner.complaints import complaints
from runner.process import FAILURES, ServerError, start

FORGOTTEN = "import asyncio; asyncio.sleep(1)"
UNCLOSED = "import socket; socket.socket(); print('done')"
FAILED = "import logging; logging.basicConfig()\ntry: 1 / 0\nexcept ZeroDivisionError: logging.exception('order 7 failed')"
CHAINED = """\
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "main.py", line 1, in first
sqlite3.OperationalError: database is locked

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "main.py", line 2, in second
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked
[SQL: select 1]
INFO:     Shutting down"""


GROUP = """\
ERROR:    Exception in ASGI application
  + Exception Group Traceback (most recent call last):
  |   File "main.py", line 1, in first
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "main.py", line 2, in second
    | anyio.BrokenResourceError
    +------------------------------------
INFO:     Shutting down"""


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (FORGOTTEN, "RuntimeWarning: coroutine 'sleep' was never awaited"),
        (UNCLOSED, "ResourceWarning: unclosed <socket"),
        (FAILED, "ERROR:root:order 7 failed\nTraceback(?s:.*)ZeroDivisionError"),
    ],
    ids=["never awaited", "never closed", "logged"],
)
def test_what_a_process_complains_of_fails_the_test_that_started_it(script, told):
    with pytest.raises(ServerError, match=told):
        complain(script)


@pytest.mark.parametrize("line", ["order 7 failed", "ZeroDivisionError"])
def test_a_complaint_of_which_a_line_was_waited_for_is_expected(line: str):
    with run(FAILED) as once:
        once.wait_for(line)
        once.wait()


def test_a_complaint_may_be_expected_without_waiting_for_it():
    with run(FAILED) as once:
        once.expect("division by zero")
        once.wait()


def test_who_expects_failures_does_not_expect_warnings():
    with pytest.raises(ServerError, match="never awaited"):
        complain(FORGOTTEN, expected=FAILURES)


def test_the_failure_of_the_test_is_told_and_not_the_complaint():
    with pytest.raises(ServerError, match="has not printed 'order 8'"):
        complain(FAILED, waits_for="order 8")


def test_a_chain_of_tracebacks_is_one_complaint():
    lines = CHAINED.splitlines()
    assert list(complaints(lines)) == [range(10)]


def test_a_traceback_that_a_kill_cut_off_is_none():
    lines = CHAINED.splitlines()
    assert list(complaints(lines[:3])) == []
    assert list(complaints(lines[:9])) == []


def test_neither_is_that_of_a_group_before_its_last_line():
    lines = GROUP.splitlines()
    assert list(complaints(lines)) == list(complaints(lines[:9])) == [range(9)]
    for end in range(2, 9):
        assert list(complaints(lines[:end])) == []


@pytest.mark.parametrize("kind", ["RuntimeWarning", "ResourceWarning"])
def test_what_was_forgotten_is_found_wherever_python_collects_it(kind: str):
    line = f"/x/.venv/lib/python3.13/site-packages/a.py:1: {kind}: never done"
    assert list(complaints([line])) == [range(1)]


@pytest.mark.parametrize(
    "line",
    [
        'INFO:     127.0.0.1:1 - "GET /ERROR HTTP/1.1" 404 Not Found',
        "/x/.cache/arq/arq/worker.py:877: DeprecationWarning: old",
        "sys:1: ResourceWarning: unclosed <socket.socket fd=3>",
        "<sys>:0: ResourceWarning: unclosed <socket.socket fd=3>",  # since Python 3.13
        "/x/lib/python3.13/tempfile.py:9: ResourceWarning: Implicitly cleaning up",
        "send_receipt: order 7 failed",
        "errors=0 level=INFO",
    ],
)
def test_what_a_package_deprecates_or_a_program_says_is_no_complaint(line: str):
    assert list(complaints([line])) == []


def run(script: str) -> AbstractContextManager[Server]:
    """Run a script in a process of its own."""
    return start((sys.executable, "-c", script), ready=None)


def complain(script: str, *, waits_for: str = "", expected: str = "nothing") -> None:
    with run(script) as once:
        once.expect(expected)
        once.wait_for(waits_for) if waits_for else once.wait()
