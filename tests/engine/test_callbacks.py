"""Callbacks: a token goes out by a step, comes back once, and stands in no history."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.duration import stamp
from dwf.core.messages import Message
from dwf.core.state import Status
from dwf.engine import callbacks
from dwf.errors import NotFound, SecretUnavailable, WrongState
from dwf.store.files import Disk
from dwf.store.tokens import Address, Tokens, address_in
from tests.engine.house import ME, House

BOOK = """
    @dwf.activity
    def hand_out(token):
        note(token)
        print("the token is", token)
        return token

    @dwf.workflow
    async def main():
        job = dwf.callback("restore", type=dict[str, int], heartbeat="5m", timeout="1h")
        await hand_out(job.token)
        try:
            return await job
        except dwf.ActivityError as error:
            return str(error)
"""


def token_of(house: House) -> str:
    return house.notes()[-1]


def complete(house: House, token: str, value: object = None, act: str = mail.COMPLETE, why: str = "") -> None:
    callbacks.send(house.store, token, act, ME, json.dumps(value).encode(), why)


def everything(house: House) -> bytes:
    """All that is stored, but for the key."""
    home = Path(house.store.layout.home)
    return b"".join(p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file() and p.name != "callback.key")


def test_a_token_is_handed_out_by_a_step_and_completes_its_callback(house: House) -> None:
    house.go(BOOK)
    assert house.status() is Status.WAITING
    complete(house, token_of(house), {"size": 5})
    house.tick()
    assert house.result() == {"size": 5}
    ended = house.the(ev.CallbackCompleted).decided
    assert ended is not None and ended.by is not None and ended.by.uid == ME.uid
    assert house.mail() == []


def test_the_token_stands_nowhere_and_its_hash_in_the_history(house: House) -> None:
    """Fails when the token itself is recorded in place of its hash."""
    house.go(BOOK)
    secret = token_of(house).rpartition(".")[2].encode()
    assert len(secret) == 40
    assert secret not in everything(house)
    complete(house, token_of(house), {"size": 5})
    house.tick()
    assert secret not in everything(house)
    assert len(house.the(ev.CallbackOpened).token_hash) == 64
    assert json.loads(bytes(house.the(ev.ActivityCompleted).result)) == "***"
    key = Path(house.store.layout.callback_key)
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_later_attempt_hands_out_the_same_token(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(max_attempts=2, initial="1s"))
        def hand_out(token):
            note(token)
            if dwf.activity_info().attempt == 1:
                raise OSError("no route")

        @dwf.workflow
        async def main():
            job = dwf.callback("job")
            await hand_out(job.token)
            return await job
        """
    )
    house.reopen()
    house.clock.advance("1m")
    house.tick()
    first, second = house.notes()
    assert first == second


def test_a_token_is_good_for_one_end(house: House) -> None:
    house.go(BOOK)
    token = token_of(house)
    complete(house, token, {"size": 5})
    complete(house, token, {"size": 6})
    house.tick()
    assert house.result() == {"size": 5}
    assert len(house.late()) == 1, "the second came too late, and is kept as that"
    with pytest.raises(WrongState, match="before: a token is good for one end"):
        complete(house, token, {"size": 7})


def test_a_callback_may_fail_with_a_reason(house: House) -> None:
    house.go(BOOK)
    complete(house, token_of(house), act=mail.FAIL, why="disk full")
    house.tick()
    assert house.result() == "restore failed: Failed: disk full"


@pytest.mark.parametrize(
    "spoil", [lambda t: t + "0", lambda t: t[:-1] + ("0" if t[-1] != "0" else "1"), lambda t: "r2" + t[2:]]
)
def test_a_token_that_is_wrong_in_any_part_is_none(house: House, spoil) -> None:  # type: ignore[no-untyped-def]
    house.go(BOOK)
    house.go(BOOK, "r2")
    token = next(t for t in house.notes() if t.startswith("r1."))
    for wrong in (spoil(token), "", "x", "r1.a.1.b", f"r1.{'0' * 16}.1.{token[-40:]}", "../x.a.1.b", "r1.a.²2.b"):
        with pytest.raises(NotFound, match="no token of a callback here"):
            complete(house, wrong)
    assert house.mail() == []


def test_a_dropped_letter_with_a_wrong_token_changes_nothing(house: House) -> None:
    house.go(BOOK)
    before = house.events()
    for key in ("", token_of(house)[:-1] + "x"):
        house.store.mailbox.post(Message(id="", run="r1", kind=mail.CALLBACK, name="complete", key=key))
    house.store.mailbox.post(Message(id="", run="r1", kind=mail.CALLBACK, name="explode", key=token_of(house)))
    house.tick()
    assert house.events() == before
    assert house.mail() == []
    assert len(house.store.mailbox.bad()) == 3


