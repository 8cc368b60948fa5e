"""Distributions that are installed for a test, as far as their names, versions and modules go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dwf.scripts import packages

Install = Callable[..., None]


def forget() -> None:
    """As in a process that has looked nothing up yet."""
    for known in (packages._of_module, packages._version, packages._name, packages._holders):
        known.cache_clear()


def installer(site: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """What puts a distribution where Python finds it, for another version of it; without one, takes it away."""
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    forget()

    def put(name: str, version: str, *modules: str, metadata: str = "Metadata-Version: 2.1\nName: {0}\n") -> None:
        stem = name.replace("-", "_")
        for old in site.glob(f"{stem}-*.dist-info"):
            shutil.rmtree(old)
        if version:
            about = site / f"{stem}-{version}.dist-info"
            about.mkdir()
            (about / "METADATA").write_text(metadata.format(name) + f"Version: {version}\n")
            (about / "top_level.txt").write_text("".join(f"{module}\n" for module in modules))
        forget()

    return put
