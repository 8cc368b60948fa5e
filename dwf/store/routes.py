"""Routes: which stored code new starts of a script take. What that means for a start is decided above (routing.py)."""

from __future__ import annotations

import msgspec

from dwf.core.parts import Identity


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """New starts of `script` (an absolute path) take the stored `code`, but `ramp` of 100, which take the file.

    owner, permissions: of the file that the code came from. at: since when, RFC 3339.
    """

    script: str
    code: str
    ramp: int = 0
    owner: int = -1
    permissions: str = ""
    at: str
    by: Identity
    reason: str = ""
