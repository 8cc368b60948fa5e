"""The pytest plugin: the fixture `dwf_env`, and recorded histories as tests (`--dwf-replay DIRECTORY`).

pytest loads it wherever dwf is installed, so it imports nothing of the engine before a test needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dwf.testing import Env

_SUFFIXES = (".jsonl", ".dwf")


@pytest.fixture
def dwf_env(tmp_path: Path) -> Env:
    """A world of its own for one test of a runbook: see dwf.testing."""
    from dwf.testing import Env

    return Env(tmp_path / "dwf-state")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("dwf", "runbooks of dwf")
    words = "replay the histories in this directory (RUN.jsonl, or bundles) over the scripts of their names"
    group.addoption("--dwf-replay", action="append", default=[], metavar="DIR", help=words)
    words = "where their scripts are; else in that directory, the one above, or where they were"
    group.addoption("--dwf-scripts", default=None, metavar="DIR", help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Such a directory is one to collect tests from."""
    for directory in config.getoption("--dwf-replay"):
        if not Path(directory).is_dir():
            raise pytest.UsageError(f"--dwf-replay {directory}: there is no such directory")
        config.args.append(directory)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A recorded history in such a directory is a test."""
    wanted = (Path(given).resolve() for given in parent.config.getoption("--dwf-replay"))
    if file_path.suffix not in _SUFFIXES or not any(file_path.resolve().is_relative_to(place) for place in wanted):
        return None
    return Recorded.from_parent(parent, path=file_path)


class Recorded(pytest.File):
    """A file with one recorded run in it."""

    def collect(self) -> Iterator[pytest.Item]:
        """The one test."""
        yield Replayed.from_parent(self, name="replays")


class Replayed(pytest.Item):
    """The script does what it did."""

    def runtest(self) -> None:
        """Replay it."""
        from dwf.testing.replaying import check_history

        scripts = self.config.getoption("--dwf-scripts")
        factory: pytest.TempPathFactory = self.config._tmp_path_factory  # type: ignore[attr-defined]  # as tmp_path has it
        check_history(self.path, factory.mktemp("dwf-replay") / "state", Path(scripts) if scripts is not None else None)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """In the words of dwf, without its insides."""
        from dwf.errors import DwfError
        from dwf.testing.replaying import described

        if isinstance(excinfo.value, DwfError):
            return "\n".join(described(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is."""
        return self.path, None, f"{self.path.name} over its script"
