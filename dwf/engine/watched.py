"""A replay from which nothing is recorded: its script is watched and guarded as in a tick, and heard by nobody.

Whoever asks, checks or upgrades replays through here; only the engine's own journal records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dwf.activities.prints import PRINTED
from dwf.core import guard
from dwf.core.events import Event, Opening
from dwf.core.replay import Fetch, Program, Replay
from dwf.core.state import RunState
from dwf.engine.journal import Voice
from dwf.engine.watchdog import OutOfTime, Watchdog
from dwf.errors import InternalError, ScriptError

Weigh = Callable[[int], int]


@contextmanager
def watched(
    program: Program, state: RunState, events: Sequence[Event], fetch: Fetch, weigh: Weigh | None
) -> Iterator[Replay]:
    """A replay that is to be given these events in the block. Raises the ScriptError that it meets.

    fetch: the bytes of a large value by their hash. weigh: how long its first so many lines are, in bytes; None is 0.
    """
    with opened(program, state, events, fetch, weigh) as (replay, watchdog), watchdog.over(replay):
        yield replay


@contextmanager
def opened(
    program: Program, state: RunState, events: Sequence[Event], fetch: Fetch, weigh: Weigh | None
) -> Iterator[tuple[Replay, Watchdog]]:
    """The same, for who watches only a part of the block: the other part may be a person with a debugger."""
    guard.install()
    openings = [event for event in events if isinstance(event, Opening)]
    replay = Replay(program, state.head, openings, fetch, weigh)
    watchdog = Watchdog()
    # What it prints was told when it was new.
    heard = PRINTED.set(Voice(lambda *_: None))
    try:
        yield replay, watchdog
    except OutOfTime:
        raise replay.commands.void or InternalError(what="workflow code was cut short") from None
    except ScriptError as error:
        error.facts.setdefault("run", state.head.run)  # for its hint
        raise
    finally:
        replay.close()
        PRINTED.reset(heard)
        watchdog.close()
