"""A copy of dwf with one rule taken out, and what its tests say to that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.promises.rows import Held

ROOT = Path(__file__).parents[2]
_PARTS = ("dwf", "tests", "examples", "completions", "pyproject.toml", "README.md", "LICENSE")
_SECONDS = 300
# Of pytest's exit codes, those that say that tests could not be run as asked, or that all of them passed.
_NOT_FAILED = (0, 2, 3, 4, 5)


def has_failed(code: int) -> bool:
    """Whether that exit code says that a test failed, or took the process down with it."""
    return code not in _NOT_FAILED


def run_tests(where: Path, *tests: str, more: tuple[str, ...] = (), **environ: str) -> tuple[int, str]:
    """Run tests of a checkout in a process of their own; pytest's exit code and what it said. A hang is a failure."""
    argv = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *more, *tests]
    whole = {**os.environ, "PYTHONPATH": str(where), "PYTEST_ADDOPTS": "", **environ}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "DWF_SEED"):
        whole.pop(name, None)
    try:
        done = subprocess.run(argv, cwd=where, env=whole, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return 1, "it hangs"
    return done.returncode, done.stdout + done.stderr


class Copy:
    """The whole checkout once more, where rules can be taken out."""

    def __init__(self, where: Path) -> None:
        self.where = where
        for part in _PARTS:
            source, target = ROOT / part, where / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy2(source, target)

    def test(self, *tests: str) -> tuple[int, str]:
        """Run tests in the copy; pytest's exit code and what it said."""
        return run_tests(self.where, *(f"tests/{test}" for test in tests))

    @contextmanager
    def without(self, held: Held) -> Iterator[None]:
        """Until the block ends, the rule is taken out."""
        path = self.where / held.file
        before = path.read_text(encoding="utf-8")
        assert before.count(held.rule) == 1
        changed = before.replace(held.rule, held.instead)
        compile(changed, held.file, "exec")
        self._write(path, changed)
        try:
            yield
        finally:
            self._write(path, before)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Bytecode is told by time and size, and both may be what they were.
        for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            stale.unlink()
