"""Cancellation types: who waits for whom when a step is cancelled, and that nothing outlives the run."""

from __future__ import annotations

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from tests.activities.processes import is_alive, pid_in, soon
from tests.engine.house import House

GIVES_UP = """
SCRIPT = '''
trap 'echo told >> "$1"; exit 1' TERM
echo $$ > "$2"
sleep 300 & setsid sh -c 'sleep 300 & echo $! > "$1.forked"; wait' forked "$2" &
while :; do sleep 0.05; done
'''

@dwf.workflow
async def main(how: str):
    step = asyncio.ensure_future(
        dwf.sh(LEDGER, LEDGER + ".pid", script=SCRIPT, cancellation_type=how, grace="300ms", retry=dwf.Retry(1)))
    await dwf.sh(LEDGER, script='until test -e "$1.pid.forked"; do sleep 0.05; done')
    step.cancel()
    try:
        await step
    except asyncio.CancelledError:
        note("goes on")
        await dwf.sh("sleep", "0.5")
        note("still here")
    return "done"
"""


@pytest.mark.parametrize(
    ("how", "order"),
    [
        ("wait", ["told", "goes on", "still here"]),
        ("try", ["goes on", "told", "still here"]),
        ("abandon", ["goes on", "still here", "told"]),
    ],
)
def test_who_waits_for_whom(house: House, how: str, order: list[str]) -> None:
    """wait: the script goes on when the step has ended; try: at once; abandon: and the step is left to itself.

    Fails when one of them does what another is for, or when something of it outlives the run.
    """
    house.go(GIVES_UP.replace("note(", "print("), json_input={"how": how})
    assert house.status() is Status.COMPLETED and house.result() == "done"
    told = [line for line in house.notes() if line == "told"]
    assert told == ["told"], "each is told in the end: what still runs when the run is over is ended"
    happened = [type(event) for event in house.events() if getattr(event, "command", 0) == 2]
    assert (ev.ActivityCancelled in happened) is (how != "abandon")
    assert house.events()[-1].open == ([2] if how == "abandon" else [])  # type: ignore[attr-defined]
    pids = [pid_in(house.path / name) for name in ("ledger.pid", "ledger.pid.forked")]
    assert soon(lambda: not any(map(is_alive, pids)))
    assert [event.how for event in house.all(ev.ActivityCancelRequested)] == [how if how != "wait" else ""]
    cancelled = [event.id for event in house.events() if isinstance(event, ev.ActivityCancelled)]
    third = [event.id for event in house.all(ev.ActivityScheduled)][2]
    assert (cancelled[:1] < [third]) is (how == "wait") or how == "abandon"
    house.check()


def test_an_abandoned_step_is_tried_again_and_may_still_complete(house: House) -> None:
    house.go(
        """
        @dwf.activity(cancellation_type="abandon", retry=dwf.Retry(initial="100ms", jitter="none"))
        def flaky() -> int:
            note("flaky")
            if dwf.activity_info().attempt == 1:
                raise ValueError("not yet")
            return 7

        @dwf.workflow
        async def main():
            task = asyncio.ensure_future(flaky())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await dwf.sh("sleep", "0.5")
            return task.cancelled()
        """
    )
    house.clock.advance("1m")
    house.tick()
    assert house.result() is True and house.notes() == ["flaky", "flaky"]
    assert bytes(house.all(ev.ActivityCompleted)[0].result) == b"7"


def test_a_type_that_there_is_not_is_refused(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            await dwf.sh("true", cancellation_type="maybe")
        """
    )
    assert house.status() is Status.BLOCKED and "wait, try or abandon" in house.the(ev.RunBlocked).message
