"""A disk that fails, dies, or does less than it was asked: `Disk` with numbered calls. See the room's door for how."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dwf.store.files import Disk
from tests.faults.power import PowerCut


class Crash(BaseException):
    """The process was killed here."""


@dataclass(frozen=True)
class Call:
    """One system call that was asked for, the failed ones included."""

    operation: str
    path: str


class FaultyDisk(Disk):
    """A Disk whose system calls are numbered from 1 and can be made to go wrong."""

    def __init__(self, power: PowerCut | None = None) -> None:
        self.calls: list[Call] = []
        self.dead = False
        self._power = power
        self._rules: list[Callable[[int, str, Callable[..., Any], tuple[Any, ...]], None]] = []
        self._crash_after: int | None = None
        self._longest_write: int | None = None

    def fail_at(self, number: int, code: int, *, forever: bool = False) -> None:
        """The call with this number fails with errno `code`; with `forever`, so do all after it."""

        def rule(now: int, operation: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
            if now == number or (forever and now > number):
                raise OSError(code, os.strerror(code))

        self._rules.append(rule)

    def fail_on(self, operation: str, code: int, *, forever: bool = False) -> None:
        """The next call of this name fails with errno `code`; with `forever`, all of them."""
        failed: list[int] = []

        def rule(now: int, called: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
            if called == operation and (forever or not failed):
                failed.append(now)
                raise OSError(code, os.strerror(code))

        self._rules.append(rule)

    def crash_at(self, number: int, *, after: bool = False) -> None:
        """The process dies before the call with this number, or right after it."""
        if after:
            self._crash_after = number
            return

        def rule(now: int, operation: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
            if now == number:
                self._die()

        self._rules.append(rule)

    def tear_at(self, number: int, size: int) -> None:
        """The call with this number, if it is a write, puts down `size` bytes at most; then the process dies."""

        def rule(now: int, operation: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
            if now == number:
                if operation == "write" and size:
                    function(args[0], bytes(args[1])[:size])
                self._die()

        self._rules.append(rule)

    def write_at_most(self, size: int) -> None:
        """The kernel takes no more than this at once."""
        self._longest_write = size

    def _call(self, operation: str, path: str, function: Callable[..., Any], *args: Any) -> Any:
        if self.dead:
            raise Crash
        self.calls.append(Call(operation, path))
        number = len(self.calls)
        for rule in self._rules:
            rule(number, operation, function, args)
        if operation == "write" and self._longest_write is not None:
            args = args[0], bytes(args[1])[: self._longest_write]
        before = self._power.before(operation, path, args) if self._power else None
        try:
            result = function(*args)
            if self._power:
                self._power.happened(operation, path, args, before)
            return result
        finally:
            if number == self._crash_after:
                self._die()

    def _die(self) -> None:
        self.dead = True
        raise Crash


def points(work: Callable[[FaultyDisk], object]) -> int:
    """How many calls a piece of work makes when nothing goes wrong."""
    disk = FaultyDisk()
    work(disk)
    return len(disk.calls)
