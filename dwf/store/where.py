"""Expressions over what people see of runs, as `dwf list --where` has them: SQL, of which a harmless part is taken.

    status = 'failed' AND started > '2h ago' AND tag.env = 'prod'

The text is taken apart into words, and each must be known: a column, a tag, one of a few functions and operators. What
is left is put together anew, so a statement, a table or a comment cannot be said in it. SQLite then compiles it in a
database of its own, in memory and empty, where it may read the one table and call those functions, and nothing else.
The same fragment is asked of the index, and row by row of that database where there is no index.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dwf.core.duration import stamp
from dwf.errors import UsageError
from dwf.store import indexfile as sql

if TYPE_CHECKING:
    from _sqlite3 import Connection

    from dwf.store.row import Row

LONGEST = 4000
LIMIT_SECONDS = 10.0
"""How long the index is asked such a question, before it is given up."""

COLUMNS = {
    "id": "run.run",
    "workflow": "run.workflow",
    "status": "run.status",
    "step": "CASE run.step WHEN '-' THEN '' ELSE run.step END",
    "waiting": "CASE run.waiting WHEN '-' THEN '' ELSE run.waiting END",
    "by": 'run."by"',
    "parent": "run.parent_run",
    "instance": "run.link",
    "priority": "run.priority",
    "open": "run.open",
    "needs": "run.needs",
    "started": "run.started_us",
    "updated": "run.updated_us",
    "since": "run.since_us",
    "closed": "CASE WHEN run.open THEN NULL ELSE run.updated_us END",
    "due": "run.due_at",
}
"""What can be asked for, and what the index has for it. Times are microseconds there."""
TIMES = frozenset("started updated since closed due".split())
FUNCTIONS = frozenset("lower upper length substr instr trim abs round coalesce ifnull nullif min max iif".split())
_WORDS = frozenset("and or not in is null like glob between escape true false case when then else end".split())
_ORDER = frozenset(("=", "==", "<>", "!=", "<", "<=", ">", ">="))
_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<text>'(?:[^']|'')*')
    |(?P<tag>tags?\.(?:(?P<plain>[A-Za-z_][A-Za-z0-9_.]*)|"(?P<quoted>[A-Za-z_][A-Za-z0-9_.-]*)"))
    |(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign><=|>=|<>|!=|==|\|\||[-+*/%=<>(),])""",
    re.VERBOSE | re.IGNORECASE,
)
_HINT = f"columns: {', '.join(COLUMNS)}; tag.NAME; text in single quotes: dwf help tags"

When = Callable[[str], int]
"""From a time as people type it to microseconds since the epoch, UTC. Raises UsageError."""


@dataclass(frozen=True, slots=True)
class _Token:
    """kind: column, time (a column that is one), tag, text, moment (`time('...')`), number, word, function, sign."""

    kind: str
    text: str
    code: str


class Expression:
    """A checked expression. `code` is its SQL over the table of the index. One object is used by one thread."""

    def __init__(self, code: str, said: str) -> None:
        self.code, self.said = code, said
        self._memory = _compiled(code, said)

    def of(self, row: Row) -> Any:
        """Its value for one run: None, a number or text. Raises UsageError."""
        return self._answer(row, _SELECT.format(self.code))[0][0]

    def holds(self, row: Row) -> bool:
        """Whether a run is meant by it. Raises UsageError."""
        return bool(self._answer(row, f"SELECT 1 FROM run WHERE {self.code}"))

    def _answer(self, row: Row, question: str) -> list[Any]:
        self._memory.execute(sql.INSERT_MISSING, sql.values_of(row))
        try:
            return asked(self._memory, lambda connection: sql.answer(connection, question))
        finally:
            self._memory.execute("DELETE FROM run")


