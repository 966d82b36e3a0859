"""What a run is, and the file that it is kept in: the only place that knows either.

All times are in seconds, and those of a `Run` count from the sending of its first request.
"""

import json
import os
import platform
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

RECORDINGS = Path(__file__).parent.parent / "docs" / "recordings"

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One request of a scene, sent by a client of its own unless it says otherwise."""

    method: str
    path: str
    json: Any = None
    after: str = ""
    """Sent when the server has printed this; empty: at once."""
    nth: int = 1
    """How often it has printed that by then."""
    delay: float = 0
    """Seconds to wait before sending, counted from then."""
    pause: float = 0
    """Seconds for which the client reads nothing of the response's body."""
    reads: str = ""
    """What a client that leaves has read of the body before that; empty: nothing."""
    same_connection: bool = False
    """Whether it is sent on the connection of the request before it."""
    leaves: bool = False
    """Whether the client goes away after that, without having read the rest."""
    gives_up: float = 0
    """Seconds after which the client goes away if no answer has begun; 0: it waits."""
    frozen: float = 0
    """Seconds for which the server's process is stopped before it is sent."""
    headers: tuple[tuple[str, str], ...] = ()
    """What is sent beside the client's own, name and value each."""
    body: str = ""
    """What is sent where there is no JSON."""
    upload: str = ""
    """The text of a CSV file that is sent as `file` of a form; empty: there is none."""


@dataclass(frozen=True)
class Act:
    """Something that is done to a process of a scene, or to its broker."""

    does: str
    """"start", "freeze", "cut" its network to the broker: connections stay open and bring
    nothing, "Ctrl-S" in its terminal, so that what it prints waits, or a signal:
    "SIGKILL", "SIGTERM", "SIGINT"."""
    process: str
    """Such as "app", "worker 2" or "RabbitMQ"."""
    after: str = ""
    """Done when any process has printed this, or a job has begun, of which is told such as
    ``send_receipt(7) begins in app``; empty: at once."""
    nth: int = 1
    """How often that has been by then."""
    delay: float = 0
    """Seconds to wait before it is done, counted from then."""
    lasts: float = 0
    """Seconds for which a process is frozen, or its network cut."""
    until: str = ""
    """When they begin: any process has printed this; empty: at once."""


@dataclass(frozen=True)
class Scene:
    """An example, named ``page/example``, and what is done with it, in this order."""

    example: str
    steps: tuple[Request | Act, ...]
    not_in_browser: str = ""
    """Why the browser's imitation would not show what a server does; empty: it does."""
    name: str = ""
    """Named as its example, unless the example has several scenes."""
    until: str = ""
    """Over when a server has printed this; empty: when all background tasks have ended."""
    nth: int = 1
    """How often it has printed that by then."""
    processes: tuple[str, ...] = ()
    """Those that run when it begins, in the order of their start: "app", "worker 1" and so
    on. Empty: the app alone."""
    others: tuple[tuple[str, str], ...] = ()
    """Processes that are another example, by their names."""
    env: tuple[tuple[str, str], ...] = ()
    """Settings beside those that the example needs, or in their place; ``{receiver}`` is
    the address of the process of that name, ``{RABBITMQ}`` what that setting is."""
    service: tuple[tuple[str, int], ...] = ()
    """Settings of its server, such as RabbitMQ's ``consumer_timeout``."""
    sql: str = ""
    """What is done to its database when they run, before the first step."""
    options: tuple[str, ...] = ()
    """Of the worker's command."""
    app_options: tuple[str, ...] = ()
    """Of uvicorn's command."""
    module: str = ""
    """What is run in place of the example's module: the same with other settings."""
    jobs: tuple[str, ...] = ()
    """The functions of a scene of several that are shown; empty: what a queue was given."""
    varies: tuple[str, ...] = ()
    """Jobs of which chance decides how often they run, such as ``send_receipt(2)``."""
    warns: str = ""
    """What is found in the warnings that it is to print, as a regular expression."""

    @property
    def requests(self) -> tuple[Request, ...]:
        """The steps that are requests."""
        return tuple(step for step in self.steps if isinstance(step, Request))

    @property
    def runs_in_browser(self) -> bool:
        """Whether the imitation there shows what a server does."""
        return not self.processes and not self.not_in_browser


@dataclass
class Exchange:
    """What the client of one request saw, and when the server was done with it."""

    method: str
    path: str
    sent: float
    received: float | None = None
    """When the client had the whole response, lost it, or left; None: not yet."""
    handed_over: float | None = None
    """When the server had handed over the whole response; None: not yet."""
    status: int | None = None
    """None: no response came."""
    error: str | None = None
    """The class of the client's exception."""
    left: bool = False
    """Whether the client went away without having read the response."""
    body: str = ""


@dataclass
class Call:
    """One call of a function: a task, what a task called, a dependency or a stream."""

    function: str
    lane: str
    """Where it ran: one of those in `recording.watching`."""
    open: bool
    """Whether it is a generator, which is open and does not run all the time."""
    start: float
    end: float
    error: str | None = None
    """The class of the exception that it ended with."""
    process: str = ""
    """Of a scene of several: the name of the process."""
    job: str = ""
    """The function and its plain arguments, such as ``send_receipt(7)``: equal if it is the
    same job again."""
    torn: bool = False
    """Whether it has no end, since its process was killed."""