def test_a_result_that_does_not_fit_is_refused_and_the_token_stays_good(house: House) -> None:
    house.go(BOOK)
    complete(house, token_of(house), ["no", "object"])
    house.tick()
    assert "that result does not fit" in house.store.mailbox.bad()[0].reason
    complete(house, token_of(house), {"size": 1})
    house.tick()
    assert house.result() == {"size": 1}


def test_a_callback_that_falls_silent_times_out_and_one_that_is_heard_of_does_not(house: House) -> None:
    house.go(BOOK)
    row = house.store.index.row("r1")
    assert row is not None and row.due_at is not None
    house.clock.advance("4m")
    house.tick()
    assert house.status() is Status.WAITING
    house.clock.advance("2m")
    house.tick()
    assert house.result() == "restore timed out: no heartbeat for 5m"
    assert house.the(ev.CallbackTimedOut).heartbeat


def test_heartbeats_keep_it_alive_until_its_deadline(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says when a heartbeat came; the clock of this test is ahead of it, and so are the letters."""
    house.go(BOOK)
    monkeypatch.setattr(callbacks, "stamp", lambda _: stamp(house.clock()))
    for _ in range(14):
        house.clock.advance("4m")
        complete(house, token_of(house), act=mail.HEARTBEAT)
        house.tick()
        assert house.status() is Status.WAITING
    house.clock.advance("5m")
    house.tick()
    assert house.result() == "restore timed out: nobody completed it within 1h"


def test_a_heartbeat_that_came_before_the_silence_was_noticed_counts(house: House) -> None:
    """Nobody ticked for long: what was posted in time goes before what was due later."""
    house.go(BOOK)
    complete(house, token_of(house), act=mail.HEARTBEAT)
    house.clock.advance("299s")
    house.tick()
    assert house.status() is Status.WAITING
    assert len(house.all(ev.CallbackHeartbeat)) == 1


def test_what_came_while_the_run_was_blocked_is_recorded_and_counts(house: House) -> None:
    house.go(
        """
        @dwf.activity
        def hand_out(token):
            note(token)

        @dwf.workflow
        async def main():
            job = dwf.callback("job", type=int)
            await hand_out(job.token)
            await dwf.wait_signal("go")
            {}["typo"]
        """
    )
    house.signal("go")
    house.tick()
    assert house.status() is Status.BLOCKED
    complete(house, token_of(house), 5)
    house.tick()
    assert bytes(house.the(ev.CallbackCompleted).result) == b"5"
    assert house.mail() == []


def test_a_step_is_not_given_a_token_that_would_complete_nothing(house: House) -> None:
    house.go(
        """
        @dwf.activity(retry=dwf.Retry(max_attempts=1))
        def hand_out(token):
            note(token)

        @dwf.workflow
        async def main():
            job = dwf.callback("job")
            await dwf.wait_signal("go")
            await hand_out(job.token)
        """
    )
    Path(house.store.layout.callback_key).write_bytes(os.urandom(32))
    house.reopen()
    house.signal("go")
    house.tick()
    assert house.notes() == []
    assert "another key of the state directory" in house.the(ev.ActivityFailed).error.message
    assert house.the(ev.ActivityFailed).error.type == SecretUnavailable.__name__


def test_a_callback_that_is_open_at_the_end_is_over(house: House) -> None:
    house.go(BOOK)
    token = token_of(house)
    house.terminate()
    house.tick()
    assert house.the(ev.WorkflowTerminated).open == [1]
    with pytest.raises(WrongState, match="is over, and so is the run"):
        complete(house, token)


def test_a_token_names_run_instance_and_command_whatever_dots_the_run_has() -> None:
    assert address_in("a.b-c.d.0123.7.ff") == Address("a.b-c.d", "0123", 7)
    for text in ("", "...", "a.b.c", "a.b.-1.c", "a.b.1e9.c", ".b.1.c", "a.b.9999999999.c"):
        assert address_in(text) is None


class Told(Disk):
    """Says in which order what was really done to the disk: a call that is left out on the way there is not told."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def _do(self, operation: str, path: str, function: Any, *args: Any) -> Any:
        name = path.rpartition("/")[2].partition(".")[0]
        synced = f"{'names in' if Path(path).is_dir() else 'content of'} {name}"
        said = {"fsync": synced, "link": "name"}.get(operation)

        def told(*given: Any) -> Any:
            self.done += [said] if said is not None else []
            return function(*given)

        return super()._do(operation, path, told, *args)


def test_the_key_has_its_name_for_good_before_a_token_is_made_of_it(house: House) -> None:
    """Fails when the key, or its name, is not synced: after a power cut another key would be made, and no token fit."""
    disk = Told()
    Tokens(disk, house.store.layout).of(Address("r1", "n", 1))
    stem = Path(house.store.layout.callback_key).name.partition(".")[0]
    assert disk.done == [f"content of {stem}", "name", "names in home"]
