"""What several verbs need: which run is meant, words that become JSON, and the sentence about the last tick."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dwf.cli.exits import Exit
from dwf.cli.pages.ticks import tick_is_late, tick_words
from dwf.cli.session import LAST, Session
from dwf.errors import DwfError, NotFound, NotPermitted, UsageError, ValueRefused

if TYPE_CHECKING:
    from dwf.core.events import Payload
    from dwf.store.held import Held
    from dwf.store.room import Store

_JSON = """quote it for the shell: '{"host": "web1"}'; or put it into a file: @input.json"""


def pick(session: Session, store: Store, text: str, *, changes: bool = False) -> str:
    """The run that is meant: an id, a unique beginning of one, or with -l the one that this user started last.

    A verb that changes something takes only an id, or asks a person whether it is that. Raises NotFound, UsageError.
    """
    from dwf.engine.runs import last_started, resolve

    run = last_started(store, session.me) if text == LAST else resolve(store, text)
    if run == text or not changes:
        return run
    if not session.interactive:
        raise UsageError(
            what=f"{_which(text)} {run}, and there is nobody to ask",
            hint=f"give the whole id: {run}",
        )
    if not session.screen.confirm(f"{text if text != LAST else 'your last'} is {run}: is that the one?"):
        raise UsageError(what="nothing was changed", hint=f"give the whole id: {run}")
    return run


def _which(text: str) -> str:
    return "the run that you started last is" if text == LAST else f"{text} is only the beginning of"


def reason_for(session: Session, reason: str, doing: str) -> str:
    """The reason for what needs one: of -m or DWF_REASON, else a person is asked. Raises UsageError.

    doing: what needs it, in words.
    """
    if reason.strip():
        return reason
    answer = session.screen.ask(f"{doing} needs a reason: ") if session.interactive else ""
    if not answer:
        raise UsageError(
            what=f"{doing} needs a reason", hint="-m 'why', or DWF_REASON in the environment; it is recorded"
        )
    return answer


def pairs(words: list[str], what: str, hint: str | None = None) -> dict[str, str]:
    """`K=V` words as a dict. Raises UsageError, with `hint` if a word is none."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.replace("-", "_").replace(".", "_").isidentifier():
            otherwise = "write it as name=value, without blanks around the ="
            raise UsageError(what=f"{word!r} is not {what}", hint=hint or otherwise)
        if key in found:
            raise UsageError(what=f"{key} is given twice", hint="give every name once")
        found[key] = value
    return found


def json_or_text(text: str) -> Any:
    """JSON as that; but a number only if nothing of its writing is lost: 3E91 is a serial, and 1.10 a version."""
    from dwf.core.values import parse_json

    try:
        value = parse_json(text)
    except ValueRefused:
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number and repr(value) != text else value


def noted(tags: list[str] | None, memo: list[str] | None) -> tuple[dict[str, Payload], dict[str, Payload]]:
    """The words of --tag and --memo as a run has them. Raises UsageError."""
    from dwf.core.tags import check_noted, memo_changes, tag_changes

    found = [
        {name: json_or_text(value) for name, value in pairs(words or [], what).items()}
        for words, what in ((tags, "a tag"), (memo, "a note"))
    ]
    # There is nothing yet that null could take away.
    texts = [{name: "null" if value is None else value for name, value in values.items()} for values in found]
    try:
        both = tag_changes(texts[0]), memo_changes(texts[1])
        check_noted(*both)
    except ValueRefused as error:
        raise UsageError(what=error.message, hint=error.hint) from None
    return both


def given_json(text: str, what: str, hint: str = _JSON) -> Any:
    """JSON from the command line, from `@file`, or from stdin with `-`. Raises UsageError, NotFound, NotPermitted.

    `hint`: how it is written, for text that is no JSON.
    """
    from dwf.core.values import PAYLOAD_LIMIT, parse_json

    raw = _raw(text, what)
    if len(raw) > PAYLOAD_LIMIT:
        hint = "keep large data in a file and pass its path"
        raise UsageError(what=f"{what} is larger than the limit of {PAYLOAD_LIMIT:,} bytes", hint=hint)
    if not raw.strip():
        raise UsageError(what=f"{what} is empty", hint="give a JSON value, @file, or - with something on stdin")
    try:
        return parse_json(raw, what)
    except ValueRefused as error:
        raise UsageError(what=error.message, hint=error.hint or hint) from None


