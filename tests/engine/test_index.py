"""The index is derived: a tick that cannot trust it makes it anew before it believes it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dwf.core.state import Status
from tests.engine.house import House

SCRIPT = """
    @dwf.workflow
    async def once():
        return await dwf.step("note", note, "ran")
"""


def test_a_tick_makes_a_new_index_trusted(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start(house.script(SCRIPT))
    assert not house.store.index.trusted()
    house.tick()
    assert house.store.index.trusted()


def test_after_a_reboot_a_run_without_a_row_is_found_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    script = house.script(SCRIPT)
    house.start(script, "first")
    house.tick()
    house.start(script, "second")
    house.store.index.close()
    connection = sqlite3.connect(house.store.layout.index, isolation_level=None)
    # What a power cut may leave: the row is lost, and the boot is another one.
    connection.execute("DELETE FROM run WHERE run = 'second'")
    connection.execute("UPDATE meta SET boot = 'another'")
    connection.close()
    house.tick()
    assert house.status("second") is Status.COMPLETED
