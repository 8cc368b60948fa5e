"""Long work over many files: how far it is, on stderr. On a terminal a line is written over, else one comes at times.

Nothing is said of work that is done at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dwf.cli.session import Session

_FIRST_SECONDS = 1.0
_LIVE_SECONDS = 0.1
_PLAIN_SECONDS = 10.0


class Counting:
    """`word` is what is being done: "checked". Call it with (done, all); the last call has both equal."""

    def __init__(self, session: Session, word: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen, self._quiet, self._word, self._clock = session.screen, session.quiet, word, clock
        self._live = self._screen.err_is_terminal
        self._next = clock() + (_FIRST_SECONDS if self._live else _PLAIN_SECONDS)
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        if self._quiet:
            return
        if done >= total:
            if self._shown and self._live:
                self._screen.overwrite("")
            self._shown = False
        elif self._clock() >= self._next:
            self._tell(f"{self._word} {done} of {total}")

    def _tell(self, text: str) -> None:
        if self._live:
            self._screen.overwrite(text)
        else:
            self._screen.say(text)
        self._shown = True
        self._next = self._clock() + (_LIVE_SECONDS if self._live else _PLAIN_SECONDS)
