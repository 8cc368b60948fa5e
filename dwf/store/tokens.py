"""The tokens of callbacks: made from a key of the state directory, so that they can be made again and stand nowhere.

A token names the run, its instance and the command, and proves with a MAC that it was made here. A history holds its
hash only: who reads histories cannot complete anything, and a token that was handed out stays good if the key is lost.
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from typing import NamedTuple

from dwf.store.files import Disk, disk_error, read_regular
from dwf.store.layout import Layout

_KEY_BYTES = 32
_MAC_DIGITS = 40


class Address(NamedTuple):
    """What a token names: a command of one instance of a run."""

    run: str
    nonce: str
    command: int


def address_in(token: str) -> Address | None:
    """What a token says of itself; None if it is none. Nothing is proven by that."""
    run, *rest = token.rsplit(".", 3)
    if len(rest) != 3 or not run or not rest[1].isdecimal() or len(rest[1]) > 9 or not rest[1].isascii():
        return None
    return Address(run, rest[0], int(rest[1]))


def hash_of(token: str) -> str:
    """What is recorded of a token."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()


class Tokens:
    """Makes the tokens of one state directory. The key is made when it is first needed."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._layout = disk, layout
        self._path = layout.callback_key
        self._key: bytes | None = None

    def of(self, address: Address) -> str:
        """The token of a command, the same each time. Raises DiskError."""
        said = f"{address.run}.{address.nonce}.{address.command}"
        return f"{said}.{hmac.new(self._secret(), said.encode(), sha256).hexdigest()[:_MAC_DIGITS]}"

    def _secret(self) -> bytes:
        if self._key is None:
            self._key = self._read() or self._made()
        return self._key

    def _read(self) -> bytes | None:
        try:
            key = read_regular(self._path, _KEY_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(key) != _KEY_BYTES:
            raise disk_error("use", self._path, OSError(0, f"it is not a key of {_KEY_BYTES} bytes"))
        return key

    def _made(self) -> bytes:
        """Complete before it has its name: two that make it at once get the one that was there first."""
        draft = f"{self._path}.{os.urandom(8).hex()}"
        self._disk.write_new(draft, os.urandom(_KEY_BYTES), 0o600)
        try:
            self._disk.link(draft, self._path)
        except FileExistsError:
            pass
        finally:
            self._disk.discard(draft)
        self._disk.fsync_dir(self._layout.home)
        key = self._read()
        assert key is not None
        return key
