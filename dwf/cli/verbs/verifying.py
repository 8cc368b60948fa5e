"""Admin: verify. Histories line by line, and against what a witness has kept."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick
from dwf.errors import DwfError, UsageError

if TYPE_CHECKING:
    from dwf.engine.witness import Kept
    from dwf.store.verify import Finding

_HARMLESS = "torn"
# What only a witness can find; he knows no bytes.
_WITNESSED = ("truncated", "rewritten", "missing")


def verify(
    context: Context,
    run: Annotated[str | None, Argument(metavar="[RUN]", help="one run; else all of them", show_default=False)] = None,
    witness: Annotated[
        str | None,
        Option("--witness", metavar="FILE|-", help="hold them to what `dwf tick --witness` has kept; - is stdin"),
    ] = None,
) -> int:
    """Check histories line by line: form, hashes, chain, order. Changes nothing.

    Exit 65 if anything is damaged. A torn tail alone (a writer died, or is writing) is a note: it is mended when the
    run is driven next.

    It finds damage and careless edits. Against somebody who may write the directory it proves nothing, but for
    --witness: then a history is found that was rewritten as a whole, shortened, or removed.
    """
    from dwf.cli.counting import Counting
    from dwf.engine.verifying import examined
    from dwf.store.verify import Finding

    session = session_of(context)
    # Before the histories: they only grow, so what was kept by now is in them.
    kept = None if witness is None else _kept(session, witness)
    paths, number = _histories(session, run, kept)
    counting, checked, findings = Counting(session, "checked"), 0, list[Finding]()
    for some, found in examined(paths):
        checked += some
        findings += found
        counting(min(checked, number - 1), number)
    counting(number, number)
    findings.sort(key=lambda finding: (finding.path, finding.line))
    if kept is not None:
        findings += _against(session, kept, run)
    bad = [finding for finding in findings if finding.kind != _HARMLESS]
    _print_findings(session, findings, checked, kept)
    if bad:
        gone = {finding.path for finding in bad if not os.path.lexists(finding.path)}
        raise Damaged({finding.path for finding in bad}, checked + len(gone), bad[0].path)
    if kept is not None and not kept.count and (checked or kept.strange):
        # An emptied file, or a wrong one, must not pass for a witness that found everything in order.
        what = f"the witness has seen nothing, so it proves nothing about {_histories_in_words(checked)}"
        raise UsageError(what=what, hint="give the file that dwf tick --witness has written")
    return Exit.OK


def _histories_in_words(number: int) -> str:
    return f"{number} {'history' if number == 1 else 'histories'}"


class Damaged(DwfError):
    """Histories are damaged; each finding has been told."""

    code = "damaged"
    exit_code = 65

    def __init__(self, damaged: set[str], checked: int, path: str) -> None:
        count = len(damaged)
        super().__init__(
            what=f"{count} of {checked} histories {'is' if count == 1 else 'are'} damaged, first {path}",
            hint="nothing was changed; dwf help stuck says what can be done",
        )


def _kept(session: Session, witness: str) -> Kept:
    from dwf.engine.witness import parse_kept, read_kept

    if witness != "-":
        return read_kept(witness)
    import sys

    if sys.stdin is None or sys.stdin.isatty():
        what = "the witness is to come from stdin, and that is a terminal"
        raise UsageError(what=what, hint="journalctl -t dwf -o cat | dwf verify --witness -")
    return parse_kept(sys.stdin.buffer)


def _histories(session: Session, run: str | None, kept: Kept | None) -> tuple[Iterable[str], int]:
    """The files to check, and how many they are: those of one run, or all, also in the archive."""
    from dwf.engine.verifying import all_paths, paths_of

    if run is None:
        store = session.store_to_read()
        if store is None:
            return [], 0
        return all_paths(store.layout), sum(1 for _ in all_paths(store.layout))
    if kept is not None and kept.of(run):
        store, wanted = session.store_to_read(), run  # its history may be gone: that is what is asked
    else:
        store = session.existing_store(run)
        wanted = pick(session, store, run)
    paths = [] if store is None else paths_of(store.layout, wanted)
    return paths, len(paths)


def _against(session: Session, kept: Kept, run: str | None) -> list[Finding]:
    from dwf.engine.witness import compare
    from dwf.store.layout import Layout

    return list(compare(Layout(session.home), kept, run))


def _print_findings(session: Session, findings: list[Finding], checked: int, kept: Kept | None) -> None:
    screen = session.screen
    if session.is_json:
        found = [{"file": f.path, "line": f.line, "offset": f.offset, "class": f.kind, "why": f.why} for f in findings]
        document = {"schema": "dwf.verify/1", "checked": checked, "findings": found}
        screen.document(document if kept is None else {**document, "witnessed": kept.count})
        return
    for f in findings:
        style = "yellow" if f.kind == _HARMLESS else "red"
        where = f"line {f.line}: " if f.kind in _WITNESSED else f"line {f.line}, byte {f.offset}: "
        where = where if f.line else ""
        screen.line(f"{f.path}: {where}", (f.kind, style), f": {f.why}")
    if not findings:
        screen.line(f"{_histories_in_words(checked)} checked, nothing is wrong")
    if kept is None:
        return
    screen.say(f"the witness has seen {kept.count} heads of {_histories_in_words(len(kept.marks))}")
    if kept.strange:
        screen.warn(f"{kept.strange} lines in it are not of a witness")
