"""Which steps run in this process, and which have one of their own."""

from __future__ import annotations

from dwf.core.runtime import ActivityCall


def is_quick(call: ActivityCall) -> bool:
    """Whether it is a plain function: called in a thread of this process, and over when it returns."""
    return call.kind != "shell" and not call.is_async and not is_isolated(call)


def is_isolated(call: ActivityCall) -> bool:
    """Only a process can be ended, so a function with a time limit gets one of its own unless it is told otherwise."""
    if call.target is None or call.is_async:
        return False
    limited = call.timeout_us or call.schedule_to_close_us or call.heartbeat_us
    return call.isolate if call.isolate is not None else limited > 0