@dataclass
class Printed:
    """One line of the example's standard output."""

    time: float
    text: str


@dataclass
class Freeze:
    """A time for which a process was stopped, or what it sends and gets."""

    start: float
    end: float
    process: str = ""
    """Of a scene of several: its name."""
    cut: bool = False
    """Whether it ran, and its network to the broker was cut."""


@dataclass
class Life:
    """A process of a scene of several, from its start to its end."""

    process: str
    start: float
    ready: float
    """When it answered, or said that it was ready."""
    end: float | None = None
    """None: it ran until the scene was over."""
    signal: str = ""
    """What it was sent last."""
    signalled: float = 0
    """When it was sent that."""
    held: float | None = None
    """When Ctrl-S was pressed in its terminal; None: never."""


@dataclass
class Queued:
    """A job was given to a queue."""

    job: str
    time: float
    process: str
    """Which gave it."""
    rolled_back: float | None = None
    """When the transaction was, in which it was given; None: never."""


@dataclass
class Run:
    """What happened when the requests of a scene were sent once."""

    exchanges: list[Exchange]
    calls: list[Call]
    printed: list[Printed]
    freezes: list[Freeze] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    """Of the processes, if the scene has several."""
    queued: list[Queued] = field(default_factory=list)
    queue: str = ""
    """Where jobs wait, such as "RabbitMQ"."""
    over: float = 0
    """When a scene of several was over."""


@dataclass
class MadeWith:
    """What something was recorded with: versions by name, and how many cores."""

    versions: dict[str, str]
    cores: int

    @classmethod
    def here(cls, *packages: str) -> "MadeWith":
        """This machine's Python and cores, and the installed versions of the packages."""
        versions = {name: version(name) for name in packages}
        versions = {"Python": platform.python_version(), **versions}
        return cls(versions, os.cpu_count() or 1)

    def __str__(self) -> str:
        used = ", ".join(f"{what} {v}" for what, v in self.versions.items())
        return f"{used}; {self.cores} cores"


@dataclass
class Recording:
    """A scene and what happened when it was performed."""

    scene: Scene
    made_with: MadeWith
    run: Run
    source: str
    """What tells whether the example has changed since."""


@dataclass
class Latency:
    """How long requests waited while the server did something."""

    name: str
    lane: str
    seconds: list[float]


@dataclass
class Latencies:
    """Several of them, from one run."""

    made_with: MadeWith
    series: list[Latency]


@dataclass
class Killed:
    """What became of the accepted jobs when something was killed and started again."""

    accepted: int
    lost: int
    twice: int
    """How many were started more than once."""
    seconds: float | None
    """From the kill to the last job done; None: some are lost."""
    fates: str
    """A letter for each job, in the order of its number: done ``b``efore the kill,
    ``a``fter it, started ``t``wice, or ``l``ost."""


@dataclass
class Speed:
    """How fast a way is with one worker, whose jobs take 0.05 s, ten at a time."""

    accepted: float
    """Requests answered in a second, by an app whose worker does not run."""
    done: float
    """Jobs done in a second."""
    pickup: float
    """Median seconds from the request to the first line of its job."""


def title(way: str, settings: str) -> str:
    """What a way is called beside others: its settings only if they are the default."""
    return f"{way}, default" if settings == "default" else way


@dataclass
class Outcome:
    """What one way lost at each kill, and how fast it was."""

    name: str
    settings: str
    """"of the page" or "default"; empty: there are none."""
    kills: dict[str, Killed]
    """By what was killed."""
    speed: Speed


@dataclass
class Bench:
    """All ways, measured in one run."""

    made_with: MadeWith
    outcomes: list[Outcome]


def path_of(name: str) -> Path:
    """The file of a recording, named as ``multiple_tasks/in_order``."""
    return RECORDINGS / f"{name}.json"


def load(kind: type[T], name: str) -> T:
    """The kept recording of that name. Raises `FileNotFoundError` if there is none."""
    if not (file := path_of(name)).exists():
        raise FileNotFoundError(f"no recording of {name}: make record SCENE={name}")
    return read(kind, json.loads(file.read_text()))


def save(name: str, recording: Recording | Latencies | Bench) -> None:
    """Keep a recording in place of the one of that name."""
    file = path_of(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(recording), indent=1) + "\n")


def read(kind: type[T], data: Any) -> T:
    """What `dataclasses.asdict` and JSON made of a value of that type, as it was."""
    value: Any = data
    of = get_args(kind)
    if isinstance(kind, UnionType):
        fits = (one for one in of if is_dataclass(one) and _has_the_fields(one, data))
        return cast(T, read(next(fits), data)) if isinstance(data, dict) else value
    if is_dataclass(kind):
        types = _types_of(kind)
        value = kind(**{name: read(types[name], part) for name, part in data.items()})
    elif get_origin(kind) in (list, tuple):
        each = of if of[1:] and of[1] is not ... else repeat(of[0])
        value = get_origin(kind)(map(read, each, data))  # type: ignore[misc]
    elif get_origin(kind) is dict:
        value = {name: read(of[1], part) for name, part in data.items()}
    return value  # type: ignore[no-any-return]


@cache  # a site has thousands of such values, of a dozen types
def _types_of(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _has_the_fields(kind: Any, data: dict[str, Any]) -> bool:
    return data.keys() <= {field.name for field in fields(kind)}
