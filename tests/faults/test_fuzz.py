"""Histories, messages and indexes with anything in them: no traceback, no hang, no wrong answer.

What is right is known from elsewhere: a history that was damaged is believed as far as it is what it was, and no
further. A message is taken for what a plain reader of JSON finds in its bytes, or is refused. An index is rebuilt, and
is then what it was.
"""

from __future__ import annotations

import io
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.engine.arrivals import Late, Unfit, from_letter
from dwf.engine.runs import folded
from dwf.engine.summary import row_of, waits
from dwf.errors import HistoryCorrupt, NewerFormat
from dwf.store.choice import Choice
from dwf.store.files import Disk
from dwf.store.history import History, read_history, tail, verify_history
from dwf.store.index import Index
from dwf.store.letters import Letter, Refusal, read_letter
from dwf.store.verify import examine, findings
from tests.engine.conftest import in_memory
from tests.engine.house import House
from tests.faults import mutations
from tests.faults.simulation import Simulation
from tests.faults.tally import Tally

LONG = pytest.mark.long
_LONGEST_SECONDS = 5.0
_SEEDS = range(4)


class Corpus:
    """Real histories and messages, as simulations have left them; a large input is left out."""

    def __init__(self, path: Path) -> None:
        self.histories: list[tuple[str, bytes]] = []
        self.letters: list[tuple[str, bytes]] = []
        for seed in _SEEDS:
            simulation = Simulation(path / str(seed), seed, length=40)
            simulation.play()
            found = sorted(Path(simulation.world.layout.runs).glob("*.jsonl"))
            self.histories += [(one.name, one.read_bytes()) for one in found if one.stat().st_size < 20_000]
        (path / "house").mkdir()
        house = House(path / "house")
        house.go("@dwf.workflow\nasync def main():\n    await dwf.approve('Go?')\n")
        house.signal("go", {"n": [1, "two", None]}, key="k")
        house.answer()
        house.cancel()
        house.terminate()
        self.letters = [(name, Path(house.store.layout.mail_new, name).read_bytes()) for name in house.mail()]
        self.state = house.state()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with in_memory(tmp_path_factory.mktemp("corpus")) as path:
        yield Corpus(path)


class Quick:
    """Nothing takes long, whatever it is given."""

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        assert time.monotonic() - self._began < _LONGEST_SECONDS


def cases(count: int, seed: int) -> Iterator[random.Random]:
    """A generator of its own for each case, so that one can be repeated by its number."""
    for number in range(count):
        yield random.Random(f"{seed}-{number}")


