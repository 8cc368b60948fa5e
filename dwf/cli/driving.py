"""Driving runs from here: `tick`, `run` and every `--tick`. Signals become a wish to stop; the engine does the rest."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any

from dwf.cli.exits import by_signal

if TYPE_CHECKING:
    from dwf.engine.context import Watch
    from dwf.engine.tick import TickReport
    from dwf.store.room import Store

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopper:
    """While it is entered, the first signal asks to stop, the second ends the process at once.

    Ending at once loses nothing either: the next tick takes up what this process leaves.
    """

    def __init__(self) -> None:
        self.flag = threading.Event()
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        for number in _SIGNALS:
            # Who started us with nohup wants no hang-up.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 + n if a signal came, else 0."""
        return by_signal(self.number) if self.number else 0

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.flag.is_set():
            os._exit(by_signal(number))
        self.number = number
        self.flag.set()


def drive(
    store: Store,
    stopper: Stopper,
    *,
    only: Iterable[str] | None = None,
    jobs: int | None = None,
    max_seconds: float | None = None,
    watch: Watch | None = None,
    tell: Callable[[str], None] | None = None,
    queues: Iterable[str] = (),
) -> TickReport:
    """One tick of the engine. `only`: just these runs. `queues`: begin only steps of these. `tell`: told news."""
    from dwf.engine.tick import tick

    settings: dict[str, Any] = {"queues": queues} if jobs is None else {"queues": queues, "jobs": jobs}
    return tick(store, max_seconds=max_seconds, only=only, watch=watch, stop=stopper.flag, tell=tell, **settings)
