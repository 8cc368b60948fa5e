"""`# dwf: ignore[DWF101]` at the end of a line: what was found there is meant so. Without brackets: all of it."""

from __future__ import annotations

import re
from functools import lru_cache
from io import BytesIO
from tokenize import COMMENT, TokenError, tokenize

from dwf.scripts.lint.rules import Finding

_IGNORE = re.compile(r"#\s*dwf:\s*ignore(?:\[([A-Z0-9, ]*)\])?")


def is_ignored(source: bytes, finding: Finding) -> bool:
    """Whether the line of a finding says so."""
    codes = _ignored(source).get(finding.line)
    return codes is not None and (not codes or finding.code in codes)


@lru_cache(maxsize=64)
def _ignored(source: bytes) -> dict[int, frozenset[str]]:
    """Which codes are ignored, by line; none named is all of them."""
    found: dict[int, frozenset[str]] = {}
    if b"dwf:" not in source:
        return found
    try:
        for token in tokenize(BytesIO(source).readline):
            match = _IGNORE.search(token.string) if token.type == COMMENT else None
            if match is not None:
                found[token.start[0]] = frozenset(re.findall(r"[A-Z0-9]+", match[1] or ""))
    except (TokenError, SyntaxError):
        pass  # it was parsed already: what is left is not worth a word
    return found
