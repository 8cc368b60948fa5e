"""Other runs: children and what is said to them, signals from run to run, and the next instance of this one."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator
from typing import Any

from dwf.authoring.workflow import Workflow
from dwf.core.events import NOTHING, Payload
from dwf.core.messages import CANCEL, SIGNAL, check_run_id, check_signal_name
from dwf.core.runtime import ContinueAsNew, Outgoing, current
from dwf.core.values import encode
from dwf.errors import ValueRefused


class Child:
    """A child run that was started. `await child` gives its result, or raises ChildError.

    `run` is its id: what `dwf show` and `dwf signal` know it by.
    """

    def __init__(self, run: str, result: Future[Any]) -> None:
        self.run = run
        self._result = result

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._result.__await__()

    def done(self) -> bool:
        """Whether it has ended, as far as this run knows."""
        return self._result.done()

    def cancel(self, reason: str = "") -> None:
        """Ask it to end, as its `cancel` option says. What awaits it gets CancelledError then."""
        self._result.cancel(reason or None)

    async def signal(self, name: str, payload: Any = None) -> None:
        """Send it a signal. Raises NotDelivered if it is over."""
        await send_signal(self.run, name, payload)


def start_child(workflow: Workflow, *args: Any, **kwargs: Any) -> Child:
    """Start a run of another workflow of this script, and go on: `child = dwf.start_child(drain, host="web1")`.

    `await drain(host="web1")` starts it and waits. Options: `drain.options(id="drain-web1", on_close="abandon")`.
    """
    if not isinstance(workflow, Workflow):
        raise ValueRefused(
            what="dwf.start_child()", why=f"{workflow!r:.80} is no workflow", hint="give it a @dwf.workflow function"
        )
    return Child(*current("start_child").child(workflow.call(args, kwargs)))


async def send_signal(run: str, name: str, payload: Any = None) -> None:
    """Send a signal to another run, and wait until it is in that run's mailbox, on disk.

    A run that is asked for twice (after a crash) gets it once. Raises NotDelivered if there is no such run, or it is
    over.
    """
    check_run_id(run)
    check_signal_name(name)
    content = NOTHING if payload is None else Payload(encode(payload, f"the payload of signal {name}"))
    await current("send_signal").message(Outgoing(SIGNAL, run, name, content))


async def cancel_run(run: str, reason: str = "") -> None:
    """Ask another run to end, with its cleanup; do not wait for it. Raises NotDelivered."""
    check_run_id(run)
    await current("cancel_run").message(Outgoing(CANCEL, run, reason=reason))


def continue_as_new(**arguments: Any) -> ContinueAsNew:
    """`return dwf.continue_as_new(round=round + 1)`: go on in a new instance, with a history of its own.

    The id, the code, the tags, and signals that nobody took are kept; steps and children must be over.
    """
    return ContinueAsNew(arguments)
