"""The recordings still tell the truth, and the figures tell what the recordings say."""

import copy
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import __main__ as bench
from bench import latency
from recording import model, processes
from recording.figure import draw, story
from recording.model import RECORDINGS, Freeze, Latencies, Recording, load, path_of
from recording.shape import differences
from runner.scenes import SCENES
from tests.scenes import differences_of_another_run, scenes
from workshop.pages import DOCS, page_of_scene

every_scene = pytest.mark.parametrize("name", SCENES)
OF_ONE = [name for name, scene in SCENES.items() if not scene.processes]
OF_SEVERAL = [name for name, scene in SCENES.items() if scene.processes]


@pytest.mark.slow
@scenes(lambda needs: needs.service != "rabbitmq")
def test_a_scene_performed_again_has_the_shape_of_its_recording(
    name: str, tmp_path: Path
):
    found = differences_of_another_run(name, tmp_path)
    assert not found, "\n".join(
        [*found, f"if intended: make record SCENE={name} ACCEPT=1"]
    )


@every_scene
def test_a_recording_is_of_the_scene_as_it_is_now(name: str):
    assert load(Recording, name).scene == SCENES[name]


def test_every_scene_is_recorded_and_shown_on_its_page():
    names = {*SCENES, latency.NAME, bench.NAME}
    assert {*map(path_of, names)} == {*RECORDINGS.rglob("*.json")}
    for name, scene in SCENES.items():
        page = DOCS / f"{page_of_scene(name, scene.example)}.md"
        assert f"```timeline\n{name}\n```" in page.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lane": "event loop"}, "{} runs on the event loop, was in the thread pool"),
        ({"function": "another"}, "another starts, was not there before"),
        ({"error": "ValueError"}, "{} fails with ValueError, ends well before"),
        (
            {"end": 0.0},
            "{} ends before the response to POST /multi-task is handed over, was after",
        ),
        ({"start": 0.0}, "send_welcome_email and {} overlap, did not before"),
    ],
    ids=str,
)
def test_another_lane_name_error_end_or_overlap_is_told_in_words(change, words):
    run = load(Recording, "multiple_tasks/in_order").run
    other = copy.deepcopy(run)
    other.calls[1] = replace(other.calls[1], **change)
    assert words.format(run.calls[1].function) in differences(other, run)


def test_another_answer_line_or_order_is_told_in_words():
    run = load(Recording, "multiple_tasks/in_order").run
    other = copy.deepcopy(run)
    other.exchanges[0].status = 500
    other.calls.reverse()
    other.printed[0].text = "hello"
    first, last = run.calls[0].function, run.calls[-1].function
    assert differences(other, run) == [
        f"{last} starts before {first}, was after it",
        "POST /multi-task is answered with 500, was with 200",
        "the line 'hello' is printed, was not there before",
        f"the line {run.printed[0].text!r} is missing",
    ]


def test_another_status_of_a_response_that_broke_off_is_another_shape():
    run = load(Recording, "multiple_tasks/in_order").run
    run.exchanges[0].error = "ReadError"
    other = copy.deepcopy(run)
    other.exchanges[0].status = 500
    assert differences(other, run) == [
        "POST /multi-task is answered with 500 and ReadError, was with 200 and ReadError"
    ]


def test_what_ends_at_the_moment_of_the_response_ends_before_it_or_after():
    """A browser's clock may have milliseconds only."""
    run = load(Recording, "at_the_same_time/all_results").run
    coarse = copy.deepcopy(run)
    for call in coarse.calls:
        call.end = round(call.end, 2)
    coarse.exchanges[0].handed_over = coarse.calls[0].end
    assert run.calls[0].end < (run.exchanges[0].handed_over or 0)
    assert differences(coarse, run) == []
    late = coarse.exchanges[0].handed_over = coarse.calls[1].end = 0.7
    assert run.calls[1].end < late / 1.5
    [told] = differences(coarse, run)
    assert "read_trains ends after the response" in told


def test_what_waits_for_nothing_may_take_any_time():
    """On a busy machine a commit takes as long as on an idle one a mail."""
    run = load(Recording, "sessions_and_dependencies/row_not_found").run
    slow = copy.deepcopy(run)
    for call in slow.calls:
        call.end += 0.2
    assert differences(slow, run) == []


