"""What stands in for steps and child runs in a test: a value, an error, one after the other, or a function."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dwf.core.events import ActivityScheduled
from dwf.core.runtime import ActivityCall
from dwf.core.values import decode
from dwf.errors import UsageError

NOTHING_GIVEN = object()


@dataclass(frozen=True)
class Called:
    """One attempt that a stub was asked for: its arguments, as the step was called with them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class Stub:
    """Stands in for the step of that name. `calls`: what it was asked for, every attempt."""

    name: str
    answers: Sequence[Any] = ()
    function: Callable[..., Any] | None = None
    calls: list[Called] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the next attempt comes to; the last answer is given for ever. Raises what is an exception."""
        with self._lock:
            number = len(self.calls)
            self.calls.append(Called(args, kwargs))
        if self.function is not None:
            return self.function(*args, **kwargs)
        given = self.answers[min(number, len(self.answers) - 1)]
        if isinstance(given, BaseException):
            raise given
        return given


def stub_of(name: str, value: Any, raises: BaseException | None, sequence: Sequence[Any] | None, call: Any) -> Stub:
    """A stub from one of the four ways to say what it does. Raises UsageError for none of them, or several."""
    ways = (value is not NOTHING_GIVEN) + sum(way is not None for way in (raises, sequence, call))
    if ways != 1 or (sequence is not None and not sequence):
        hint = "a value, raises=, sequence= of values and exceptions, or call= a function"
        raise UsageError(what=f"what stands in for {name} is not said in one way", hint=hint)
    if call is not None:
        return Stub(name, function=call)
    return Stub(name, answers=sequence or (raises if raises is not None else value,))


class StandIns:
    """All stubs of a test, by the title or name of the step; a command also by its first word, and without its host."""

    def __init__(self) -> None:
        self.stubs: dict[str, Stub] = {}
        self.rest: Callable[[ActivityCall], Any] | None = None
        """What steps come to that have no stub; None: they are really done."""

    def __call__(self, call: ActivityCall) -> Callable[[bytes], Any] | None:
        stub = next((self.stubs[name] for name in names_of(call) if name in self.stubs), None)
        if stub is None:
            return None if self.rest is None else _instead(self.rest, call)
        return _shell(stub, call) if call.kind == "shell" else _function(stub)


def names_of(call: ActivityCall | ActivityScheduled) -> list[str]:
    """What it may be called, the whole first: `web1: systemctl reload nginx`, `systemctl reload nginx`, `systemctl`."""
    whole = [call.title, call.name]
    here = [name.partition(": ")[2] for name in whole] if call.kind == "shell" else []
    return [*whole, *here, *(name.partition(" ")[0] for name in (call.name, *here))]


def _instead(rest: Callable[[ActivityCall], Any], call: ActivityCall) -> Callable[[bytes], Any]:
    return lambda _: rest(call)


def _function(stub: Stub) -> Callable[[bytes], Any]:
    def perform(given: bytes) -> Any:
        asked = decode(given)
        return stub.answer(tuple(asked.get("args", ())), asked.get("kwargs", {}))

    return perform


def _shell(stub: Stub, call: ActivityCall) -> Callable[[bytes], Any]:
    """Of a command: text is what it prints; its words are the arguments."""

    def perform(given: bytes) -> Any:
        asked = decode(given)
        answer = stub.answer(tuple(asked.get("argv", ())), {})
        return call.result_type(code=0, out=answer, err="") if isinstance(answer, str) else answer

    return perform
