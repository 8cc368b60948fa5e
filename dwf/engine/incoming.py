"""The mail of one run while it is driven: what is new, what was taken up, what cannot count.

A letter is read once a drive. It leaves the mailbox last: what was taken up goes after the history that holds it is on
disk and the index row is written, for until then the letter is what makes the run due; what cannot count is put aside
after the decision that made it so is on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from time import monotonic

from dwf.activities.plan import Asked, Kind
from dwf.core import events as ev
from dwf.core import messages as mail
from dwf.core.duration import unstamp
from dwf.core.state import RunState
from dwf.engine.arrivals import Arrival, Late, Unfit, from_letter, question_of, sender_of
from dwf.engine.chain import is_meant
from dwf.engine.rights import forbidden
from dwf.engine.summary import cancelled
from dwf.store.letters import Letter
from dwf.store.room import Store

_PAUSE_SECONDS = 0.01
# The kernel stamps files with the time of its last tick, up to 10 ms ago: an answer given at once would look older
# than the question.
_COARSE_CLOCK_US = 20_000


class Incoming:
    """The letters of one run.

    terminated: the letter that ends the run by force, once its turn has come.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        misfit: Callable[[int, bytes], str | None],
        ask: Callable[[Letter], list[ev.Event] | None],
        clock: Callable[[], int],
    ) -> None:
        """misfit: why a result given by hand does not fit a step, or None. clock: microseconds since the epoch.

        ask: what comes of a letter that the script is to be asked about; None: it cannot be asked, the letter stays.
        """
        self._misfit, self._ask, self._clock = misfit, ask, clock
        self._store = store
        self._mailbox, self._directory, self._run = store.mailbox, store.layout.mail_new, run
        self.terminated: Letter | None = None
        self._seen: set[str] = set()
        self._taken: list[str] = []
        self._on_disk = 0
        self._aside: dict[str, Callable[[], None]] = {}
        self._offered: set[str] = set()
        self._timers: list[int] = []
        self._again = False
        self._time = -1
        self._looked_at = 0.0

    def fresh(self, *, surely: bool = False) -> list[Arrival]:
        """Letters that were not read yet. Looks only if the directory has changed, unless `surely`."""
        if not self._moved() and not surely:
            return []
        return [self._arrival(letter) for letter in self._read(self._mailbox.waiting(self._run))]

    def _read(self, names: Iterable[str]) -> list[Letter]:
        """Those that were not read yet."""
        new = [name for name in names if name not in self._seen]
        found = self._mailbox.pending(self._run, new) if new else []
        self._seen.update(letter.name for letter in found)
        return found

    def look_anew(self) -> None:
        """What was posted within the same tick of the file clock as the last look has left no trace: look surely."""
        self._time = -1

    def came_in_time(self) -> bool:
        """Whether there are letters that this run has not been offered yet, now that it would end. Offers them."""
        names = set(self._mailbox.waiting(self._run))
        known = names & self._seen
        # What is no letter does not count; what is one is read again when it is delivered.
        new = {letter.name for letter in self._mailbox.pending(self._run, names - known)} if names - known else set()
        waiting = (known | new).difference(self._taken, self._aside)
        unoffered = waiting - self._offered
        self._offered |= waiting
        return bool(unoffered)

    def asks_to_end(self, state: RunState) -> Asked | None:
        """Whether there is mail that ends what the run does; it is taken up when its turn comes."""
        new = [name for name in self._mailbox.waiting(self._run) if name not in self._seen]
        for letter in self._mailbox.pending(self._run, new) if new else ():
            kind, reason = letter.message.kind, letter.message.reason
            decides = kind == mail.STEP and letter.message.name in mail.DECIDING
            if not (decides or kind in (mail.CANCEL, mail.TERMINATE)) or not is_meant(letter.message, state.head):
                continue
            if not (self._store.shared and forbidden(self._store, letter.uid, kind)):
                return Asked(Kind.CANCELLED, cancelled(sender_of(letter), reason))
        return None

    def again(self, timers: Iterable[int]) -> None:
        """The last batch was thrown away, so that letters which came in time can be delivered.

        They go before whatever steps did in that batch, but not before `timers` that were due when they were posted.
        """
        self._seen, self._taken, self._on_disk, self._aside = set(), [], 0, {}
        self._timers, self._again = sorted(timers), True
        self.look_anew()

    @property
    def unsettled(self) -> bool:
        """Whether anything was taken up, or found not to count, since the history was last put on disk."""
        return len(self._taken) > self._on_disk or bool(self._aside)

    def put_aside(self) -> None:
        """The history is on disk: move away what cannot count."""
        self._on_disk = len(self._taken)
        if not self._aside:
            return
        aside, self._aside = self._aside, {}
        for move in aside.values():
            move()

    def discard(self, *, surely: bool = False) -> None:
        """Remove what was taken up; history and index row are written. `surely`: and make that durable."""
        if not self._taken:
            return
        self._mailbox.discard(self._taken)
        self._taken, self._on_disk = [], 0
        if surely:
            self._mailbox.sync_new()

    def is_to_be_looked_for(self) -> bool:
        """Not oftener than this: a run of quick steps is not held up by it, and whoever posts waits no longer."""
        return self._time < 0 or monotonic() - self._looked_at >= _PAUSE_SECONDS

    def _moved(self) -> bool:
        """A directory's time says whether anything was posted; the look before a run is left does not rely on it."""
        if not self.is_to_be_looked_for():
            return False
        self._looked_at = monotonic()
        time = os.stat(self._directory).st_mtime_ns  # noqa: PTH116 - on the path of every step
        moved, self._time = time != self._time, time
        return moved

    def _arrival(self, letter: Letter) -> Arrival:
        arrival = from_letter(letter)
        arrival.make = self._judging(letter, self._making(letter, arrival.make))
        if self._again:
            arrival.at_us = max((at for at in self._timers if at <= letter.posted_us), default=-1) + 1
        return arrival

    def _making(self, letter: Letter, make: Callable[[RunState], list[ev.Event]]) -> Callable[..., list[ev.Event]]:
        if letter.message.kind == mail.TERMINATE:
            return self._termination(letter)
        asks = letter.message.kind in (mail.UPDATE, mail.CALLBACK)
        return self._asking(letter) if asks else self._taking(letter, make)

    def _asking(self, letter: Letter) -> Callable[[RunState], list[ev.Event]]:
        def asking(_: RunState) -> list[ev.Event]:
            events = self._ask(letter)
            if events is None:
                return []
            self._taken.append(letter.name)
            return events

        return asking

    def _judging(self, letter: Letter, make: Callable[[RunState], list[ev.Event]]) -> Callable[..., list[ev.Event]]:
        def judged(state: RunState) -> list[ev.Event]:
            try:
                if not is_meant(letter.message, state.head):
                    raise Late
                self._refuse_forbidden(letter)
                self._refuse_misfit(letter)
                self._refuse_older(letter, state)
                return make(state)
            except Late:
                self._aside[letter.name] = lambda: self._mailbox.to_late(letter.name)
            except Unfit as unfit:
                why = unfit.why
                self._aside[letter.name] = lambda: self._mailbox.refuse(letter.name, why, letter.uid)
            return []

        return judged

    def _refuse_forbidden(self, letter: Letter) -> None:
        if not self._store.shared:
            return
        # A start that finds its run there comes to it as a signal.
        kinds = (mail.START, mail.SIGNAL) if letter.message.kind == mail.START else (letter.message.kind,)
        for kind in kinds:
            if why := forbidden(self._store, letter.uid, kind, letter.message.name):
                raise Unfit(why)

    def _refuse_misfit(self, letter: Letter) -> None:
        message = letter.message
        if message.kind != mail.STEP or message.name not in (mail.COMPLETE, mail.SKIP):
            return
        why = self._misfit(message.command, bytes(message.payload))
        if why is not None:
            raise Unfit(f"that result does not fit: {why}")

    def _refuse_older(self, letter: Letter, state: RunState) -> None:
        """An answer that was written before its question is none. The kernel's time of the file is what tells.

        While our own clock is behind the question's time, somebody has set the clock back: then every file is older,
        and nothing can be told from it. Nobody who may only post can bring that about.
        """
        approval = question_of(letter, state)
        if approval is None:
            return
        asked_us = unstamp(approval.requested.ts)
        if letter.posted_us + _COARSE_CLOCK_US < asked_us <= self._clock():
            raise Unfit("it is older than the question")

    def _taking(self, letter: Letter, make: Callable[[RunState], list[ev.Event]]) -> Callable[..., list[ev.Event]]:
        def taking(state: RunState) -> list[ev.Event]:
            events = make(state)
            self._taken.append(letter.name)
            return events

        return taking

    def _termination(self, letter: Letter) -> Callable[[RunState], list[ev.Event]]:
        # Not taken up: it stays until the end that it asks for is on disk.
        def terminating(_: RunState) -> list[ev.Event]:
            self.terminated = letter
            return []

        return terminating
