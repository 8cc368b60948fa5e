"""A disk on which the process dies at the n-th call that changes something; in memory, so that it costs little."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dwf.core.state import Status
from dwf.store.files import Disk
from tests.engine.house import House, until


class Died(BaseException):
    pass


class Dying(Disk):
    def __init__(self, at: int) -> None:
        self.left = at

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Died

    def write_all(self, fd: int, data: bytes, path: str) -> None:
        self._count()
        super().write_all(fd, data, path)

    def link(self, source: str, target: str) -> None:
        self._count()
        super().link(source, target)

    def rename_noreplace(self, source: str, target: str) -> None:
        self._count()
        super().rename_noreplace(source, target)

    def unlink(self, path: str) -> None:
        self._count()
        super().unlink(path)

    def fsync_dir(self, path: str) -> None:
        self._count()
        super().fsync_dir(path)


def each_death(
    ram: Path, begin: Callable[[House], None], check: Callable[[House], None], *, index_survives: bool = True
) -> int:
    """Play a story, die at the first call, at the second, and so on, each time go on from there; how many deaths."""
    for at in range(500):
        path = ram / f"{at}"
        path.mkdir()
        house = House(path)
        begin(house)
        dying = Dying(at)
        house.reopen(dying)
        with suppress(Died):
            house.try_tick(jobs=1)
        until(lambda: not any(thread.name.startswith("dwf-run-") for thread in threading.enumerate()))
        house.store.limits._forget_all()  # the kernel frees what the dead have held
        house.reopen()
        if not index_survives:
            Path(house.store.layout.index).unlink(missing_ok=True)
        while house.tick().driven:
            pass
        check(house)
        house.check()
        if dying.left >= 0:
            return at
    raise AssertionError("it never came through without a death")


def comes_to_its_end(house: House, runs: str) -> bool:
    """Tick until all have completed. False: a thread of the one that died holds a run on, as no dead process would."""
    left: list[str] = []

    def over() -> bool:
        house.tick()
        left[:] = [run for run in runs if house.status(run) is not Status.COMPLETED]
        return all(house.store.locks.holder(run) is not None for run in left)

    until(over)
    return not left
