"""dwf worker: the engine kept warm, for a service manager or a terminal. The same runs as `dwf tick`, and sooner."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.faults import fault_of
from dwf.cli.options import QueueOption, session_of
from dwf.cli.session import Session

if TYPE_CHECKING:
    from dwf.engine.tick import TickReport


def worker(
    context: Context,
    jobs: Annotated[int, Option("--jobs", metavar="N", min=1, help="steps at a time")] = 8,
    queue: QueueOption = None,
) -> int:
    """Drive runs as they become due, until it is told to stop (SIGTERM, Ctrl-C); then park what runs, and end.

    Ticks and other workers may run beside it. It tells systemd when it is ready (Type=notify). News goes to stderr, a
    line each. Ends with 0 after SIGTERM: that is how a service is stopped.
    """
    from dwf.cli.driving import Stopper
    from dwf.engine.worker import work

    session = session_of(context)
    store = session.store()
    news = _News(session)
    with Stopper() as stopper:
        _notify("READY=1")
        session.screen.say("waiting for work; Ctrl-C stops it")
        session.screen.flush()
        report = work(store, jobs=jobs, stop=stopper.flag, told=news.tell, queues=queue or ())
        _notify("STOPPING=1")
        news.tell(report)
        return Exit.OK if stopper.number in (0, signal.SIGTERM) else stopper.exit_code


class _News:
    """Tells what is new; what is wrong all the time is told once."""

    def __init__(self, session: Session) -> None:
        self._screen = session.screen
        self._wrong: set[str] = set()

    def tell(self, report: TickReport) -> None:
        for line in (*report.news, *report.remarks):
            self._screen.tell(" ".join(line.split()))
        wrong = {fault_of(error).message: error for error in report.errors}
        for message, error in wrong.items():
            if message not in self._wrong:
                fault_of(error).tell(self._screen, as_json=False)
        self._wrong = set(wrong)


def _notify(state: str) -> None:
    """Tell the service manager, if there is one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode(), address)
    except OSError:
        return  # it only wanted to know