def test_a_recording_is_kept_and_loaded_as_it_was(monkeypatch, tmp_path):
    recording = load(Recording, "background_tasks/with_arguments")
    monkeypatch.setattr(model, "RECORDINGS", tmp_path)
    model.save("page/example", recording)
    assert load(Recording, "page/example") == recording


@pytest.mark.parametrize("name", OF_ONE)
def test_a_figure_has_a_bar_for_every_wait_and_function_in_its_lane(name: str):
    run = load(Recording, name).run
    svg = ElementTree.fromstring(draw(run))
    names = [text.text for text in svg.iter() if text.get("class") == "name"]
    for call in run.calls:
        assert any(text.startswith(call.function) for text in names)
    assert len(names) == len(run.calls) + len(run.exchanges)
    failed = [b for b in svg.iter() if "failed" in b.get("class", "")]
    assert bool(failed) == any(call.error for call in run.calls)
    dots = [dot for dot in svg.iter() if dot.get("class") == "print"]
    assert len(dots) == len(run.printed)


def test_the_text_alternative_tells_the_story():
    run = load(Recording, "multiple_tasks/first_failure").run
    run.exchanges[0].sent, run.exchanges[0].received = 0.0, 0.02
    run.calls[0].start, run.calls[0].end = 0.021, 0.022
    assert story(run) == (
        "The client has the response to POST /multi-task after 20 ms. "
        "send_welcome_email runs in the thread pool from 21 ms to 22 ms "
        "and fails with ConnectionError."
    )


def test_when_the_response_of_a_client_that_left_was_handed_over_does_not_matter():
    kept, now = (load(Recording, "when_it_runs/client_gone").run for _ in range(2))
    now.exchanges[0].handed_over = 0.01
    assert now.exchanges[0].left
    assert differences(now, kept) == []


def test_nor_whether_an_earlier_call_ended_just_before_a_response_or_just_after():
    kept, now = (load(Recording, "event_loop_errors/two_loops").run for _ in range(2))
    [first, second, _] = now.exchanges
    call = now.calls[0]
    assert first.handed_over < call.start < second.sent
    call.end = second.handed_over + 0.001
    assert differences(now, kept) == []
    call.end = first.handed_over - 0.001
    assert differences(now, kept) != []


def test_a_time_for_which_the_process_is_frozen_is_shown_and_told():
    run = load(Recording, "serverless/answers_first").run
    run.freezes = [Freeze(0.5, 2.5)]
    assert ">frozen</text>" in draw(run)
    assert "The process is frozen from 0.5 s to 2.5 s." in story(run)


def test_a_terminal_that_was_stopped_is_shown_and_told():
    kept = load(Recording, "durable_on_one_machine/no_answer").run
    assert ">Ctrl-S, ✕ SIGKILL ↻ started again</text>" in processes.draw(kept)
    assert "The app gets Ctrl-S in its terminal after 0," in processes.story(kept)
    now = copy.deepcopy(kept)
    now.lives[0].held = None
    assert differences(now, kept) == ["Ctrl-S to app is missing"]


def test_a_network_that_was_cut_is_shown_and_told():
    kept = load(Recording, "taskiq_in_production/network_cut").run
    assert ">no network</text>" in processes.draw(kept)
    assert "worker 1 has no network to RabbitMQ for " in processes.story(kept)
    now = copy.deepcopy(kept)
    now.freezes = []
    assert differences(now, kept) == ["cutting the network of worker 1 is missing"]


def test_what_ended_without_network_does_not_wait_from_then():
    """Its queue does not know of that end: when the job is due again cannot be seen."""
    run = load(Recording, "taskiq_in_production/network_cut").run
    assert len(processes.waits(run)) == 1
    frozen = replace(run, freezes=[replace(run.freezes[0], cut=False)])
    assert len(processes.waits(frozen)) == 2


def test_a_request_without_an_answer_has_got_nothing():
    run = load(Recording, "durable_on_one_machine/no_answer").run
    assert "POST /orders/1/slow → nothing after" in processes.draw(run)
    assert "POST /orders/1/slow with nothing and" in processes.story(run)


