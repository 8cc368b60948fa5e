"""The room as a whole: its map, and how its door is opened."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import dwf.store
from dwf.errors import BadConfiguration
from dwf.store.room import Store

ROOM = Path(dwf.store.__file__).parent
MODULES = sorted(path.stem for path in ROOM.glob("*.py") if path.stem != "__init__")


def _floors() -> list[str]:
    """The modules in the order of the map, from the ground."""
    plan = (dwf.store.__doc__ or "").partition("Floors inside")[2].partition("Rules of the room")[0]
    lines = re.findall(r"^    (\w+(?: \w+)*)", plan, re.MULTILINE)
    return list(dict.fromkeys(word for line in lines for word in line.split()))


def _imported(module: str) -> set[str]:
    """What a module imports of the room when it is loaded."""
    found = set()
    for node in ast.parse((ROOM / f"{module}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "dwf.store":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dwf.store."):
            found.add(str(node.module).rpartition(".")[2])
    return found


def test_every_module_of_the_room_is_on_its_map() -> None:
    assert sorted(_floors()) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_stands_before_it_on_the_map(module: str) -> None:
    floors = _floors()
    assert _imported(module) <= set(floors[: floors.index(module)])


def test_a_writer_asks_once_whether_it_is_on_a_network_and_a_reader_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(tmp_path / "home")
    Store.open(home, create=True)
    asked = []

    def mounted(path: str, mounts: object) -> str:
        asked.append(path)
        return "nfs4"

    monkeypatch.setattr("dwf.store.layout.file_system", mounted)
    with pytest.raises(BadConfiguration, match="nfs4"):
        Store.open(home)
    assert asked == [home]
    Store.open(home, write=False)
    assert asked == [home]
