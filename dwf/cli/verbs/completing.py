"""Answer: complete. A program or person who was given a token ends the wait of a run for it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from typer import Argument, Context, Option

from dwf.cli.options import TickOption, session_of
from dwf.cli.session import Session
from dwf.cli.verbs.answering import tell_posted
from dwf.cli.verbs.shared import given_json
from dwf.errors import NotFound, UsageError

_VARIABLE = "DWF_TOKEN"
_LONGEST = 4096


def complete(
    context: Context,
    token: Annotated[
        str | None,
        Argument(metavar="[TOKEN|-]", help="- reads it from stdin; left out, $DWF_TOKEN is it", show_default=False),
    ] = None,
    result: Annotated[
        str | None, Option("--result", metavar="JSON|@FILE|-", help="what the script gets; else null")
    ] = None,
    fail: Annotated[str | None, Option("--fail", metavar="WHY", help="it did not succeed, and why")] = None,
    heartbeat: Annotated[bool, Option("--heartbeat", help="it is still worked on; ends nothing")] = False,
    tick: TickOption = False,
) -> int:
    """End a callback: the run goes on with the result. A token is good for one end.

    Give the token on stdin or in $DWF_TOKEN: what stands on a command line is seen by everybody on the machine (ps),
    and kept by the shell. 4 if it is no token here, 7 if it was used or nobody waits any more.
    """
    from dwf.core import messages as mail
    from dwf.core.values import encode
    from dwf.engine.callbacks import send

    session = session_of(context)
    if sum((result is not None, fail is not None, heartbeat)) > 1:
        raise UsageError(what="--result, --fail and --heartbeat exclude each other", hint="give one of them")
    if result == "-" and token == "-":
        raise UsageError(what="token and result cannot both come from stdin", hint="put the token into $DWF_TOKEN")
    given = encode(None if result is None else given_json(result, "--result"), "the result")
    secret = _token(session, token)
    if not os.path.lexists(session.home):
        raise NotFound(what="that is no token of a callback here", hint="--home or DWF_HOME says where the run is")
    store = session.store(post=True)
    act = mail.FAIL if fail is not None else mail.HEARTBEAT if heartbeat else mail.COMPLETE
    return tell_posted(session, store, send(store, secret, act, session.me, given, fail or ""), tick)


def _token(session: Session, word: str | None) -> str:
    """The token as it was given: stripped of the newline behind it. Raises UsageError."""
    if word == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(what="the token is to come from stdin, and that is a terminal", hint="pipe it into dwf")
        word = sys.stdin.buffer.read(_LONGEST + 1).decode("utf-8", "replace")
    elif word is None:
        word = session.environ.get(_VARIABLE, "")
        if not word:
            raise UsageError(what="there is no token", hint=f"- reads it from stdin; or put it into ${_VARIABLE}")
    return word.strip()
