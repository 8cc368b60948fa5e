"""How a run's coroutines are ended when the run is put away: at once, without a trace, and not by the collector.

A blocked coroutine is a reference cycle. Left alone, the collector would run its `finally:` whenever it likes, also
inside another run's activation, whose commands would then be the wrong ones. So GeneratorExit is thrown into each, and
while that lasts every door to dwf and asyncio is shut: whatever is asked for raises Closed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dwf.core.loop import Loop

# How often a coroutine may answer its closing with another await.
_ROUNDS = 10
# How often a door raises; `while True: try: await x() except: pass` would never come to an end otherwise.
_REFUSALS = 100


class Closed(BaseException):
    """Private. Raised at every door while a run is being closed, so that no `except Exception` can catch it."""


class Doors:
    """The doors of a run that is being closed."""

    def __init__(self) -> None:
        self._knocks = 0

    @property
    def knocked(self) -> bool:
        """Whether anything was refused."""
        return self._knocks > 0

    def knock(self) -> None:
        """Raises Closed; for one who knocks for ever it comes back, and he is to be left waiting."""
        self._knocks += 1
        if self._knocks <= _REFUSALS:
            raise Closed


class Detached:
    """Stands where a runtime was: what a script may still ask for is nothing."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        self._loop.doors.knock()
        never = self._loop.create_future()
        left_waiting: dict[str, Any] = {"now_us": 0, "take_signal": None, "open_signal_wait": (0, never)}
        left_waiting |= {"holds": False, "take_signals": [], "child": ("", never)}
        left_waiting.update(
            dict.fromkeys(("activity", "approval", "callback", "condition", "message", "sleep_until_us"), never)
        )
        if name not in left_waiting:
            raise Closed
        return lambda *_: left_waiting[name]


def close(coroutine: Any) -> None:
    """End a coroutine or an asynchronous generator where it waits; keep it if it will not end."""
    if not suspended(coroutine):
        return
    ending = coroutine.aclose() if isinstance(coroutine, AsyncGenerator) else coroutine
    try:
        waits_for = ending.send(None) if ending is not coroutine else ending.throw(GeneratorExit())
        for _ in range(_ROUNDS):
            # Else to wait for the same future again would raise at once, and a loop around it would never come out.
            waits_for._asyncio_future_blocking = False
            waits_for = ending.throw(GeneratorExit())
    except BaseException:
        pass  # it ended; whatever it says is of no consequence
    if suspended(coroutine):
        _keep_for_good(coroutine)


def _keep_for_good(coroutine: Any) -> None:
    """No closing ends it: the collector would run it inside another run's activation, or the process's end for ever.

    A list that it is kept in would be emptied at that end, so it is given a reference that nothing takes back.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))


def suspended(code: Any) -> bool:
    """Whether a coroutine or generator of any kind has not come to its end."""
    return any(getattr(code, name, None) is not None for name in ("cr_frame", "gi_frame", "ag_frame"))
