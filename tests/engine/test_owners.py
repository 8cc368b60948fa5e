"""Whose code is run by whom. Root runs what is root's; a reader runs nothing of a stranger's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dwf.core import events as ev
from dwf.engine.owners import require_readers
from dwf.engine.stack import stack
from dwf.engine.start import describe
from dwf.engine.upgrade import upgrade
from dwf.errors import NotPermitted
from dwf.store.files import Disk
from dwf.store.layout import open_home
from dwf.store.trust import weakness
from tests.engine.house import ME, House

SCRIPT = """
    @dwf.activity
    def act() -> None:
        note("ran")

    @dwf.workflow
    async def main() -> object:
        await act()
        return await dwf.wait_signal("go")
    """
STRANGER = 61009
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of others")


def of_another(path: Path) -> None:
    os.lchown(path, STRANGER, STRANGER)


def for_all(path: Path) -> None:
    path.chmod(0o666 if path.is_file() else 0o777)


def for_a_group(path: Path) -> None:
    path.chmod(0o664 if path.is_file() else 0o775)


def by_a_link(path: Path) -> None:
    """A link that a stranger can turn elsewhere, to what is in order now."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    of_another(path)


WAYS = [of_another, for_all, for_a_group, by_a_link]


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A script three directories down, with a module beside it."""
    path = tmp_path / "a" / "b" / "book.py"
    path.parent.mkdir(parents=True)
    path.write_text("import dwf, helper\n@dwf.workflow\nasync def main() -> None: ...\n")
    path.with_name("helper.py").write_text("LEVEL = 1\n")
    return path


@as_root
@pytest.mark.parametrize("spoil", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("which", ["a", "a/b", "a/b/book.py", "a/b/helper.py"])
def test_root_neither_loads_nor_starts_what_others_can_write(
    house: House, tmp_path: Path, nested: Path, spoil: Callable[[Path], None], which: str
) -> None:
    """Fails when root asks nobody whose script it is."""
    assert describe(str(nested))
    spoil(tmp_path / which)
    for refused in (lambda: describe(str(nested)), lambda: house.start(str(nested))):
        with pytest.raises(NotPermitted) as caught:
            refused()
        assert caught.value.exit_code == 77
        assert str(tmp_path / which) in caught.value.message
        assert (caught.value.hint or "").startswith(("chmod go-w /", "chown 0 /"))
    assert not (tmp_path / "home/runs/r1.jsonl").exists()


@as_root
def test_nor_upgrades_to_it(house: House, nested: Path) -> None:
    house.start(str(nested))
    for_all(nested)
    with pytest.raises(NotPermitted):
        upgrade(house.store, "r1", str(nested), ME)


@as_root
@pytest.mark.parametrize("spoil", [of_another, for_all], ids=lambda way: way.__name__)
def test_a_script_that_is_run_as_it_is_now_is_asked_about_at_every_tick(
    house: House, spoil: Callable[[Path], None]
) -> None:
    script = house.script(SCRIPT)
    house.start(script, code="live")
    spoil(Path(script))
    house.tick()
    blocked = house.state().blocked
    assert blocked is not None and "is refused, for root relies on it" in blocked.message
    assert house.notes() == []


@as_root
def test_code_that_belonged_to_another_is_not_driven_by_root(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when root does not ask whose code was stored."""
    script = house.script(SCRIPT)
    of_another(Path(script))
    monkeypatch.setattr("dwf.engine.routing.require_own", lambda *_: None)
    house.start(script)
    house.tick()
    blocked = house.state().blocked
    assert blocked is not None and f"it belonged to uid {STRANGER}" in blocked.message
    assert house.notes() == []


