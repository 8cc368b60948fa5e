"""Watch and Answer: query, a question to a run; update, a request that it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import ReasonOption, RunArgument, TickOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.shared import given_json, pairs, pick, say_tick
from dwf.errors import TimedOut, UsageError

if TYPE_CHECKING:
    from dwf.engine.post import Posted
    from dwf.engine.updates import Answer
    from dwf.store.room import Store

# A tick that does not come within this time is missed by everybody.
_PATIENCE_US = 180 * 1_000_000

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
    from dwf.core.values import decode
    from dwf.engine.asking import query as ask

    session = session_of(context)
    store = session.existing_store(run)
    texts, values = _arguments(words, json_input)
    run = pick(session, store, run)
    if name is None:
        return _list_taken(session, store, run)
    answer = ask(store, run, name, session.me.uid, texts, values)
    session.screen.document(decode(answer))
    return Exit.OK


def update(
    context: Context,
    run: RunArgument,
    name: Annotated[str, Argument(metavar="NAME", help="which", show_default=False)],
    words: WordsArgument = None,
    json_input: InputOption = None,
    until: Annotated[str, Option("--until", metavar="WHAT", help="accepted, or completed")] = "completed",
    timeout: Annotated[str | None, Option("--timeout", metavar="DURATION", help="wait so long; 3 after it")] = None,
    reason: ReasonOption = "",
    key: Annotated[str, Option("--key", metavar="TEXT", help="the same key a second time does nothing")] = "",
    tick: TickOption = False,
) -> int:
    """Ask a run to do something, wait until a tick has taken it up, and print what came of it, as JSON.

    The script may refuse it: then 7, with its words, and nothing is recorded in the history. 3 if it is not finished in
    time (3 minutes, if nothing else is said; it goes on all the same), 1 if it failed.
    """
    from dwf.cli.times import parse_duration
    from dwf.engine.updates import Asked, send, wait

    session = session_of(context)
    if until not in ("accepted", "completed"):
        raise UsageError(what=f"--until {until!r} is neither accepted nor completed", hint="leave it out for completed")
    store = session.existing_store(run, post=True)
    texts, values = _arguments(words, json_input)
    limit_us = _PATIENCE_US if timeout is None else parse_duration(timeout)
    run = pick(session, store, run, changes=True)
    posted = send(store, run, name, Asked(words=texts, input=values), session.me, reason, key)
    if tick and not store.is_operator:
        from dwf.cli.verbs.starting import drive_once

        drive_once(session, store, posted.run)
    elif not posted.duplicate:
        say_tick(session, store, f"{posted.what} is posted; the next tick takes it up")
    try:
        found = wait(store, posted, until, limit_us)
    except TimedOut as error:
        session.screen.warn(error.message)
        session.screen.say(f"it goes on; ask again with the same --key, or see: dwf show {run}")
        return Exit.UNFINISHED
    return _tell_answer(session, store, posted, found)


def _tell_answer(session: Session, store: Store, posted: Posted, found: Answer) -> int:
    from dwf.cli.phrases import failure
    from dwf.cli.verbs.waiting import print_result, whole_value

    if session.is_json:
        session.screen.document(
            {
                "schema": "dwf.update/1",
                "run": posted.run,
                "message": posted.message,
                "stage": found.stage,
                "result": whole_value(store, found.result),
                "error": None if found.error is None else failure(found.error),
            }
        )
    elif found.stage == "completed":
        print_result(session, store, found.result)
    elif found.error is None:
        session.screen.line(found.stage)
    if found.error is not None:
        session.screen.tell(f"error: {posted.what} failed: {failure(found.error)}")
        return Exit.FAILED
    return Exit.OK


def _arguments(words: list[str] | None, json_input: str | None) -> tuple[dict[str, str], dict[str, Any] | None]:
    """What was typed, as words by name, and as values. Raises UsageError."""
    values = None if json_input is None else given_json(json_input, "--input")
    if values is not None and not isinstance(values, dict):
        raise UsageError(what="--input is not a JSON object", hint='{"name": value}')
    return pairs(words or [], "an argument"), values


def _list_taken(session: Session, store: Store, run: str) -> int:
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
