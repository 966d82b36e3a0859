"""The player of sessions turns red where a page shows what is not printed."""

import pytest

from runner import ServerError
from tests.sessions import Session

pytestmark = pytest.mark.slow

START = "$ uvicorn examples.background_tasks.first_task:app\n"
POST = "$ curl -X POST http://127.0.0.1:8000/task\n"
ANSWER = '{"message":"Task has been queued"}\n'


@pytest.fixture
def session():
    session = Session()
    yield session
    session.close()


def test_what_is_typed_is_run_and_what_is_printed_is_compared(session):
    session.play(START + POST + ANSWER, [])
    session.play("send_receipt: started\nsend_receipt: done\n", [])


def test_another_answer_than_the_one_shown_is_an_error(session):
    with pytest.raises(AssertionError, match="Task has been queued"):
        session.play(START + POST + '{"message":"Task is done"}\n', [])


def test_a_command_that_fails_is_an_error(session):
    with pytest.raises(AssertionError, match="ended with 7"):
        session.play("$ curl http://127.0.0.1:9/\n...", [])


def test_a_line_that_the_server_does_not_print_is_an_error(session):
    session.play(START, [])
    session.server.stop()
    with pytest.raises(ServerError, match="has not printed"):
        session.play("send_receipt: cancelled\n", [])


def test_lines_of_the_server_in_another_order_are_an_error(session):
    session.play(START + POST + ANSWER, [])
    session.server.wait_for("send_receipt: done")
    session.server.stop()
    with pytest.raises(ServerError, match="has not printed"):
        session.play("send_receipt: done\nsend_receipt: started\n", [])


def test_the_line_that_is_wrong_is_known(session):
    with pytest.raises(AssertionError, match=r"\$ echo two prints something else"):
        session.play("$ echo one\none\n$ echo two\nthree\n", [])
    assert session.line == 2
    session.play(START, [])
    session.server.stop()
    with pytest.raises(ServerError, match="has not printed shut up"):
        session.play("INFO:     Application startup complete.\nshut up\n", [])
    assert session.line == 1


def test_dots_stand_for_anything(session):
    session.play("$ echo one two three\none ... three\n", [])
    session.play(START + POST + ANSWER, [])
    session.play("send_receipt: started\n...\nsend_receipt: done\n", [])


def test_a_command_may_go_on_in_the_next_line(session):
    session.play("$ echo one \\\n    two\none two\n", [])


def test_main_is_a_copy_of_the_file_shown_above(session):
    session.play(
        "$ uvicorn main:app\n" + POST + ANSWER, ["background_tasks/first_task.py"]
    )
    session.play("$ ls *.py\nmain.py\n", [])


def test_pytest_finds_the_files_shown_above(session):
    shown = ["testing/main.py", "testing/test_main.py"]
    session.play(
        "$ pytest --quiet --collect-only | tail -1\n5 tests collected ...", shown
    )
