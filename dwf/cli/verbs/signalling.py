"""Answer: signal, to a run that is there, or with --start to one that is made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from dwf.cli.bulk import Many, for_all, takes_many, tell_one
from dwf.cli.catalog import nearest
from dwf.cli.options import ReasonOption, RunArgument, TickOption, session_of
from dwf.cli.session import LAST, SELECTED, Session
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import given_json, json_object, json_or_text, pairs, pick
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.engine.start import StartRequest
    from dwf.store.room import Store


@takes_many
def signal(
    context: Context,
    run: RunArgument,
    name: Annotated[str, Argument(metavar="NAME", help="what the script waits for", show_default=False)],
    payload: Annotated[
        list[str] | None,
        Argument(
            metavar="[K=V ... | JSON | @FILE | -]", help="words become a JSON object; - is stdin", show_default=False
        ),
    ] = None,
    reason: ReasonOption = "",
    key: Annotated[str, Option("--key", metavar="TEXT", help="the same key a second time does nothing")] = "",
    start: Annotated[
        str | None, Option("--start", metavar="SCRIPT[:WORKFLOW]", help="start the run with it, unless it is open")
    ] = None,
    arg: Annotated[
        list[str] | None, Option("--arg", metavar="K=V", help="with --start: a parameter; repeat it")
    ] = None,
    input_: Annotated[
        str | None, Option("--input", metavar="JSON|@FILE|-", help="with --start: parameters as a JSON object")
    ] = None,
    tick: TickOption = False,
    *,
    many: Many,
) -> int:
    """Send a run a named message. It is kept until the script takes it, also if nobody waits for it yet.

    In K=V a value that is JSON (a number, true, [..]) becomes that; anything else is text. With --start RUN is an id:
    if that run is not there, or over, one is made that begins with the signal. With --where and the like, RUN left out,
    it is for all open runs that fit: they are shown, and it asks. With --key it does no harm to send it to them again.
    """
    from dwf.core.messages import check_signal_name
    from dwf.core.values import encode
    from dwf.engine.post import signal as post

    session = session_of(context)
    bulk = many.bulk(session, run, tick)
    said = {LAST: "-l", SELECTED: "--where ..."}.get(run, run)
    data = encode(_payload(payload or [], f"dwf signal {said} {name}"), "the payload")
    if start is not None:
        return _signal_or_start(session, _request(session, start, run, arg, input_, reason), name, data, key, tick)
    if arg or input_ is not None:
        raise UsageError(what="--arg and --input are for --start", hint=f"dwf signal {run} {name} --start SCRIPT ...")
    store = session.existing_store(run, post=True)
    if bulk is not None:
        check_signal_name(name)
        doing = f"send signal {name} to {{}}"

        def send(one: str) -> None:
            tell_one(session, post(store, one, name, data, session.me, reason, key))

        return for_all(session, store, bulk, doing, send)
    run = pick(session, store, run, changes=True)
    awaited = _awaited(store, run)
    posted = post(store, run, name, data, session.me, reason, key)
    if awaited and name not in awaited:
        _warn_not_awaited(session, run, name, awaited)
    return tell_posted(session, store, posted, tick)


def _warn_not_awaited(session: Session, run: str, name: str, awaited: list[str]) -> None:
    # No error: signals may come before the script asks for them.
    meant = nearest(name, awaited)
    which = f"did you mean {meant}?" if meant else f"it waits for {', '.join(awaited)}"
    session.screen.warn(f"{run} does not wait for {name} now; it is kept. {which}")


def _request(
    session: Session, script: str, run: str, arg: list[str] | None, input_: str | None, reason: str
) -> StartRequest:
    from dwf.core.messages import check_run_id
    from dwf.engine.start import StartRequest

    if run in (LAST, SELECTED):
        stand_in = "-l" if run == LAST else "--where"
        raise UsageError(what=f"{stand_in} and --start exclude each other", hint="name the run that is to be there")
    return StartRequest(
        script=script,
        by=session.me,
        values=pairs(arg or [], "a parameter"),
        json_input=None if input_ is None else json_object(input_, "--input"),
        run=check_run_id(run),
        reason=reason,
    )


def _signal_or_start(session: Session, request: StartRequest, name: str, data: bytes, key: str, tick: bool) -> int:
    from dwf.core.messages import check_signal_name
    from dwf.engine.beginning import signal_or_start
    from dwf.engine.start import prepare

    if session.is_operator:
        from dwf.cli import requesting

        return requesting.signal_or_start(session, request, name, data, key, tick=tick)
    # First what needs no state directory: a mistake must not leave an empty one behind.
    check_signal_name(name)
    prepared = prepare(request, store=session.store_if_made())
    store = session.store(create=True)
    return tell_posted(session, store, signal_or_start(store, prepared, name, data, key), tick)


def _awaited(store: Store, run: str) -> list[str]:
    from dwf.engine.runs import load

    state = load(store, run).state
    if state is None or state.takes.any_signal:
        return []
    return [*(wait.opened.name for wait in state.signal_waits.values()), *state.takes.signals]


def _payload(words: list[str], lead: str) -> Any:
    if not words:
        return None
    hint = f"""{lead} serial=3A:91, or one JSON value, quoted: '"text"', '{{"serial": "3A:91"}}'; or @FILE"""
    if len(words) == 1 and ("=" not in words[0] or words[0][:1] in '{["@-'):
        return given_json(words[0], "the payload", hint)
    given = pairs(words, "of the form name=value, as several words of a payload must be", hint)
    return {key: json_or_text(value) for key, value in given.items()}
