"""Messages: what anybody may post to a run's mailbox, and the rule for the names in them.

A message is a wish; the process that holds the run's lock turns it into an event. Only the data is here: where it lies
on disk, and who its file's owner is, is the store's matter.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

from dwf.core.events import NOTHING, Identity, Payload
from dwf.core.parts import Evidence
from dwf.errors import UsageError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_CATALOGUED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.py(:[A-Za-z_][A-Za-z0-9_]{0,63})?")

SIGNAL, CANCEL, TERMINATE, APPROVE, REJECT = "signal", "cancel", "terminate", "approve", "reject"
STEP, UNBLOCK, START, UPDATE, TIMER, CALLBACK = "step", "unblock", "start", "update", "timer", "callback"
# Of a run as a whole: the `name` is PAUSE or RESUME.
HOLD = "hold"
KINDS = (SIGNAL, CANCEL, TERMINATE, APPROVE, REJECT, STEP, UNBLOCK, START, UPDATE, TIMER, CALLBACK, HOLD)
# Kinds that may reach a run whatever instance of it is open: a start knows none yet, a token names its own.
NO_INSTANCE = (SIGNAL, START, CALLBACK)
# What a person may decide about a step: the `name` of a STEP message.
COMPLETE, RETRY, FAIL, SKIP = "complete", "retry", "fail", "skip"
DECIDING = (COMPLETE, RETRY, FAIL, SKIP)
# And how it goes on: reset comes with whether the heartbeat is kept, set with the options.
PAUSE, UNPAUSE, RESET, SET = "pause", "unpause", "reset", "set"
RESUME = "resume"
# What may come with the token of a callback besides COMPLETE and FAIL; the token is the `key` of the message.
HEARTBEAT = "heartbeat"
# What a person may decide about a timer: the `name` of a TIMER message. The payload of a move is the timestamp.
FIRE, MOVE = "fire", "move"


# So many signals may wait in a run that its script has not taken: each costs memory and time in every replay.
MOST_PENDING = 10_000


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One posted message. `nonce` names the run instance that the sender saw; signals and starts may leave it out.

    `evidence`: a file that shows what is said of a step.

    A start names a workflow of the catalogue (`name`), never code.

    `question` and `fingerprint` bind an answer to the approval (event id, what was shown) that the sender saw;
    `command` and `attempt` bind a decision to the step, and to the last attempt of it that he knew of, or to a timer.
    """

    schema: str = "dwf.mail/1"
    id: str
    run: str
    kind: str
    nonce: str = ""
    name: str = ""
    payload: Payload = NOTHING
    key: str = ""
    question: int = 0
    fingerprint: str = ""
    command: int = 0
    attempt: int = 0
    reason: str = ""
    by: Identity | None = None
    evidence: Evidence | None = None


def in_words(message: Message) -> str:
    """What a message asks for, as the verb is typed that posts it: `cancel`, `step skip`, `pause`."""
    return message.name if message.kind == HOLD else f"{message.kind} {message.name}".strip()


def check_run_id(text: str) -> str:
    """A run id as given, or UsageError. Called before any path is built from it."""
    if _ID.fullmatch(text):
        return text
    raise UsageError(
        what=f"{quoted(text)} is not a run id",
        hint="letters, digits, '.', '_' and '-', beginning with a letter or digit, 128 characters at most",
    )


def check_signal_name(text: str) -> str:
    """A signal name as given, or UsageError."""
    if _NAME.fullmatch(text) and not text.startswith("__"):
        return text
    raise UsageError(
        what=f"{quoted(text)} is not a signal name",
        hint="letters, digits, '_', '.' and '-', beginning with a letter or '_', 64 characters at most",
    )


def check_catalogued(text: str) -> str:
    """The name of a workflow in a catalogue, `file.py` or `file.py:workflow`, or UsageError. Never a path."""
    if _CATALOGUED.fullmatch(text):
        return text
    raise UsageError(
        what=f"{quoted(text)} is not the name of a workflow in a catalogue", hint="file.py or file.py:name"
    )


def quoted(text: str, limit: int = 60) -> str:
    """Foreign text as it may be shown: quoted, shortened, control, bidi and zero-width characters as escapes."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return '"' + "".join(_visible(c) for c in short) + '"'


def _visible(char: str) -> str:
    # Cc control, Cf format (bidi, zero width), Cs surrogate, Co private, Zl/Zp line separators
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return char.encode("unicode_escape", "backslashreplace").decode()
    return char
