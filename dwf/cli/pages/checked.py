"""What `dwf check` found, as text, as one JSON document, or as annotations for GitHub."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dwf.cli.escape import one_line

if TYPE_CHECKING:
    from dwf.cli.screen import Screen
    from dwf.engine.checking import Verdict
    from dwf.scripts.collect import Sources
    from dwf.scripts.lint import Finding
    from dwf.scripts.lint.rules import Rule

# So many runs that fit are told one by one; of more only how many they are.
_TOLD_SAFE = 20
# And so many that do not fit in the same way stand beside the first of them, by name.
_TOLD_ALIKE = 4


@dataclass(frozen=True)
class Read:
    """A file that was read, and what was found in it. path: as it was given."""

    path: str
    sources: Sources
    findings: list[Finding]

    def shown(self, file: str) -> str:
        """One of its files as whoever gave the path would name it."""
        return str(PurePath(self.path).parent / file) if file != self.sources.main else self.path


@dataclass(frozen=True)
class Found:
    """All of it. others: so many runs are of other scripts. is_run: whether runs were looked at."""

    read: list[Read]
    verdicts: list[Verdict]
    others: int
    is_run: bool

    @property
    def findings(self) -> list[tuple[str, Finding]]:
        """Each once, with the path of its file: two scripts may share a module."""
        return list(dict.fromkeys((read.shown(one.file), one) for read in self.read for one in read.findings))


def tell(screen: Screen, kind: str, found: Found) -> None:
    """In the form that was asked for."""
    if kind == "json":
        screen.document(
            {
                "schema": "dwf.check/1",
                "files": [read.path for read in found.read],
                "findings": [{**dataclasses.asdict(one), "file": path} for path, one in found.findings],
                "runs": [as_json(verdict) for verdict in found.verdicts],
                "others": found.others,
            }
        )
    elif kind == "github":
        screen.lines([_annotation_of(path, one)] for path, one in found.findings)
        screen.lines([_annotation(verdict, found.read)] for verdict in found.verdicts if verdict.fit != "safe")
    else:
        for path, one in found.findings:
            place = f"{path}:{one.line}:{one.column}: "
            screen.line((place, "bold"), (one.code, "red"), f" {one_line(f'{one.what}; {one.cure}')}")
        _tell_text(screen, found.verdicts)
        screen.say(_summary(found))


def explained(code: str, rule: Rule) -> str:
    """A rule, for `--explain`."""
    why = textwrap.fill(" ".join(rule.why.split()), 79)
    wrong, right = (textwrap.indent(text, "    ") for text in (rule.wrong, rule.right))
    return f"{code}: {rule.title}\n\n{why}\n\nInstead of\n\n{wrong}\n\nwrite\n\n{right}\n"


def as_json(verdict: Verdict) -> dict[str, Any]:
    """A run and how it fits, for programs."""
    told = {field.name: getattr(verdict, field.name) for field in dataclasses.fields(verdict) if field.name != "error"}
    return {**told, "fit": verdict.fit.value}


# -- text -------------------------------------------------------------------------------------------------------


def _tell_text(screen: Screen, verdicts: list[Verdict]) -> None:
    bad = [verdict for verdict in verdicts if verdict.fit != "safe"]
    safe = [verdict for verdict in verdicts if verdict.fit == "safe"]
    told_cures: set[str] = set()
    alike: dict[tuple[object, ...], list[Verdict]] = {}
    for verdict in bad:
        alike.setdefault((verdict.fit, *_sides(verdict), verdict.where, verdict.cure, verdict.hint), []).append(verdict)
    for verdict, *others in alike.values():
        more = [f", {other.run}" for other in others[:_TOLD_ALIKE]]
        more += [f" and {len(others) - _TOLD_ALIKE} more"] if len(others) > _TOLD_ALIKE else []
        head = verdict.run + "".join(more)
        screen.line((head, "bold"), "  ", (verdict.fit.value, "red"), f" {_at(verdict)}".rstrip())
        for line in _sides(verdict):
            screen.line(f"  {one_line(line)}")
        if verdict.cure and verdict.cure not in told_cures:
            told_cures.add(verdict.cure)
            screen.line("  with this it fits:")
            for line in verdict.cure.splitlines():
                screen.line(f"      {line}")
        elif not verdict.cure and verdict.hint:
            screen.line(f"  hint: {one_line(verdict.hint)}")
    if len(safe) <= _TOLD_SAFE:
        for verdict in safe:
            screen.line((verdict.run, "bold"), "  ", ("safe", "green"), _more(verdict))


def _at(verdict: Verdict) -> str:
    return f"at {verdict.where}" if verdict.where else ""


def _more(verdict: Verdict) -> str:
    if not verdict.adds:
        return ""
    return f"  (asks for {verdict.adds} more at its end)"


def _sides(verdict: Verdict) -> Iterator[str]:
    if not verdict.line:
        yield verdict.why
        return
    left, right = f"history line {verdict.line}", verdict.where or "the script"
    width = max(len(left), len(right))
    yield f"{left:{width}}  recorded  {verdict.recorded}"
    yield f"{right:{width}}  now asks  {verdict.asked}"


def _summary(found: Found) -> str:
    number = len(found.findings)
    bad = sum(verdict.fit != "safe" for verdict in found.verdicts)
    words = "nothing found" if not bad else "no finding"  # a run that does not fit is something, too
    if number:
        words = f"{number} finding{'' if number == 1 else 's'}"
    if not found.is_run:
        return words
    safe = len(found.verdicts) - bad
    if not found.verdicts:
        words += "; no run is of this script"
    else:
        words += f"; {safe} {'run fits' if safe == 1 else 'runs fit'}"
        words += f", {bad} {'does' if bad == 1 else 'do'} not" if bad else ""
    return words + (f"; {found.others} of other scripts" if found.others else "")


# -- annotations ------------------------------------------------------------------------------------------------


def _annotation_of(path: str, one: Finding) -> str:
    place = f"file={_property(path)},line={one.line},col={one.column}"
    return f"::error {place},title={one.code}::{_data(f'{one.what}; {one.cure}')}"


def _annotation(verdict: Verdict, read: list[Read]) -> str:
    name, _, line = verdict.where.rpartition(":")
    path = verdict.file
    for one in read:
        if one.path == verdict.file:
            path = next((one.shown(inner) for inner in one.sources.files if PurePath(inner).name == name), path)
    place = f"file={_property(path)},line={line or 1}"
    why = verdict.why if not verdict.cure else f"{verdict.why}\nwith this it fits:\n{verdict.cure}"
    return f"::error {place},title={_property(f'{verdict.run} {verdict.fit.value}')}::{_data(why)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
