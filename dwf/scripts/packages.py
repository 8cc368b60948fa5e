"""Packages: which installed distributions a script imports, in which versions, and what has changed since a start.

It is news for people, and never a reason for anything: what cannot be found is left out, whatever the cause.
A script that imports the standard library, dwf and its own modules only has nothing looked up.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from dwf.core.state import RunState

_MOST = 4


@dataclass(frozen=True)
class Change:
    """What is another here than it was. `now` is None for what is no longer installed."""

    name: str
    then: str
    now: str | None

    @property
    def words(self) -> str:
        """`requests was 2.31.0 and is 2.32.1 here`."""
        return f"{self.name} was {self.then} and is {self.now or 'not installed'} here"


def versions(modules: Iterable[str]) -> dict[str, str]:
    """The distributions that those modules come from, by name, with their versions. Of a shared name, all that have it.

    modules: names as they are imported, without what follows the first dot.
    """
    return dict(sorted(pair for module in modules for pair in _of_module(module)))


def as_here(packages: Mapping[str, str]) -> dict[str, str]:
    """The same distributions, as they are installed here now; without those that are not."""
    found = {name: _version(name) for name in packages}
    return {name: version for name, version in found.items() if version}


def changed_packages(state: RunState) -> list[Change]:
    """What of the packages of a run is another one here than where it came onto its code."""
    here = as_here(state.packages)
    return [Change(name, then, here.get(name)) for name, then in state.packages.items() if here.get(name) != then]


def changed_python(state: RunState) -> list[Change]:
    """Python, if it is another one here than at the start of a run; patch levels are not told."""
    then, now = state.head.python, platform.python_version()
    return [Change("Python", then, now)] if then and _series(then) != _series(now) else []


def likely_cause(state: RunState) -> str:
    """What may be why a script does not fit its history though nobody has edited it; "" if nothing has changed."""
    changes = [*changed_python(state), *changed_packages(state)]
    more = f", and {len(changes) - _MOST} packages more" if len(changes) > _MOST else ""
    told = ", ".join(change.words for change in changes[:_MOST])
    return f"{told}{more}: that is the usual cause where the script is as it was" if told else ""


def _series(version: str) -> str:
    return version.rpartition(".")[0]


@cache
def _of_module(module: str) -> tuple[tuple[str, str], ...]:
    # Most distributions are called as what they hold; to ask what each of them holds takes ten times as long.
    names = (module,) if _version(module) else _holders().get(module, ())
    pairs = ((_name(name), _version(name)) for name in names)
    return tuple((name, version) for name, version in pairs if name and version)


@cache
def _version(distribution: str) -> str:
    with suppress(Exception):  # whatever somebody has put into site-packages
        from importlib.metadata import version

        return str(version(distribution) or "")
    return ""


@cache
def _name(distribution: str) -> str:
    """As it calls itself: `PyYAML`, not `pyyaml`."""
    with suppress(Exception):
        from importlib.metadata import metadata

        return str(metadata(distribution)["Name"] or "")
    return ""


@cache
def _holders() -> Mapping[str, Iterable[str]]:
    with suppress(Exception):
        from importlib.metadata import packages_distributions

        return packages_distributions()
    return {}
