"""Admin: verify. Histories line by line, and against what a witness has kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pick
from dwf.errors import DwfError

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

    Exit 65 if anything is damaged. A torn tail alone (a writer died, or is writing) is a note: the next tick mends it.
    It finds damage and careless edits. Against somebody who may write the directory it proves nothing, but for
    --witness: then a history is found that was rewritten as a whole, shortened, or removed.
    """
    from dwf.cli.counting import Counting

    session = session_of(context)
    # Before the histories: they only grow, so what was kept by now is in them.
    kept = None if witness is None else _kept(session, witness)
    paths, findings = _histories(session, run, kept)
    counting = Counting(session, "checked")
    for number, path in enumerate(paths):
        counting(number, len(paths))
        findings += _findings(path)
    counting(len(paths), len(paths))
    if kept is not None:
        findings += _against(session, kept, run)
    bad = [finding for finding in findings if finding.kind != _HARMLESS]
    _print_findings(session, findings, len(paths), kept)
    if bad:
        raise Damaged({finding.path for finding in bad}, len({*paths, *(f.path for f in bad)}), bad[0].path)
    return Exit.OK


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

    from dwf.errors import UsageError

    if sys.stdin is None or sys.stdin.isatty():
        what = "the witness is to come from stdin, and that is a terminal"
        raise UsageError(what=what, hint="journalctl -t dwf -o cat | dwf verify --witness -")
    return parse_kept(sys.stdin.buffer)


def _histories(session: Session, run: str | None, kept: Kept | None) -> tuple[list[str], list[Finding]]:
    """The files to check; and what bears the suffix of a history and a name that none can have, for all runs only."""
    from dwf.store.layout import HISTORY_SUFFIX, run_of
    from dwf.store.verify import Finding

    wanted: str | None
    if run is not None and kept is not None and kept.of(run):
        store, wanted = session.store_to_read(), run  # its history may be gone: that is what is asked
    else:
        store = session.store_to_read() if run is None else session.existing_store(run)
        wanted = None if run is None or store is None else pick(session, store, run)
    if store is None:
        return [], []
    try:
        names = sorted(os.listdir(store.layout.runs))  # noqa: PTH208
    except FileNotFoundError:
        return [], []
    found = [(run_of(name), f"{store.layout.runs}/{name}") for name in names if name.endswith(HISTORY_SUFFIX)]
    odd = [Finding(path, 0, 0, "foreign", "no run can have this name") for of, path in found if of is None and not run]
    return [path for of, path in found if of is not None and wanted in (None, of[0])], odd


def _findings(path: str) -> list[Finding]:
    from dwf.store.history import verify_history
    from dwf.store.verify import Finding

    try:
        return verify_history(path)
    except DwfError as error:
        return [Finding(path, 0, 0, "unreadable", error.message)]


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
        screen.line(f"{f.path}: {where}", (f.kind, style), f": {f.why}")
    if not findings:
        screen.line(f"{checked} {'history' if checked == 1 else 'histories'} checked, nothing is wrong")
    if kept is None:
        return
    seen = len(kept.marks)
    screen.say(f"the witness has seen {kept.count} heads of {seen} {'history' if seen == 1 else 'histories'}")
    if kept.strange:
        screen.warn(f"{kept.strange} lines in it are not of a witness")