@as_root
@pytest.mark.parametrize("spoil", WAYS[:3], ids=lambda way: way.__name__)
@pytest.mark.parametrize("which", ["", "home"])
def test_root_uses_no_state_directory_that_others_can_exchange(
    house: House, tmp_path: Path, spoil: Callable[[Path], None], which: str
) -> None:
    """Fails when root does not look at the directories above."""
    spoil(tmp_path / which)
    with pytest.raises(NotPermitted) as caught:
        open_home(Disk(), str(tmp_path / "home"))
    assert caught.value.exit_code == 77
    assert (caught.value.hint is None) == (which == "home" and spoil is of_another)


@as_root
def test_root_makes_none_where_others_could_exchange_it(tmp_path: Path) -> None:
    for_all(tmp_path)
    with pytest.raises(NotPermitted):
        open_home(Disk(), str(tmp_path / "home"), create=True)
    assert not (tmp_path / "home").exists()


@as_root
def test_a_sticky_directory_of_roots_is_safe_and_one_of_another_is_not(tmp_path: Path) -> None:
    place = tmp_path / "sticky" / "file"
    place.parent.mkdir()
    place.write_text("")
    place.parent.chmod(0o1777)
    assert weakness(str(place)) is None
    of_another(place.parent)
    found = weakness(str(place))
    assert found is not None and found.path == str(place.parent)


@as_root
def test_a_link_is_as_safe_as_every_directory_on_its_way(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe" / "book.py").write_text("")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "link").symlink_to("../safe")
    (tmp_path / "book.py").symlink_to("loose/link/book.py")
    assert weakness(str(tmp_path / "book.py")) is None
    for_all(tmp_path / "loose")
    found = weakness(str(tmp_path / "book.py"))
    assert found is not None and found.path == str(tmp_path / "loose")


@as_root
@pytest.mark.parametrize(
    ("keeper", "owner", "reader", "allowed"),
    [
        (0, 0, 0, True),
        (0, STRANGER, 0, False),
        (STRANGER, 0, 0, False),
        (STRANGER, 0, STRANGER, True),
        (STRANGER, STRANGER, STRANGER, True),
        (STRANGER, 5, STRANGER, False),
        (STRANGER, 0, 5, False),
        (0, STRANGER, 5, False),
        (0, 0, 5, True),
    ],
)
def test_a_reader_replays_only_what_he_can_trust(
    house: House, monkeypatch: pytest.MonkeyPatch, keeper: int, owner: int, reader: int, allowed: bool
) -> None:
    """Fails when a reader does not ask whose code it is."""
    script = house.script(SCRIPT)
    os.chown(script, owner, -1)
    monkeypatch.setattr("dwf.engine.routing.require_own", lambda *_: None)
    house.start(script)
    os.chown(house.store.layout.home, keeper, -1)
    if allowed:
        require_readers(house.store, house.state(), reader)
    else:
        with pytest.raises(NotPermitted):
            stack(house.store, "r1", reader)


@pytest.mark.parametrize("mode", [0o644, 0o4750, 0o600])
def test_what_others_may_do_with_a_script_is_recorded_when_it_is_started_and_when_a_run_is_moved_to_it(
    house: House, mode: int
) -> None:
    """The stored copy has modes of its own; who asks a year later wants those of then."""
    path = Path(house.script(SCRIPT))
    path.chmod(mode)
    house.start(str(path))
    house.tick()
    started = house.the(ev.WorkflowStarted)
    assert (started.code_owner, started.code_permissions) == (os.geteuid(), f"{mode:04o}")

    other = Path(house.script(SCRIPT + "\n    OTHER = 1\n", "other.py"))
    other.chmod(0o640)
    upgrade(house.store, "r1", str(other), ME, "")
    assert house.the(ev.CodeUpgraded).code_permissions == "0640"


def test_a_history_from_before_they_were_recorded_is_read() -> None:
    line = b'{"type":"WorkflowStarted","run":"r","nonce":"n","workflow":"w","script":"s","code":"c"}'
    assert msgspec.json.decode(line, type=ev.WorkflowStarted).code_permissions == ""
