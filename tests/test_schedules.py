"""The statements of docs/schedules.md."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from runner import Server, client, serve
from runner.process import ROOT
from tests.terminal import python


def test_the_next_run_is_at_three_in_the_zone_that_was_named():
    """The next run is at three in the morning, in the zone that the scheduler was given."""
    with serve("examples.schedules.nightly:app") as server:
        answer = client.get(f"{server.url}/next-digest").json()
    run = datetime.fromisoformat(answer["next_run"])
    assert (run.hour, run.minute) == (3, 0)
    assert run.utcoffset() in (
        datetime.fromisoformat("2026-01-01T00:00+01:00").utcoffset(),
        datetime.fromisoformat("2026-07-01T00:00+02:00").utcoffset(),
    )


@pytest.mark.slow
def test_with_two_workers_every_job_runs_twice():
    """With two workers there are two schedulers, and each runs the job."""
    with serve("examples.schedules.nightly:app", "--workers", "2") as server:
        [first] = re.findall(r"process (\d+)", server.wait_for("_prices: ").text)[:1]
        server.wait_for(rf"refresh_prices: process (?!{first}(?!\d))\d+")


@pytest.mark.slow
def test_the_schedule_in_a_process_of_its_own_runs_once():
    """A process of its own runs the job as long as it lives, however many workers serve the app; under uvicorn the same file runs none."""
    file = ROOT / "examples/schedules/own_process.py"
    with (
        serve("examples.schedules.own_process:app", "--workers", "2") as server,
        python(file) as process,
    ):
        assert process.stdout
        for _ in range(2):
            assert process.stdout.readline() == "refresh_prices: done\n"
        assert client.get(f"{server.url}/ping").status_code == 200
    assert not any("refresh_prices" in line.text for line in server.lines)


def nights(server: Server, starts: int) -> tuple[int, int]:
    """How many sent the digest, and how many left it to another."""
    ends = r"send_digest: \S+ (by process|has been claimed)"
    server.wait_for(ends, nth=starts)
    said = re.findall(ends, "\n".join(x.text for x in server.lines))
    return said.count("by process"), said.count("has been claimed")


@pytest.mark.slow
def test_one_of_two_workers_claims_the_night(tmp_path: Path):
    """Of two workers that try at the same time one sends the digest; the other finds the night claimed."""
    settings = {"DATABASE": str(tmp_path / "db")}
    target = "examples.schedules.once_for_all:app"
    with serve(target, "--workers", "2", env=settings) as server:
        assert nights(server, starts=2) == (1, 1)


def test_a_run_that_was_missed_is_made_up_for_once(tmp_path: Path):
    """A server that was down at three sends the digest when it starts, and not again when it is restarted."""
    settings = {"DATABASE": str(tmp_path / "db")}
    target = "examples.schedules.once_for_all:app"
    with serve(target, env=settings) as server:
        assert nights(server, starts=1) == (1, 0)
    with serve(target, env=settings) as server:
        assert nights(server, starts=1) == (0, 1)


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_the_next_one_out():
    """While a run goes on the next is skipped, and the log says so."""
    with serve("examples.schedules.missed_and_overlapping:app") as server:
        server.wait_for("import_orders: started")
        skipped = server.wait_for("skipped: maximum number of running instances")
        done = server.wait_for("import_orders: done")
    assert skipped.time < done.time


def test_a_run_is_missed_when_the_event_loop_is_blocked_for_longer_than_a_second():
    """A run that is more than a second late is missed, unless `misfire_grace_time` allows more."""
    with serve("examples.schedules.missed_and_overlapping:app") as server:
        client.post(f"{server.url}/blocked-at-three")
        server.wait_for('"send_digest .*was missed by 0:00:0[1-9]')
        server.wait_for("send_digest: late")
        server.stop()
        assert not any("send_digest: in time" in line.text for line in server.lines)


def test_a_run_that_goes_on_when_the_server_stops_is_cancelled():
    """An `async def` run that goes on when the server stops is cancelled."""
    with serve("examples.schedules.missed_and_overlapping:app") as server:
        server.wait_for("import_orders: started")
        server.stop()
        assert not any("import_orders: done" in line.text for line in server.lines)


def runs(day: str, at: str) -> list[str]:
    with serve("examples.schedules.twice_or_never:app") as server:
        return client.get(f"{server.url}/runs/{day}/{at}").json()


def test_half_past_two_happens_twice_when_the_clocks_go_back():
    """On the day when the clocks go back, a run at 02:30 happens twice, an hour apart."""
    assert runs("2026-10-24", "2/30") == ["2026-10-24T02:30:00+02:00"]
    assert runs("2026-10-25", "2/30") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ]


def test_half_past_two_happens_at_half_past_three_when_they_go_forward():
    """On the day when they go forward there is no 02:30; the run happens at 03:30."""
    assert runs("2027-03-28", "2/30") == ["2027-03-28T03:30:00+02:00"]


def test_three_o_clock_happens_once_on_every_day():
    """03:00 happens once on both days."""
    assert runs("2026-10-25", "3/0") == ["2026-10-25T03:00:00+01:00"]
    assert runs("2027-03-28", "3/0") == ["2027-03-28T03:00:00+02:00"]


@pytest.mark.parametrize(
    ("weekday", "named"),
    [("0", "Monday"), ("sun", "Sunday"), ("6", "Sunday"), ("mon", "Monday")],
)
def test_the_weekday_0_is_monday(weekday: str, named: str):
    """`0 3 * * 0`, which in cron is Sunday, is Monday in APScheduler 3, in `from_crontab` too. `sun` is Sunday in both."""
    with serve("examples.schedules.weekdays:app") as server:
        asked = {"crontab": f"0 3 * * {weekday}"}
        answer = client.get(f"{server.url}/next-run", params=asked)
        refused = client.get(f"{server.url}/next-run", params={"crontab": "at three"})
    assert answer.json() == {"next_run": f"{named} 03:00"}
    assert refused.status_code == 422
