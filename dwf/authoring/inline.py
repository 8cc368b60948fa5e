"""`dwf.step`: a function used once as a step, without being declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dwf.authoring.activity import Activity, Options
from dwf.authoring.crash import OnCrash
from dwf.authoring.limits import Cancellation
from dwf.core.retry import AFTER_CRASH, Duration, Retry


async def step(
    name: str,
    function: Callable[..., Any],
    /,
    *args: Any,
    retry: Retry = AFTER_CRASH,
    start_to_close: Duration | None = None,
    on_crash: OnCrash | None = None,
    verify: Callable[..., Any] | None = None,
    schedule_to_start: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    cancellation_type: Cancellation = "wait",
    **kwargs: Any,
) -> Any:
    """Run any function as a durable step without declaring it: `await dwf.step("read the plan", load, path)`.

    By default a failure is final, and only what dwf or the machine died in is run again. A plain function runs in
    dwf's own process and cannot be ended there, so it may not have a `start_to_close` or the like: declare it with
    @dwf.activity, which is also what has a limit, a key, a queue or a priority.
    Raises ValueRefused.
    """
    options = Options(
        start_to_close,
        retry,
        on_crash=on_crash,
        verify=verify,
        schedule_to_start=schedule_to_start,
        schedule_to_close=schedule_to_close,
        heartbeat_timeout=heartbeat_timeout,
        cancellation_type=cancellation_type,
    )
    if isinstance(function, Activity):
        inline: Activity[..., Any] = Activity(function.function, name, options, "step")
        inline._target = function._target
    else:
        inline = Activity(function, name, options, "step")
    return await inline._durable(args, kwargs)
