"""No way to mend a run is without its story."""

from __future__ import annotations

from dwf.cli.catalog import VERBS
from dwf.core import messages as mail
from dwf.engine.stepping import CONTROLS, DECISIONS
from tests.cli.mending import test_over, test_steps, test_stuck

# What these can be told to do are ways of their own.
_ACTS = {"step": (*DECISIONS, *CONTROLS), "timer": (mail.FIRE, mail.MOVE)}
_MENDS_FROM_ELSEWHERE = {"doctor --fix", "limits set"}


def test_each_verb_that_mends_has_a_story() -> None:
    """Fails when a verb is added to the panel Repair, or an act to dwf step, that is shown on no broken run."""
    verbs = [verb.name for verb in VERBS if verb.panel == "Repair"]
    ways = {way for verb in verbs for way in ([f"{verb} {act}" for act in _ACTS[verb]] if verb in _ACTS else [verb])}
    files = (test_over, test_steps, test_stuck)
    told = {verb for file in files for story in file.stories.all for verb in file.stories.verbs[story]}
    assert told == ways | _MENDS_FROM_ELSEWHERE


def test_each_story_is_told_once() -> None:
    """Fails when one story has taken the place of another of the same name."""
    stories = [story for file in (test_over, test_steps, test_stuck) for story in file.stories.all]
    assert len({(story.__module__, story.__name__) for story in stories}) == len(stories)
