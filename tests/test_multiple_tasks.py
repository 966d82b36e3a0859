"""The statements of docs/multiple-tasks.md."""

import time

import pytest

from runner import Server, client, serve


def printed(server: Server) -> list[str]:
    """What the tasks of these examples printed, oldest first."""
    names = ("send_welcome_email", "create_thumbnail", "welcome_new_user")
    return [line.text for line in server.lines if line.text.startswith(names)]


@pytest.mark.slow
def test_tasks_of_one_request_run_one_after_another():
    """Tasks of one request run one after another, in the order in which they were added."""
    with serve("examples.multiple_tasks.in_order:app") as server:
        client.post(f"{server.url}/multi-task")
        server.wait_for("create_thumbnail: done")
        assert printed(server) == [
            "send_welcome_email: started",
            "send_welcome_email: done",
            "create_thumbnail: started",
            "create_thumbnail: done",
        ]


def test_the_response_waits_for_none_of_the_tasks():
    """The client has the response before the first task has finished."""
    with serve("examples.multiple_tasks.in_order:app") as server:
        response = client.post(f"{server.url}/multi-task")
        answered = time.monotonic()
        first_done = server.wait_for("send_welcome_email: done")
    assert response.json() == {"message": "Multiple tasks have been queued"}
    assert answered < first_done.time


@pytest.mark.slow
def test_two_tasks_of_one_second_take_two_seconds():
    """Two tasks of one second each take two seconds."""
    with serve("examples.multiple_tasks.in_order:app") as server:
        client.post(f"{server.url}/multi-task")
        started = server.wait_for("send_welcome_email: started")
        done = server.wait_for("create_thumbnail: done")
    assert 1.5 < done.time - started.time < 2.9


def test_tasks_of_two_requests_run_at_the_same_time():
    """Tasks of two requests run at the same time."""
    with serve("examples.multiple_tasks.in_order:app") as server:
        for _ in range(2):
            client.post(f"{server.url}/multi-task")
        server.wait_for("send_welcome_email: done")
        assert printed(server)[:2] == ["send_welcome_email: started"] * 2


def test_the_members_of_a_task_group_run_at_the_same_time():
    """Inside one task, the members of a `TaskGroup` run at the same time."""
    with serve("examples.multiple_tasks.at_the_same_time:app") as server:
        response = client.post(f"{server.url}/multi-task")
        server.wait_for("welcome_new_user: both done")
        story = printed(server)
    assert response.json() == {"message": "Multiple tasks have been queued"}
    assert sorted(story[:2]) == [
        "create_thumbnail: started",
        "send_welcome_email: started",
    ]
    assert sorted(story[2:4]) == ["create_thumbnail: done", "send_welcome_email: done"]


def test_a_group_of_two_seconds_of_work_takes_one():
    """The same two seconds of work take one second."""
    with serve("examples.multiple_tasks.at_the_same_time:app") as server:
        client.post(f"{server.url}/multi-task")
        started = server.wait_for("started")
        done = server.wait_for("welcome_new_user: both done")
    assert 0.5 < done.time - started.time < 1.5


def test_the_client_does_not_hear_of_a_failed_task():
    """The client gets its `200`, whatever the task does later."""
    with serve("examples.multiple_tasks.first_failure:app") as server:
        response = client.post(f"{server.url}/multi-task")
        server.wait_for("ConnectionError: the mail server refused the connection")
    assert response.status_code == 200
    assert response.json() == {"message": "Multiple tasks have been queued"}


def test_the_first_exception_skips_the_tasks_after_it():
    """The first exception skips every task after it."""
    with serve("examples.multiple_tasks.first_failure:app") as server:
        client.post(f"{server.url}/multi-task")
        server.wait_for("ConnectionError: the mail server refused the connection")
        server.stop()
        assert any(line.text == "2 tasks added" for line in server.lines)
        assert printed(server) == ["send_welcome_email: started"]


def test_the_log_shows_the_exception_but_not_the_skipped_task():
    """The server logs a traceback of the task that raised, and not a word about the skipped one."""
    with serve("examples.multiple_tasks.first_failure:app") as server:
        client.post(f"{server.url}/multi-task")
        server.wait_for("ERROR: .*Exception in ASGI application")
        server.wait_for("in send_welcome_email")
        server.wait_for("ConnectionError: the mail server refused the connection")
        server.stop()
        assert not any("create_thumbnail" in line.text for line in server.lines)


def test_a_wrapper_that_logs_keeps_the_other_tasks_running():
    """With the wrapper, the first task fails, the log names it, and the second runs."""
    with serve("examples.multiple_tasks.each_on_its_own:app") as server:
        response = client.post(f"{server.url}/multi-task")
        server.wait_for("background task send_welcome_email failed")
        server.wait_for("ConnectionError: the mail server refused the connection")
        server.wait_for("create_thumbnail: user 1")
        server.stop()
        assert not any("Exception in ASGI" in line.text for line in server.lines)
    assert response.json() == {"message": "Multiple tasks have been queued"}
