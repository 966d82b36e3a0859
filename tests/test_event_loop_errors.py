"""The statements of docs/event-loop-errors.md."""

from runner import client, serve

APP = "examples.event_loop_errors.two_loops:app"


def test_a_client_shared_by_two_loops_fails_every_second_time():
    """A client that is used in a new loop each time fails with `Event loop is closed` every second time."""
    with serve(APP) as server:
        for number in (1, 2):
            client.post(f"{server.url}/new-loop")
            server.wait_for("deliver: 200", nth=number)
            client.post(f"{server.url}/new-loop")
            server.wait_for("RuntimeError: Event loop is closed", nth=number)


def test_the_request_that_fails_may_have_been_sent():
    """The call that fails has reached the other side: to try it again would deliver twice."""
    with serve(APP) as server:
        client.post(f"{server.url}/new-loop")
        server.wait_for("deliver: 200")
        client.post(f"{server.url}/new-loop")
        server.wait_for("RuntimeError: Event loop is closed")
        server.wait_for("GET /partner", nth=2)


def test_on_the_servers_loop_one_client_serves_all():
    """In the server's loop the same client works every time, from a `def` task too."""
    with serve(APP) as server:
        for number in (1, 2, 3):
            client.post(f"{server.url}/servers-loop")
            server.wait_for("deliver: 200", nth=number)
        server.stop()
    assert "RuntimeError" not in server.transcript()


def test_asyncio_run_in_an_async_task_fails_before_it_begins():
    """In an `async def` task `asyncio.run` fails, and what it was given is never awaited."""
    with serve(APP) as server:
        client.post(f"{server.url}/inside-a-loop")
        server.wait_for("cannot be called from a running event loop")
        server.wait_for("coroutine 'deliver' was never awaited")
        server.stop()
    assert "deliver: 200" not in server.transcript()