def test_a_job_that_was_rolled_back_waits_until_then_and_never_runs():
    kept = load(Recording, "with_postgresql/one_transaction").run
    [back, waited] = processes.waits(kept)
    assert back.rolled_back
    assert back.end == kept.queued[0].rolled_back
    assert not waited.rolled_back
    assert "send_receipt(1) rolled back after" in processes.draw(kept)
    assert "send_receipt(1) is rolled back;" in processes.story(kept)
    now = copy.deepcopy(kept)
    now.queued[0].rolled_back = None
    assert differences(now, kept) == [
        "send_receipt(1) waits; before, it is rolled back"
    ]


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_a_figure_of_several_processes_has_a_lane_for_each_and_a_mark_for_its_end(
    name: str,
):
    run = load(Recording, name).run
    svg = ElementTree.fromstring(processes.draw(run))
    shown = {
        kind: [text.text or "" for text in svg.iter() if text.get("class") == kind]
        for kind in ("lane", "mark", "name")
    }
    assert {*shown["lane"]} == {life.process for life in run.lives}
    ends = [life for life in run.lives if life.end is not None]
    assert sum("✕" in mark for mark in shown["mark"]) == len(ends)
    for call in run.calls:
        job = processes.shown(call.job)
        assert any(text.startswith(job) for text in shown["name"])
    torn = [bar for bar in svg.iter() if "torn" in bar.get("class", "").split()]
    assert len(torn) == sum(call.torn for call in run.calls)


def test_a_job_that_waits_again_is_joined_to_its_first_attempt():
    run = load(Recording, "many_machines/worker_killed").run
    [first, again] = processes.waits(run)
    assert first.start < first.end == run.calls[0].start
    assert again.start == run.calls[0].end
    assert again.end == run.calls[1].start
    assert processes.draw(run).count('"hop back"') == 1
    assert "(1.01 s ✕ cut off), then runs in worker 2" in processes.story(
        replace(
            run,
            calls=[replace(run.calls[0], end=run.calls[0].start + 1.01), run.calls[1]],
        )
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: run.calls.pop(), "send_receipt(1) runs in worker 1"),
        (lambda run: setattr(run.calls[0], "torn", False), "and ends well"),
        (lambda run: setattr(run.calls[1], "process", "worker 1"), "in worker 1"),
        (lambda run: run.lives.pop(), "the start of worker 2 is missing"),
        (lambda run: setattr(run.lives[2], "signal", ""), "SIGKILL to worker 1"),
        (lambda run: setattr(run.exchanges[0], "status", 503), "answered with 503"),
    ],
    ids=["one attempt", "not cut off", "same worker", "no other", "no kill", "refused"],
)
def test_another_fate_of_a_job_is_told_in_words(spoil, words):
    kept, now = (load(Recording, "many_machines/worker_killed").run for _ in range(2))
    assert differences(now, kept) == []
    spoil(now)
    assert any(words in sentence for sentence in differences(now, kept))


def test_of_many_jobs_the_figure_shows_how_many_wait_and_run():
    run = load(Recording, "many_machines/worker_killed").run
    jobs = [f"send_receipt({n})" for n in range(1000)]
    run.queued = [model.Queued(job, n / 1000, "app") for n, job in enumerate(jobs)]
    run.calls = [
        replace(run.calls[1], job=job, start=1 + n / 500, end=1.05 + n / 500)
        for n, job in enumerate(jobs)
    ]
    run.exchanges = run.exchanges * 1000
    figure = processes.draw(run)
    assert "1000 requests → 1000 times 202" in figure
    assert "1000 jobs; at most 1000 wait at once" in figure
    assert ">1000 jobs</text>" in figure
    assert figure.count("<") < 120
    assert processes.story(run).endswith("All 1000 jobs run once.")
    run.calls[3].torn = True
    end = "All 1000 jobs run once; send_receipt(3) ends with ✕ cut off."
    assert processes.story(run).endswith(end)


@pytest.mark.slow
def test_latencies_can_be_measured_again():
    again = latency.measure(rounds=1, pings=2)
    kept = load(Latencies, latency.NAME).series
    assert [(way.name, way.lane) for way in again] == [(w.name, w.lane) for w in kept]
    assert {len(way.seconds) for way in again} == {2}
