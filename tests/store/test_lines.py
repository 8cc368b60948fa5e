"""Lines and starts outlive a power cut: what was let in, what has begun, what an operator has set."""

from __future__ import annotations

from pathlib import Path

from dwf.store.files import Disk
from dwf.store.lines import Lines, Ticket
from dwf.store.slots import Slots, Starts
from tests.store.test_power import power_lost_after

TICKET = Ticket(0, 1_700_000_000_000_000, "ab" * 8, 1, "r1")
NOW = 1_700_000_000_000_000


def test_a_ticket_is_there_for_good_when_it_is_put(tmp_path: Path) -> None:
    root = str(tmp_path / "claims")
    with power_lost_after(tmp_path) as disk, Lines(disk, root, durable=True).line("db") as line:
        line.put(TICKET)
    assert Lines(Disk(), root, durable=True).look("db") == [TICKET]


def test_that_all_tickets_are_there_is_said_for_good(tmp_path: Path) -> None:
    root = str(tmp_path / "claims")
    with power_lost_after(tmp_path) as disk:
        Lines(disk, root, durable=True).complete()
    assert Lines(Disk(), root, durable=True).exist()


def test_a_start_counts_after_a_power_cut(tmp_path: Path) -> None:
    root = str(tmp_path / "limits")
    with power_lost_after(tmp_path) as disk, Slots(disk, root).line("api") as line:
        starts = Starts(disk, line, 5, 60_000_000, NOW)
        starts.add()
        starts.close()
    with Slots(Disk(), root).line("api") as line:
        again = Starts(Disk(), line, 5, 60_000_000, NOW + 1)
        assert (again.used, again.free) == (1, 4)
        again.close()


def test_what_an_operator_has_set_lasts(tmp_path: Path) -> None:
    root = str(tmp_path / "limits")
    with power_lost_after(tmp_path) as disk:
        Slots(disk, root).override("api", (1, 0, 0))
    assert Slots(Disk(), root).overrides() == {"api": (1, 0, 0)}


def test_a_time_that_was_torn_counts_as_now(tmp_path: Path) -> None:
    """Fails when a start of which half was written counts for nothing."""
    slots = Slots(Disk(), str(tmp_path / "limits"))
    with slots.line("api") as line:
        starts = Starts(Disk(), line, 1, 60_000_000, NOW)
        starts.add()
        starts.close()
        path = Path(line.path, "starts")
        path.write_bytes(path.read_bytes()[:-9])
        again = Starts(Disk(), line, 1, 60_000_000, NOW)
        assert again.free == 0
        again.close()
