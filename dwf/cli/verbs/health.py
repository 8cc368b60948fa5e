"""Admin: doctor. Is everything as it should be, and if not, what is to be typed?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.session import Session

if TYPE_CHECKING:
    from dwf.engine.doctor import Finding


def doctor(
    context: Context,
    fix: Annotated[bool, Option("--fix", help="mend what is safe to mend; evidence is kept")] = False,
    rebuild_index: Annotated[bool, Option("--rebuild-index", help="make the index anew from the histories")] = False,
) -> int:
    """Find what is wrong, and say what to type: the directory, the disk, the clock, cron, histories, stuck runs.

    Changes nothing without --fix. With it: modes, missing directories, starts that were cut off, torn ends of histories
    (as the next tick would, under the run's lock, recorded), the index. Exit 1 if anything is bad.
    """
    from dwf.cli.counting import Counting
    from dwf.engine.doctor import Patient, examine, mend

    session = session_of(context)
    patient = Patient(session.home, session.environ, progress=Counting(session, "read"))
    done = mend(patient, rebuild=rebuild_index) if (fix or rebuild_index) and patient.exists else []
    findings = examine(patient)
    _print(session, findings, done)
    return Exit.FAILED if any(finding.grade.value == "bad" for finding in findings) else Exit.OK


def _print(session: Session, findings: list[Finding], done: list[str]) -> None:
    from dwf.cli.pages.health import doctor_document, doctor_lines, finding_document, verdict

    screen = session.screen
    if session.output == "json":
        screen.document(doctor_document(findings, done))
    elif session.output == "jsonl":
        screen.documents({"schema": "dwf.finding/1", **finding_document(finding)} for finding in findings)
    elif session.output == "name":
        screen.lines([name] for name in dict.fromkeys(f.check for f in findings if f.grade.value != "ok"))
    else:
        screen.lines(doctor_lines(findings, done, 0 if session.output == "wide" else screen.width))
        screen.flush()
        screen.say(verdict(findings))
