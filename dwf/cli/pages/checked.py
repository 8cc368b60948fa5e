"""What `dwf check` found, as text, as one JSON document, or as annotations for GitHub."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dwf.cli.escape import one_line

if TYPE_CHECKING:
    from dwf.cli.screen import Screen
    from dwf.engine.checking import Checked, Verdict

# So many runs that fit are told one by one; of more only how many they are.
_TOLD_SAFE = 20


def tell(screen: Screen, kind: str, checked: list[Checked], verdicts: list[Verdict], others: int) -> None:
    """All of it, in the form that was asked for."""
    if kind == "json":
        screen.document(
            {
                "schema": "dwf.check/1",
                "files": [file.path for file in checked],
                "runs": [_as_json(verdict) for verdict in verdicts],
                "others": others,
            }
        )
        return
    if kind == "github":
        for verdict in verdicts:
            if verdict.fit != "safe":
                screen.line(_annotation(verdict, checked))
        return
    _tell_text(screen, verdicts, others)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    told = {field.name: getattr(verdict, field.name) for field in dataclasses.fields(verdict) if field.name != "error"}
    return {**told, "fit": verdict.fit.value}


# -- text -------------------------------------------------------------------------------------------------------


def _tell_text(screen: Screen, verdicts: list[Verdict], others: int) -> None:
    bad = [verdict for verdict in verdicts if verdict.fit != "safe"]
    safe = [verdict for verdict in verdicts if verdict.fit == "safe"]
    told_cures: set[str] = set()
    for verdict in bad:
        screen.line((verdict.run, "bold"), "  ", (verdict.fit.value, "red"), f" {_at(verdict)}".rstrip())
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
    screen.say(_summary(len(safe), len(bad), others))


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


def _summary(safe: int, bad: int, others: int) -> str:
    if not safe and not bad:
        words = "no run is of this script"
    else:
        words = f"{safe} {'run fits' if safe == 1 else 'runs fit'}"
        words += f", {bad} {'does' if bad == 1 else 'do'} not" if bad else ""
    return words + (f"; {others} of other scripts" if others else "")


# -- annotations ------------------------------------------------------------------------------------------------


def _annotation(verdict: Verdict, checked: list[Checked]) -> str:
    name, _, line = verdict.where.rpartition(":")
    path = verdict.file
    for file in checked:
        if file.path == verdict.file:
            inner = next((inner for inner in file.sources.files if PurePath(inner).name == name), "")
            path = str(PurePath(file.path).parent / inner) if inner else file.path
    place = f"file={_property(path)},line={line or 1}"
    why = verdict.why if not verdict.cure else f"{verdict.why}\nwith this it fits:\n{verdict.cure}"
    return f"::error {place},title={_property(f'{verdict.run} {verdict.fit.value}')}::{_data(why)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
