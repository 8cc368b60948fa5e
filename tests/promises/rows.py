"""A promise, the tests that hold it, and the rule behind each: what the tables of this room are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Held:
    """A test, and a rule that it fails without. `rule` stands in `file` exactly once; without it `instead` does."""

    test: str
    file: str
    rule: str
    instead: str

    @property
    def path(self) -> str:
        """The file of the test."""
        return f"tests/{self.test.partition('::')[0]}"

    @property
    def function(self) -> str:
        return self.test.partition("::")[2].partition("[")[0]


@dataclass(frozen=True)
class Promise:
    """What is promised, in a sentence, and what holds it."""

    name: str
    says: str
    held: tuple[Held, ...]


def promise(name: str, says: str, *held: Held) -> Promise:
    return Promise(name, says, held)


@dataclass(frozen=True)
class Absent:
    """A promise of a feature that is not there. `sign`: text that its coming will bring into `file`, or "" for a file
    that will be there then."""

    name: str
    says: str
    file: str
    sign: str
