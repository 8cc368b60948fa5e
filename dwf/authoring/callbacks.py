"""Callbacks: a wait that a program or person outside ends, by a token that a step has handed out."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dwf.authoring.references import Secret
from dwf.core.duration import micros
from dwf.core.retry import Duration
from dwf.core.runtime import CallbackWish, current


class Callback:
    """Await it for what the outside says. `token`: give it to a step, which tells it to whoever is to answer."""

    def __init__(self, future: Any, name: str) -> None:
        self._future, self.name = future, name
        self.token = Secret(f"callback:{getattr(future, 'number', 0)}")  # while a run is closed it has none

    def __await__(self) -> Generator[Any, None, Any]:
        return self._future.__await__()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<dwf.callback {self.name!r}>"


def callback(
    name: str,
    *,
    type: Any = None,  # noqa: A002
    timeout: Duration | None = None,
    heartbeat: Duration | None = None,
) -> Callback:
    """Open a wait that is ended from outside: `dwf complete TOKEN`, with a result, or why it failed.

        job = dwf.callback("restore", heartbeat="5m", timeout="6h")
        await start_restore(host, job.token)
        size = await job

    The token is known only to steps it is given to; it is recorded nowhere, and good for one end. type: what the result
    is converted to. timeout: within which it must have ended. heartbeat: how long it may be silent.
    Awaiting it raises ActivityError with what the outside says went wrong, or ActivityTimeout.
    """
    wish = CallbackWish(
        name=name,
        result_type=type,
        # 0 would say that there is no limit
        timeout_us=0 if timeout is None else max(1, micros(timeout)),
        heartbeat_us=0 if heartbeat is None else max(1, micros(heartbeat)),
    )
    return Callback(current("callback").callback(wish), name)
