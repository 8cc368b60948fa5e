"""The last resort: the end of a process whose workflow code nothing in Python can call off.

What computes in C holds everything else up, the watchdog, too: then the system's own timer ends the process, which
says on stderr what line of the script it was at. The next one takes its runs up; over which of them the last ones
died is counted (suspects.py).

The timer counts processor time, not the time of day: a process that was stopped for an hour is none that hangs. It is
set while workflow code runs, and set back whenever the watchdog gets a turn; whoever holds everything up for so long
in a step, beside workflow code, is ended, too.
"""

from __future__ import annotations

import faulthandler
import os
import signal

CPU_SECONDS = 120.0
_SIGNAL, _STDERR = signal.SIGVTALRM, 2


class LastResort:
    """One for all activations of a process."""

    def begin(self) -> None:
        """Be there for this process. faulthandler tells in C, and hands on to what the signal does by itself."""
        faulthandler.register(_SIGNAL, _STDERR, chain=True)

    def put_off(self) -> None:
        """The process is alive."""
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)

    def rest(self) -> None:
        """No workflow code is running."""
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def end(self, line: str) -> None:
        """End the process now, with all that is running in it; `line` says why."""
        os.write(_STDERR, f"error: {line}\n".encode())
        os.kill(os.getpid(), _SIGNAL)
