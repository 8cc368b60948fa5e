"""Performing shell steps, and reading their outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dwf.activities import prepare_shell
from dwf.activities.plan import Attempt, Kind, Outcome, Performance, ShellSpec

Make = Callable[..., Attempt]


def finished(performance: Performance) -> Outcome:
    performance.go()
    return performance.finish()


def sh(attempt: Attempt, script: str, *argv: str, **spec: Any) -> Outcome:
    return finished(prepare_shell(ShellSpec(script=script, argv=argv, **spec), attempt))


def run(attempt: Attempt, *argv: str, **spec: Any) -> Outcome:
    return finished(prepare_shell(ShellSpec(argv=argv, **spec), attempt))


def result_of(outcome: Outcome) -> Any:
    assert outcome.kind is Kind.COMPLETED, outcome
    return msgspec.json.decode(outcome.result)


def message_of(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.message


def details_of(outcome: Outcome) -> Any:
    assert outcome.error is not None
    return msgspec.json.decode(outcome.error.details)
