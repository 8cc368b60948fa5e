"""The process of an isolated function. Run as a file by isolated.py; nothing imports it.

Until the whole request is here nothing happens; if it never comes (dwf died before the gate was opened), nothing ever
does. Only the standard library can be imported before the request tells the path.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Coroutine
from typing import Any

NOTHING_TO_DO = 125


def main() -> None:
    header = sys.stdin.buffer.readline()
    if not header.endswith(b"\n"):
        os._exit(NOTHING_TO_DO)
    size, answer = map(int, header.split())
    body = sys.stdin.buffer.read(size)
    _detach(answer)
    request = json.loads(body)  # refuses half a request: dwf died while it wrote
    sys.path[:] = [os.fsdecode(entry.encode("latin-1")) for entry in request["path"]]
    _send(answer, _outcome(body))
    _flush()
    # Threads that the function left behind do not hold the step.
    os._exit(0)


def _detach(answer: int) -> None:
    """The function gets an empty stdin; programs it starts do not get the pipe of the answer."""
    os.set_inheritable(answer, False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _outcome(body: bytes) -> bytes:
    import msgspec

    from dwf.activities.function import run
    from dwf.activities.info import Listening
    from dwf.activities.output import MASKING
    from dwf.activities.plan import Request

    request = msgspec.json.decode(body, type=Request)
    if request.secret:
        from dwf.activities.secrets import Mask

        MASKING.set(Mask(request.secret))

    def perform(given: bytes) -> Any:
        load = _named(request.target.loader)
        return _awaited(load(request.target.source, request.target.activity, given)())

    return msgspec.json.encode(run(perform, request.target.input, request.attempt, Listening(request.attempt.pulse)))


def _named(reference: str) -> Any:
    from importlib import import_module

    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _awaited(result: Any) -> Any:
    if not isinstance(result, Coroutine):
        return result
    import asyncio

    return asyncio.run(result)


def _send(answer: int, data: bytes) -> None:
    view = memoryview(len(data).to_bytes(8, "big") + data)
    while view:
        view = view[os.write(answer, view) :]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the function closed it, or nobody reads it any more


if __name__ == "__main__":
    main()
