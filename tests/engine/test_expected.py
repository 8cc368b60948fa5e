"""Failures that are expected: the run has failed, and nobody is told in the night."""

from __future__ import annotations

import pytest

from dwf.core.state import Status
from tests.engine.house import House

FAILS = """
@dwf.activity(retry=dwf.Retry(max_attempts=5, initial=0))
def look() -> None:
    note("look")
    raise dwf.{kind}("nothing to renew today")

@dwf.workflow
async def main():
    {call}
"""


@pytest.mark.parametrize("call", ["await look()", 'raise dwf.Expected("nothing to renew today")'])
def test_an_expected_failure_is_no_news_and_its_step_is_not_tried_again(house: House, call: str) -> None:
    report = house.go(FAILS.format(kind="Expected", call=call))
    assert house.status() is Status.FAILED and report.news == []
    assert len(house.notes()) <= 1


def test_any_other_failure_is_news(house: House) -> None:
    report = house.go(FAILS.format(kind="Failure", call="await look()"))
    assert len(report.news) == 1 and len(house.notes()) == 5
