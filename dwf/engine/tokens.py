"""Tokens of callbacks, where a run meets them: its history gets their hashes, its steps get them, in memory only."""

from __future__ import annotations

from hmac import compare_digest

from msgspec.structs import replace

from dwf.core.events import CallbackOpened, Opening
from dwf.core.state import RunState
from dwf.core.values import decode, encode
from dwf.store.room import Store
from dwf.store.tokens import Address, hash_of

_MARK = b'"callback:'


def sealed(opening: Opening, store: Store, state: RunState) -> Opening:
    """An opening as it is recorded: a callback with the hash of its token. Raises DiskError."""
    if not isinstance(opening, CallbackOpened):
        return opening
    return replace(opening, token_hash=hash_of(_token(opening.command, store, state)))


def with_tokens(given: bytes, store: Store, state: RunState) -> bytes:
    """A step's input with the tokens that it refers to in the place of the references. Raises DiskError."""
    if _MARK not in given:
        return given
    values = decode(given)
    for reference in values.get("secrets") or ():
        reference["from"] = _looked_up(reference["from"], store, state)
    for name, reference in (values.get("secret_env") or {}).items():
        values["secret_env"][name] = _looked_up(reference, store, state)
    if values.get("secret_stdin"):
        values["secret_stdin"] = _looked_up(values["secret_stdin"], store, state)
    return encode(values)


def _looked_up(reference: str, store: Store, state: RunState) -> str:
    kind, _, number = reference.partition(":")
    if kind != "callback":
        return reference
    token = _token(int(number), store, state)
    found = state.callbacks.get(int(number))
    # Opened under another key, elsewhere or before: what would be handed out now could complete nothing.
    is_good = found is None or compare_digest(found.opened.token_hash, hash_of(token))
    return f"given:{token}" if is_good else f"lost:the token of callback {number}"


def _token(command: int, store: Store, state: RunState) -> str:
    return store.tokens.of(Address(state.head.run, state.head.nonce, command))
