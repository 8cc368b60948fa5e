"""`dwf start SCRIPT --each FILE.jsonl`: a run for each line, its id printed when it is there for good."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from dwf.cli.exits import Exit
from dwf.cli.faults import fault_of
from dwf.cli.refusals import note
from dwf.cli.session import Session
from dwf.core.values import parse_json
from dwf.engine.bulk import prepare_each, start_each
from dwf.engine.start import StartRequest
from dwf.errors import Conflict, NotFound, UsageError, ValueRefused


def start_all(session: Session, request: StartRequest, path: str) -> int:
    """Start them all. Each line is checked before the first run is made. 9 if an id was in use; the others are made."""
    starts = list(prepare_each(request, _lines(path), session.store_if_made()))
    code = Exit.OK
    for answer in start_each(session.store(create=True), starts):
        if isinstance(answer, Conflict):
            code = Exit.CONFLICT
            session.screen.flush()
            session.screen.tell(("error: ", "red"), answer.message)
            note(session, fault_of(answer))
        elif session.is_json:
            session.screen.document(
                {"schema": "dwf.started/1", "run": answer.run, "nonce": answer.nonce}, one_line=True
            )
        else:
            session.screen.line(answer.run)
    session.screen.flush()
    return code


def _lines(path: str) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line; empty lines count for nothing."""
    try:
        source = nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise NotFound(
            what=f"there is no file {path}", hint="--each takes a file of JSON objects, one a line"
        ) from None
    except OSError as error:
        raise UsageError(what=f"--each {path}: {(error.strerror or 'it cannot be read').lower()}") from None
    with source as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _object(line, number)


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        value = parse_json(line.decode("utf-8"))
    except (ValueRefused, UnicodeDecodeError) as error:
        why = error.facts["why"] if isinstance(error, ValueRefused) else "it is not UTF-8"
        raise UsageError(what=f"line {number}: {why}", hint='one JSON object a line: {"host": "web1"}') from None
    if not isinstance(value, dict):
        raise UsageError(what=f"line {number} is no JSON object", hint='one object a line: {"host": "web1"}')
    return value