def amount(some: int, many: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("count", [some, pytest.param(many, marks=LONG)], ids=["some", "many"])


# -- histories --------------------------------------------------------------------------------------------------


def check_damaged(name: str, data: bytes, corpus: Corpus) -> None:
    """Whatever is believed was there before, byte for byte; and what else is there is told.

    (A first line of another history of the same run may stand there now: then it is that one.)
    """
    with Quick():
        found = examine(data, name)
        told = findings(io.BytesIO(data), name)
    before = next(known for _, known in corpus.histories if known.startswith(data[: found.size]))
    assert found.events == examine(before, name).events[: len(found.events)]
    assert found.size + len(found.tail) == len(data)
    clean = data == before[: len(data)] and data.endswith(b"\n") and found.size == len(data)
    assert (told == []) == clean, told
    if found.events:
        folded(found.events, name)


@amount(2500, 110_000)
def test_a_damaged_history_is_believed_as_far_as_it_is_what_it_was(corpus: Corpus, count: int, tally: Tally) -> None:
    everything = [data for _, data in corpus.histories]
    with tally.trying("fuzz: damaged histories", count):
        for chance in cases(count, 1):
            name, before = chance.choice(corpus.histories)
            check_damaged(name, mutations.damaged(before, everything, chance), corpus)


@amount(1000, 40_000)
def test_a_forged_history_is_read_or_refused(corpus: Corpus, count: int, tally: Tally) -> None:
    """The chain protects against accidents; whoever can write the file can make one that fits."""
    with tally.trying("fuzz: forged histories", count):
        for chance in cases(count, 2):
            name, before = chance.choice(corpus.histories)
            with Quick():
                found = examine(mutations.forged(before, chance), name)
                if found.events:
                    try:
                        state = folded(found.events, name)
                        waits(state), row_of(state, 1), state.next_due_us()
                    except HistoryCorrupt:
                        pass


@amount(200, 10_000)
def test_a_writer_and_the_readers_of_files_take_the_same_view(
    corpus: Corpus, ram: Path, count: int, tally: Tally
) -> None:
    everything = [data for _, data in corpus.histories]
    with tally.trying("fuzz: damaged history files", count):
        for chance in cases(count, 3):
            name, before = chance.choice(corpus.histories)
            path = ram / name
            path.write_bytes(data := mutations.damaged(before, everything, chance))
            path.chmod(0o600)
            check_files(str(path), data, corpus)
            for left in ram.iterdir():
                left.unlink()


def check_files(path: str, data: bytes, corpus: Corpus) -> None:
    reading = read_history(path)
    whole = next(known for _, known in corpus.histories if known.startswith(data[: reading.size]))
    assert reading.events == examine(whole, path).events[: len(reading.events)]
    told = verify_history(path)
    tail(path)
    try:
        with History.open(Disk(), path) as history:
            assert history.events[: len(reading.events)] == reading.events
            assert len(history.events) - len(reading.events) == (reading.torn_bytes > 0)
    except (HistoryCorrupt, NewerFormat):
        assert told and Path(path).read_bytes() == data, "a file that was refused was changed"
    else:
        assert verify_history(path) == []


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_no_history_or_one(data: bytes) -> None:
    assert examine(data, "r1.jsonl").events == [] and findings(io.BytesIO(data), "r1.jsonl")


# -- messages ---------------------------------------------------------------------------------------------------


def check_letter(corpus: Corpus, directory: Path, name: str, data: bytes) -> None:
    path = directory / name
    path.write_bytes(data)
    path.chmod(0o600)
    with Quick():
        found = read_letter(str(directory), name, os.geteuid())
    path.unlink()
    assert isinstance(found, Letter | Refusal)
    if isinstance(found, Letter):
        # Names of fields that nobody knows are passed over, whatever their bytes.
        message, said = found.message, json.loads(data.decode("utf-8", "replace"))
        assert message.id == said["id"] == name and message.run == said["run"] and name.endswith(f".{message.run}")
        assert message.kind == said["kind"] and message.name == said.get("name", "")
        assert json.loads(bytes(message.payload)) == said.get("payload")
        assert (message.nonce, message.question, message.key) == (
            said.get("nonce", ""),
            said.get("question", 0),
            said.get("key", ""),
        )
        try:
            from_letter(found).make(corpus.state)
        except (Late, Unfit):
            pass


@amount(1500, 35_000)
def test_a_damaged_message_says_what_its_bytes_say_or_is_refused(
    corpus: Corpus, ram: Path, count: int, tally: Tally
) -> None:
    everything = [data for _, data in corpus.letters]
    with tally.trying("fuzz: damaged messages", count):
        for chance in cases(count, 4):
            name, before = chance.choice(corpus.letters)
            wrong = mutations.message(before, chance) if chance.random() < 0.5 else b""
            check_letter(corpus, ram, name, wrong or mutations.damaged(before, everything, chance))


# -- indexes ----------------------------------------------------------------------------------------------------


@amount(150, 5000)
def test_a_damaged_index_is_no_error_and_is_rebuilt(ram: Path, count: int, tally: Tally) -> None:
    house = House(ram)
    script = house.script("@dwf.workflow\nasync def main():\n    await dwf.wait_signal('go')\n")
    for number in range(5):
        house.start(script, f"r{number}")
    house.tick()
    house.store.index.close()
    place = Path(house.store.layout.index)
    before = place.read_bytes()
    wanted = known_of(house.store.index)
    assert len(wanted) == 5
    with tally.trying("fuzz: damaged indexes", count):
        for chance in cases(count, 5):
            # In its place, so that nothing but its content says what it is; or as another file.
            if place.is_dir() or chance.random() < 0.5:
                place.unlink()
            place.write_bytes(mutations.damaged(before, [before], chance))
            place.chmod(0o600)
            index = Index(Disk(), house.store.layout)
            with Quick():
                check_index(index)
            index.rebuild(force=True)
            assert index.trusted() and known_of(index) == wanted
            index.close()
            for left in ram.glob("home/index.sqlite.*"):
                left.unlink()


def known_of(index: Index) -> set[tuple[object, ...]]:
    """What an index says of each run, but for what only a replay can tell."""
    return {
        (row.run, row.nonce, row.link, row.workflow, row.open, row.started_us, row.by) for row in index.rows() or []
    }


def check_index(index: Index) -> None:
    """Every question has an answer, and every write finds a way."""
    index.trusted(), index.anything_due(0), index.next_due_us(), index.last_tick_us()
    index.row("r1"), index.rows(), index.rows(Choice(open_only=True, status=("waiting",), prefix="r")), index.due(0, 5)
    row = index.row("r2")
    index.mark_due("r1")
    index.wake("r1")
    index.note_tick(1)
    if row is not None:
        index.settle("r2", index.wakes_seen("r2"), row)
