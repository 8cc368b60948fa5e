"""What a script takes: `dwf start SCRIPT --help`, for people and for programs."""

from __future__ import annotations

from typer import Context

from dwf.cli.exits import Exit
from dwf.cli.session import Session


def explain(context: Context, session: Session, script: str | None) -> int:
    if not script:
        session.screen.text(context.get_help() + "\n")
        return Exit.OK
    if session.is_operator:
        from dwf.cli.requesting import in_catalogue

        script = in_catalogue(session, script)
    from dwf.cli.pages.scripts import script_document, script_lines
    from dwf.engine.start import describe

    workflows = describe(script, session.store_if_made())
    if session.is_json:
        session.screen.document(script_document(script, workflows))
    else:
        session.screen.lines(script_lines(script, workflows, context.info_name or "start"))
    return Exit.OK
