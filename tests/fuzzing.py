"""Sends an app what its schema allows and what it forbids."""

import time
from typing import NamedTuple

import schemathesis
from hypothesis import HealthCheck, given, settings, strategies


class Answer(NamedTuple):
    """What an app has answered."""

    path: str
    """As in the schema."""
    status: int
    declared: tuple[str, ...]
    """The statuses that the schema declares."""
    typed: bool
    """Whether it says of what type its body is, if it has one."""


_ENOUGH = 2.0
"""Seconds for one operation: what answers slowly is sent fewer requests, but two."""


def faults(url: str) -> list[Answer]:
    """Try every operation of the app at that address; what is wrong.

    That is a 5xx that the schema does not declare, and a body without a type, of which a
    browser guesses whether it is a page or a file.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    answers: list[Answer] = []
    for result in schema.get_all_operations():
        _try(result.ok(), url, answers)
    assert {answer.path for answer in answers} == set(schema.raw_schema["paths"])
    return [
        answer
        for answer in answers
        if not answer.typed
        or (answer.status >= 500 and str(answer.status) not in answer.declared)
    ]


def _try(operation, url: str, answers: list[Answer]) -> None:
    """Send an operation a dozen requests, or two if it answers slowly."""
    begin, before = time.monotonic(), len(answers)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=_requests(operation))
    def call(case):
        if time.monotonic() - begin > _ENOUGH and len(answers) > before + 1:
            return
        answer = case.call(base_url=url)
        declared = tuple(case.operation.definition.raw["responses"])
        typed = not answer.content or "content-type" in answer.headers
        answers.append(Answer(case.path, answer.status_code, declared, typed))

    call()


def _requests(operation):
    """Hypothesis's strategy for the requests of one operation."""
    good = operation.as_strategy()
    bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    varies = operation.body or operation.query or operation.path_parameters
    return strategies.one_of(good, bad) if varies else good
