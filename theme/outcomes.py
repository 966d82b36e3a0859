"""The `losses` and `comparison` fences: what a recorded bench has measured.

Both name a recording such as ``choosing/bench``; one that is not there fails the build.
`losses` draws a square for each job of a killed worker, `comparison` is a table of all kills.
"""

from xml.etree.ElementTree import SubElement, tostring

from markdown import Markdown

from recording.figure import canvas, seconds
from recording.model import Bench, Killed, Outcome, Speed, title
from theme.fences import anchor_of, fence, figure, recorded

_ROW, _SQUARE = 44, 14
_FATES = {
    "b": ("done before the kill", "before"),
    "a": ("done after it", "after"),
    "t": ("started twice", "twice"),
    "l": ("lost", "lost"),
}
_KILLS = {
    "worker": "Worker killed",
    "app": "App killed",
    "broker": "Broker killed",
    "all": "All killed",
}
_MAIN = "Taskiq, RabbitMQ"
_SEEN = {
    ("BackgroundTasks", "worker"): "what_is_lost/killed",
    ("Jobs table in SQLite", "worker"): "durable_on_one_machine/killed",
    ("Taskiq, RabbitMQ", "worker"): "many_machines/worker_killed",
    ("Taskiq, RabbitMQ", "broker"): "many_machines/broker_killed",
    ("Procrastinate, PostgreSQL", "worker"): "with_postgresql/worker_killed",
    ("Procrastinate, PostgreSQL, default", "worker"): (
        "with_postgresql/worker_killed_default"
    ),
    ("Celery, Redis", "worker"): "celery/worker_killed",
    ("Celery, Redis, default", "worker"): "celery/worker_killed_default",
    ("arq, Redis", "worker"): "arq/worker_killed",
    ("arq, Redis, default", "worker"): "arq/worker_killed_default",
    ("Dramatiq, RabbitMQ", "worker"): "dramatiq/worker_killed",
    ("RQ, Redis", "worker"): "rq/worker_killed",
    ("RQ, Redis, default", "worker"): "rq/worker_killed_default",
}
"""By a way and what is killed: the scene that shows one such kill."""


@fence
def losses(name: str, _: Markdown) -> str:
    """The figure of what each way lost when its worker was killed."""
    bench = recorded(Bench, name)
    fates = [
        f'<span class="{css}">{text}</span>'
        for key, (text, css) in _FATES.items()
        if key != "l"
    ]
    return figure(
        draw(bench.outcomes),
        f"Recorded in one run with {bench.made_with}. "
        "Each mark is an accepted job, in the order of their numbers: "
        f"{', '.join(fates)}, or an empty frame: lost.",
    )


def draw(outcomes: list[Outcome]) -> str:
    """One line of marks for each way, as an SVG element that fits any width."""
    svg = canvas(story(outcomes), _ROW * len(outcomes), "timeline losses")
    for row, way in enumerate(outcomes):
        name = {"x": "0", "y": str(row * _ROW + 14), "class": "lane"}
        fates = way.kills["worker"].fates
        counted = f"{fates.count('l')} lost{_twice(fates.count('t'))}"
        SubElement(svg, "text", name).text = f"{_name(way)}: {counted}"
        for index, fate in enumerate(fates):
            SubElement(
                svg,
                "rect",
                {
                    "class": f"fate {_FATES[fate][1]}",
                    "x": f"{100 * index / len(fates):.2f}%",
                    "y": str(row * _ROW + 20),
                    "width": f"{70 / len(fates):.2f}%",
                    "height": str(_SQUARE),
                },
            )
    return tostring(svg, encoding="unicode")


def story(outcomes: list[Outcome]) -> str:
    """What the figure shows, in words."""
    return "; ".join(map(_story, outcomes))


def _story(way: Outcome) -> str:
    fates = way.kills["worker"].fates
    counted = [f"{fates.count(f)} {text}" for f, (text, _) in _FATES.items()]
    present = [text for text in counted if not text.startswith("0 ")]
    return f"{_name(way)}: {', '.join(present)}"


def _name(way: Outcome) -> str:
    return title(way.name, way.settings)


@fence
def comparison(name: str, _: Markdown) -> str:
    """The table of the ways as one would use them; folded, those with their defaults."""
    bench = recorded(Bench, name)
    own, default = split(bench.outcomes)
    main = main_of(bench.outcomes)
    return (
        f"{table(own, main)}<p>{explained(bench)}</p>"
        "<details><summary>The same with the settings that come with them</summary>"
        f"{table(default, main)}</details>"
    )


def explained(bench: Bench) -> str:
    """What it was measured with, and what the columns are."""
    main = main_of(bench.outcomes)
    return (
        f"Measured in one run with {bench.made_with}. Pick-up is the median time from the "
        "request to the first line of its job; accepted and done are jobs per second, as "
        f"a multiple of {_MAIN}: {main.accepted:.0f} accepted, {main.done:.0f} done."
    )


def split(outcomes: list[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """Those with the settings of the pages or none, and those with their defaults."""
    return (
        [way for way in outcomes if way.settings != "default"],
        [way for way in outcomes if way.settings == "default"],
    )


def main_of(outcomes: list[Outcome]) -> Speed:
    """How fast the main path is."""
    return next(way for way in outcomes if way.name == _MAIN).speed


def table(outcomes: list[Outcome], main: Speed) -> str:
    """What each way lost, and how fast it was beside the main path, as HTML."""
    head, cells = rows(outcomes, main)
    for way, row in zip(outcomes, cells, strict=True):
        for column, kind in enumerate(_KILLS, 1):
            row[column] = _seen(_name(way), kind, row[column])
    return _table(head, cells)


def rows(outcomes: list[Outcome], main: Speed) -> tuple[list[str], list[list[str]]]:
    """The same as the head of a table and its rows."""
    head = ["Way", *_KILLS.values(), "Accepted", "Done", "Pick-up"]
    return head, [
        [
            _name(way),
            *(_lost(way.kills.get(kind)) for kind in _KILLS),
            *_ratios(way.speed, main),
        ]
        for way in outcomes
    ]


def _seen(way: str, kind: str, cell: str) -> str:
    """The cell of a kill, with a link to the figure of one, if there is one."""
    if not (scene := _SEEN.get((way, kind))):
        return cell
    page = scene.partition("/")[0].replace("_", "-")
    return f'<a href="../{page}/#{anchor_of(scene)}">{cell}</a>'


def _lost(kill: Killed | None) -> str:
    if kill is None:
        return "-"
    after = "" if kill.seconds is None else f", {kill.seconds} s"
    return f"<b>{kill.lost}</b>{_twice(kill.twice)}{after}"


def _twice(count: int) -> str:
    return f", {count} twice" if count else ""


def _ratios(speed: Speed, main: Speed) -> list[str]:
    shares = [speed.accepted / main.accepted, speed.done / main.done]
    told = [f"{share:.1f}" if share >= 0.1 else f"{share:.2f}" for share in shares]
    return [*told, seconds(speed.pickup)]


def _table(head: list[str], rows: list[list[str]]) -> str:
    titles = "".join(f"<th>{column}</th>" for column in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
