"""Tags and memo: what a script marks its run with is recorded, typed, limited, and the same in each replay."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import dwf
from dwf.core import events as ev
from dwf.core.matching import described
from dwf.core.replay import Replay
from dwf.core.tags import (
    LONGEST_TEXT,
    MEMO_BYTES,
    MOST,
    packed,
    plain_tags,
    read_tags,
    tag_changes,
    tags_after,
    unpacked,
    words,
)
from dwf.core.values import decode
from dwf.errors import NondeterminismError, NotInWorkflow, ValueRefused
from tests.core.driver import Fake, act, blocked, program, replayed, started

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
ALL: dict[str, Any] = {"env": "prod", "hosts": 12, "load": 0.5, "canary": True, "until": NOON}


def test_a_tag_has_the_type_that_it_was_given_with() -> None:
    async def main() -> None:
        dwf.tag(**ALL)
        assert dwf.info().tags == ALL
        assert [type(tag) for tag in dwf.info().tags.values()] == [type(tag) for tag in ALL.values()]
        await act("last")

    with Fake(main) as run:
        assert run.asked == ["TagsChanged", "act last"]
        run.complete("last")
        assert read_tags(run.state().tags) == ALL
        assert plain_tags(run.state().tags) == ALL | {"until": "2026-12-01T12:00:00.000000Z"}
        run.prove()


def test_none_takes_a_tag_away_and_what_changes_nothing_is_not_recorded() -> None:
    async def main() -> dict[str, Any]:
        dwf.tag(env="prod", hosts=1)
        dwf.tag(env="prod")
        dwf.tag(env=None, nothing=None)
        dwf.tag(env=7)  # it is a new one
        return dwf.info().tags

    with Fake(main) as run:
        assert run.asked == ["TagsChanged"] * 3
        assert run.result == {"hosts": 1, "env": 7}
        assert plain_tags(run.state().tags) == {"hosts": 1, "env": 7}
        run.prove()


def test_notes_are_any_json_and_are_kept_beside_the_tags() -> None:
    async def main() -> Any:
        dwf.memo(plan={"hosts": ["web1"]}, why="INC-1")
        dwf.memo(why=None)
        return [dwf.info().memo, dwf.info().tags]

    with Fake(main) as run:
        assert run.asked == ["MemoChanged", "MemoChanged"]
        assert run.result == [{"plan": {"hosts": ["web1"]}}, {}]
        assert list(run.state().memo) == ["plan"]
        run.prove()


def test_a_run_knows_what_it_was_started_with() -> None:
    async def main() -> Any:
        dwf.tag(env="test")
        return [dwf.info().tags, dwf.info().memo]

    begun = started(tags=tag_changes({"env": "prod", "team": "web"}), memo={"plan": ev.Payload(b"[1]")})
    with closing(Replay(program(main), begun)) as replay:
        replay.apply([begun])
        assert isinstance(replay.outcome, ev.WorkflowCompleted)
        assert decode(replay.outcome.result) == [{"env": "test", "team": "web"}, {"plan": [1]}]


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"a b": 1}, "cannot be"),
        ({"1st": 1}, "cannot be"),
        ({"a" * 65: 1}, "cannot be"),
        ({"a": "x" * (LONGEST_TEXT + 1)}, "256 characters long"),
        ({"a": "\ud800"}, "surrogates"),
        ({"a": 1 << 63}, "64 bits"),
        ({"a": float("nan")}, "not a JSON number"),
        ({"a": ["x"]}, "must be text, a number"),
        ({"a": datetime(2026, 1, 1)}, "no time zone"),
        ({f"t{n}": n for n in range(MOST + 1)}, "32 at most"),
    ],
)
def test_what_is_no_tag_is_refused(tags: dict[str, Any], why: str) -> None:
    async def main() -> None:
        dwf.tag(**tags)

    error = blocked(main)
    assert isinstance(error, ValueRefused) and why in error.message


@pytest.mark.parametrize(
    ("first", "second"), [("1", 1), (1, 1.0), (1, True), (NOON, "2026-12-01T12:00:00.000000Z"), (0.5, "0.5")]
)
def test_a_tag_keeps_its_type(first: Any, second: Any) -> None:
    """Fails when types are compared as Python does, to which 1, 1.0 and True are one."""

    async def main() -> None:
        dwf.tag(a=first)
        dwf.tag(a=second)

    error = blocked(main)
    assert isinstance(error, ValueRefused) and "the tag a: it is " in error.message and error.hint


def test_too_much_of_a_memo_is_refused() -> None:
    async def main() -> None:
        dwf.memo(a="x" * MEMO_BYTES)

    error = blocked(main)
    assert isinstance(error, ValueRefused) and "the limit is 16,384" in error.message


def test_another_value_than_the_recorded_one_is_a_divergence() -> None:
    def tagging(value: Any) -> Any:
        async def main() -> None:
            dwf.tag(n=value)
            await act("last")

        return main

    with Fake(tagging(1)) as run:
        events = list(run.events)
    with pytest.raises(NondeterminismError, match=r"TagsChanged n=1 .* TagsChanged n=true"):
        replayed(program(tagging(True)), events)


def test_a_tag_outside_of_a_workflow_says_so() -> None:
    for call in (lambda: dwf.tag(a=1), lambda: dwf.memo(a=1)):
        with pytest.raises(NotInWorkflow):
            call()


def test_tags_of_older_histories_are_text() -> None:
    line = b'{"type":"WorkflowStarted","run":"r","nonce":"n","workflow":"w","script":"s","code":"c","tags":{"a":"b"}}'
    found = msgspec.json.decode(line, type=ev.WorkflowStarted)
    assert read_tags(found.tags) == {"a": "b"} and words(found.tags["a"]) == "b"
    assert found.memo == {} and started().tags == {}


def test_tags_are_read_as_people_type_them() -> None:
    told = {name: words(tag) for name, tag in tags_after({}, tag_changes(ALL)).items()}
    assert told == {
        "env": "prod",
        "hosts": "12",
        "load": "0.5",
        "canary": "true",
        "until": "2026-12-01T12:00:00.000000Z",
    }
    assert described(ev.TagsChanged(command=1, tags=tag_changes({"a": "b"}))) == 'TagsChanged a="b" (command 1)'


def test_the_text_for_the_index_is_read_again_and_a_damaged_one_is_none() -> None:
    tags = tags_after({}, tag_changes(ALL | {"umlaut": "\u00e4\U0001f600"}))
    assert unpacked(packed(tags)) == tags and packed(tags).isascii()
    assert packed({}) == "{}" and unpacked("{}") == {} and unpacked('{"a":') == {}
