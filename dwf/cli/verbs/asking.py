"""Watch and Answer: query, a question to a run; update, a request that it answers."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import RunArgument, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import given_json, pairs, pick

InputOption = Annotated[
    str | None, Option("--input", metavar="JSON|@FILE|-", help="arguments as a JSON object; K=V words win")
]
WordsArgument = Annotated[
    list[str] | None, Argument(metavar="[K=V ...]", help="arguments, typed by the script", show_default=False)
]


def query(
    context: Context,
    run: RunArgument,
    name: Annotated[
        str | None, Argument(metavar="[NAME]", help="which; left out, what it takes is listed", show_default=False)
    ] = None,
    words: WordsArgument = None,
    json_input: InputOption = None,
) -> int:
    """Ask a run something that its script can answer; also when it is over. Prints JSON.

    It replays the history here and changes nothing, so it is refused for code that belongs to somebody else.
    """
    from dwf.engine.asking import query as ask

    session = session_of(context)
    store = session.existing_store(run)
    texts, values = arguments(words, json_input)
    run = pick(session, store, run)
    if name is None:
        return _list_taken(session, store, run)
    answer = ask(store, run, name, session.me.uid, texts, values)
    print_json(session, answer)
    return Exit.OK


def arguments(words: list[str] | None, json_input: str | None) -> tuple[dict[str, str], dict[str, Any] | None]:
    """What was typed, as words by name, and as values. Raises UsageError."""
    from dwf.errors import UsageError

    values = None if json_input is None else given_json(json_input, "--input")
    if values is not None and not isinstance(values, dict):
        raise UsageError(what="--input is not a JSON object", hint='{"name": value}')
    return pairs(words or [], "an argument"), values


def print_json(session: Session, answer: bytes) -> None:
    """A value on stdout: for people over several lines, for programs as one."""
    from dwf.core.values import decode

    session.screen.document(decode(answer))


def _list_taken(session: Session, store: Any, run: str) -> int:
    from dwf.engine.asking import taken_by

    found = taken_by(store, run, session.me.uid)
    screen = session.screen
    if session.is_json:
        told = [
            {
                "kind": one.kind,
                "name": one.name,
                "doc": one.doc,
                "parameters": [{"name": p.name, "type": p.type_name, "required": p.required} for p in one.parameters],
            }
            for one in found
        ]
        screen.document({"schema": "dwf.taken/1", "run": run, "takes": told})
        return Exit.OK
    if not found:
        screen.say(f"{run} takes no queries, updates or signals by handlers (dwf help handlers)")
    for one in found:
        given = " ".join(f"{p.name}={p.type_name}" if p.required else f"[{p.name}=...]" for p in one.parameters)
        verb = f"dwf {one.kind} {run} {one.name}"
        screen.line((f"{verb} {given if one.kind != 'signal' else '[K=V ...]'}".rstrip(), "bold"))
        if one.doc:
            screen.line(f"    {one.doc}")
    return Exit.OK
