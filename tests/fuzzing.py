"""Sends an app what its schema allows and what it forbids."""

import time

import schemathesis
from hypothesis import HealthCheck, given, settings, strategies

Answer = tuple[str, int, tuple[str, ...]]
"""The path as in the schema, the status, and the statuses that the schema declares."""


_ENOUGH = 2.0
"""Seconds for one operation: what answers slowly is sent fewer requests, but two."""


def faults(url: str) -> list[Answer]:
    """Try every operation of the app at that address; each 5xx that it does not declare."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    answers: list[Answer] = []
    for result in schema.get_all_operations():
        _try(result.ok(), url, answers)
    assert {path for path, _, _ in answers} == set(schema.raw_schema["paths"])
    return [a for a in answers if a[1] >= 500 and str(a[1]) not in a[2]]


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
        answers.append((case.path, answer.status_code, declared))

    call()


def _requests(operation):
    """Hypothesis's strategy for the requests of one operation."""
    good = operation.as_strategy()
    bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    varies = operation.body or operation.query or operation.path_parameters
    return strategies.one_of(good, bad) if varies else good