def condition(text: str, when: When) -> Expression:
    """What `--where` was given. Raises UsageError (2), with the columns in its hint."""
    tokens = list(_read(text, when))
    if not tokens:
        raise UsageError(what="--where is empty", hint=_HINT)
    return Expression("(" + " ".join(_timed(tokens, when)) + ")", text)


def column(text: str) -> Expression:
    """One column or tag, as `--by` has it, with words for yes and no. Raises UsageError."""
    tokens = list(_read(text, _no_time))
    if [token.kind for token in tokens] not in (["column"], ["tag"]):
        raise UsageError(what=f"--by {text}: it must be one column or tag, and no time", hint=_HINT)
    code = tokens[0].code
    if tokens[0].text in ("open", "needs"):
        code = f"CASE WHEN {code} THEN 'yes' ELSE 'no' END"
    elif tokens[0].kind == "tag":
        kind = code[code.rindex("json_extract") : -1].replace("json_extract", "json_type")
        code = f"CASE {kind} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE {code} END"
    return Expression(code, text)


# -- taking it apart --------------------------------------------------------------------------------------------


def _read(text: str, when: When) -> Iterator[_Token]:
    if len(text) > LONGEST:
        raise UsageError(what=f"--where is {len(text):,} characters long; the limit is {LONGEST:,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(what="--where: there is half a character in it", hint=_HINT) from None
    at, found = 0, list[re.Match[str]]()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise UsageError(what=f"--where: {text[at : at + 20]!r} is not understood", hint=_odd(text[at]))
        at = token.end()
        if token.lastgroup != "blank":
            found.append(token)
    _check_brackets(found)
    rest = iter(range(len(found)))
    for i in rest:
        following = [token[0].lower() for token in found[i + 1 : i + 4]]
        if found[i][0].lower() == "time" and following[:1] == ["("]:
            yield _moment(found[i + 1 : i + 4], when)
            next(rest), next(rest), next(rest)
        else:
            yield _token(found[i], following[:1] == ["("])


def _odd(char: str) -> str:
    return "text is written in single quotes: status = 'failed'" if char in "\"'" else _HINT


def _check_brackets(tokens: list[re.Match[str]]) -> None:
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth < 0:
            break
    if depth:
        raise UsageError(what="--where: a bracket is without its other half", hint=_HINT)


def _token(token: re.Match[str], called: bool) -> _Token:
    text, lower = token[0], token[0].lower()
    if token["tag"]:
        return _Token("tag", text, _tag(token["plain"] or token["quoted"]))
    if token["text"]:
        return _Token("text", text, text.replace("\0", ""))
    if token["number"] or token["sign"]:
        return _Token("number" if token["number"] else "sign", text, text)
    if lower in _WORDS:
        return _Token("word", lower, lower.upper())
    if called and lower in FUNCTIONS:
        return _Token("function", lower, lower)
    if not called and lower in COLUMNS:
        return _Token("time" if lower in TIMES else "column", lower, f"({COLUMNS[lower]})")
    raise _unknown(text, called)


def _unknown(text: str, called: bool) -> UsageError:
    from difflib import get_close_matches

    known = sorted(FUNCTIONS | {"time"}) if called else list(COLUMNS)
    meant = get_close_matches(text.lower(), known, n=1)
    lead = f"did you mean {meant[0]}? " if meant else ""
    if called:
        return UsageError(what=f"--where: there is no function {text}", hint=f"{lead}functions: {', '.join(known)}")
    return UsageError(what=f"--where: there is no column {text}", hint=lead + _HINT)


def _tag(name: str) -> str:
    # A time is kept as an object of one field.
    return f"coalesce(json_extract(run.tags, '$.\"{name}\".time'), json_extract(run.tags, '$.\"{name}\"'))"


def _moment(brackets: list[re.Match[str]], when: When) -> _Token:
    if len(brackets) < 3 or not brackets[1]["text"] or brackets[2][0] != ")":
        raise UsageError(what="--where: time() takes one time in single quotes", hint="time('2h ago')")
    text = brackets[1][0]
    return _Token("moment", text, f"'{stamp(when(_unquoted(text)))}'")


def _no_time(text: str) -> int:
    raise UsageError(what=f"--by {text}: it must be one column or tag", hint=_HINT)


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


# -- times ------------------------------------------------------------------------------------------------------


def _timed(tokens: list[_Token], when: When) -> list[str]:
    """The code of each, with text that a time is compared with as a number, as the column has it."""
    codes = [token.code for token in tokens]
    kinds = [token.kind for token in tokens]
    words = [token.text for token in tokens]

    def take(place: int) -> None:
        if place < len(tokens) and kinds[place] in ("text", "moment"):
            codes[place] = str(when(_unquoted(words[place])))

    for i in (place for place, kind in enumerate(kinds) if kind == "time"):
        behind = words[i + 1 : i + 3]
        negated = behind[:1] == ["not"]
        verb = behind[1:2] if negated else behind[:1]
        if verb and verb[0] in ("like", "glob", "in"):
            what = f"--where: {words[i]} is a time, and {verb[0].upper()} is for text"
            raise UsageError(what=what, hint=f"compare it: {words[i]} > '2h ago', or BETWEEN '...' AND '...'")
        if verb == ["between"]:
            first = i + 2 + negated
            take(first)
            if words[first + 1 : first + 2] == ["and"]:
                take(first + 2)
        elif behind[:1] and behind[0] in _ORDER:
            take(i + 2)
        if i >= 2 and words[i - 1] in _ORDER:
            take(i - 2)
    return codes


# -- SQLite -----------------------------------------------------------------------------------------------------

_SELECT = "SELECT {} FROM run"
_ERROR, _INTERRUPT, _TOO_BIG, _MISMATCH = 1, 9, 18, 20
_STEPS = 10_000


def _compiled(code: str, said: str) -> Connection:
    """An empty database that has compiled it with next to nothing allowed. Raises UsageError."""
    from _sqlite3 import Error, connect

    memory = connect(":memory:", isolation_level=None, check_same_thread=False)
    memory.executescript(sql.CREATE)
    memory.execute(sql.BEGIN_META, (sql.SCHEMA, 0))
    memory.set_authorizer(_may)
    try:
        # Both, for what may be selected may still not be a condition: max() of one value is of all rows.
        memory.execute(f"{_SELECT.format(code)} WHERE {code}").close()
    except Error as error:
        # The bracket is ours, and the person has not seen it.
        why = "it is not complete" if str(error).startswith('near ")"') and ")" not in said else str(error)
        raise UsageError(what=f"--where {said!r:.200}: {why}", hint=_HINT) from None
    memory.set_authorizer(None)
    return memory


def _may(action: int, first: str | None, second: str | None, *_: object) -> int:
    """What an expression may do: read the columns of the one table, and call what is on the list."""
    import _sqlite3

    allowed = (
        action == _sqlite3.SQLITE_SELECT
        or (action == _sqlite3.SQLITE_READ and first == "run")
        or (action == _sqlite3.SQLITE_FUNCTION and second in FUNCTIONS | {"json_extract", "json_type", "like", "glob"})
    )
    return _sqlite3.SQLITE_OK if allowed else _sqlite3.SQLITE_DENY


def asked(connection: Connection, ask: Callable[[Connection], list[Any]], seconds: float = LIMIT_SECONDS) -> list[Any]:
    """An answer for which an expression is worked out. Raises UsageError if it cannot be, or takes too long."""
    from _sqlite3 import Error

    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        return ask(connection)
    except Error as error:
        family = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if family == _INTERRUPT:
            what = f"--where took longer than {seconds:g} s"
            raise UsageError(what=what, hint="narrow it with --status or --workflow") from None
        if family in (_ERROR, _TOO_BIG, _MISMATCH) and "malformed" not in str(error):
            raise UsageError(what=f"--where: {error}", hint=_HINT) from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
