"""Input events: what comes from outside, by mail; delivered to the script."""

from __future__ import annotations

from dwf.core.events.base import Event, Role
from dwf.core.parts import NOTHING, Identity, Payload


class Input(Event, frozen=True, kw_only=True):
    """`message` is the id of the mailbox message it came in; a second import of that id is dropped."""

    role = Role.INPUT
    message: str = ""
    by: Identity | None = None
    reason: str = ""
    posted: str = ""


class SignalReceived(Input, frozen=True, kw_only=True):
    name: str
    payload: Payload = NOTHING
    key: str = ""


class UpdateAccepted(Input, frozen=True, kw_only=True):
    """An update that its handler takes: `input` are its arguments. What is refused is not recorded.

    `asked` is a fingerprint of the letter's payload, which tells whether `key` is used for the same thing again.
    """

    name: str
    input: Payload = NOTHING
    key: str = ""
    asked: str = ""


class CancelRequested(Input, frozen=True, kw_only=True):
    """Only the first is delivered; later ones are recorded."""


class DeadlinePassed(Input, frozen=True, kw_only=True):
    """The run has not come to its end by `due`. Its script is cancelled, unless somebody has cancelled it before.

    `whole`: it is the deadline of the whole run, and not that of this one instance.
    """

    due: str
    whole: bool = True