def json_object(text: str, what: str) -> dict[str, Any]:
    """Parameters as a JSON object, given like any JSON. Raises UsageError."""
    given = given_json(text, what)
    if not isinstance(given, dict):
        raise UsageError(what=f"{what} must be a JSON object", hint="""one value per parameter: '{"host": "web1"}'""")
    return given


def _raw(text: str, what: str) -> str | bytes:
    from dwf.core.values import PAYLOAD_LIMIT

    if text == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                what=f"{what} is to come from stdin, and that is a terminal", hint="pipe something into it"
            )
        return sys.stdin.buffer.read(PAYLOAD_LIMIT + 1)
    if text.startswith("@"):
        return file_bytes(text[1:], what, PAYLOAD_LIMIT + 1)
    return text


def file_bytes(path: str, what: str, limit: int) -> bytes:
    """At most so much of a file that a person has named. Raises NotFound, NotPermitted, UsageError."""
    from dwf.errors import DwfError
    from dwf.store.files import NOT_REGULAR, read_regular

    try:
        return read_regular(path, limit)
    except FileNotFoundError:
        raise NotFound(what=f"there is no file {path} for {what}", hint="name an existing file") from None
    except NotPermitted as error:
        if error.facts.get("kind") == NOT_REGULAR:
            raise UsageError(what=f"{path} is not a regular file", hint="use - to read from a pipe") from None
        raise NotPermitted(what=f"{path} for {what} cannot be read", hint=f"ls -l {path}") from None
    except DwfError as error:
        raise UsageError(what=error.message, hint="name a readable file") from None


def say_tick(session: Session, store: Store, lead: str) -> None:
    """`...; last tick 8s ago`; a warning instead if nobody ticks: the commonest cause of "nothing happens".

    lead: what the next tick does. With everything paused that tick does nothing, and the words say which one will.
    """
    from dwf.engine.runs import someone_drives

    last = store.index.last_tick_us()
    if warn_of_pause(session, store):
        session.screen.say(lead.replace("the next tick", "the first tick after dwf resume --everything"))
    elif not tick_is_late(last, session.clock):
        session.screen.say(f"{lead}; {tick_words(last, session.clock)}")
    elif someone_drives(store):
        session.screen.say(f"{lead}; a tick is at work")
    else:
        session.screen.say(lead)
        warn_of_no_tick(session, store)


def warn_of_no_tick(session: Session, store: Store) -> None:
    """A warning if the last tick was more than three minutes ago, or if there never was one, and none is at work."""
    from dwf.engine.runs import someone_drives

    if warn_of_pause(session, store):
        return
    last = store.index.last_tick_us()
    if tick_is_late(last, session.clock) and not someone_drives(store):
        session.screen.warn(f"{tick_words(last, session.clock)}: is it in cron? dwf help cron; by hand: dwf tick")


def warn_of_pause(session: Session, store: Store) -> bool:
    """A warning if everything is paused, or a workflow, wherever one looks; whether everything is."""
    from dwf.store.held import held

    with suppress(DwfError):  # it cannot be read, or is not for this user to see
        for one in store.held.all():
            _warn_of(session, one, f"workflow {one.workflow}", f"--workflow {one.workflow}")
    found = held(store.layout)
    if found is not None:
        _warn_of(session, found, "everything", "--everything")
    return found is not None


def _warn_of(session: Session, found: Held, what: str, option: str) -> None:
    from dwf.core.duration import unstamp
    from dwf.engine.summary import who

    since = f" {session.clock.ago(unstamp(found.at))}" if found.at else ""
    session.screen.warn(f"{what} is paused: by {who(found.by)}{since}: {found.reason}; dwf resume {option}")


def tell_fault(session: Session, error: DwfError) -> Exit:
    """One of several things that were asked for was refused: say and note it as if it were the only one."""
    from dwf.cli.faults import fault_of
    from dwf.cli.refusals import note

    fault = fault_of(error)
    note(session, fault)
    fault.tell(session.screen, session.is_json)
    return Exit(fault.exit)


def refuse_both(one: bool, other: bool, names: str) -> None:
    """Raise UsageError if both of two options that exclude each other are given."""
    if one and other:
        raise UsageError(what=f"{names} exclude each other", hint="give one of them")
