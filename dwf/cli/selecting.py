"""Which runs are meant, where a verb takes many: `--status`, `--workflow`, `--tag`, `--where`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Option

from dwf.cli.catalog import nearest
from dwf.cli.session import Session
from dwf.cli.verbs.shared import pairs
from dwf.errors import UsageError
from dwf.store.choice import Choice

if TYPE_CHECKING:
    from dwf.store.where import Expression

OpenOption = Annotated[bool, Option("--open", help="only runs that have not ended")]
WorkflowOption = Annotated[str | None, Option("--workflow", metavar="NAME", help="only runs of this workflow")]
StatusOption = Annotated[
    list[str] | None, Option("--status", metavar="STATUS", help="only these: waiting, failed ...; may be repeated")
]
TaggedOption = Annotated[
    list[str] | None, Option("--tag", metavar="K=V", help="only runs with this tag; may be repeated")
]
WhereOption = Annotated[
    str | None, Option("--where", metavar="EXPR", help="only runs for which it holds: dwf help tags")
]


def choice_of(
    session: Session,
    *,
    open_: bool = False,
    workflow: str | None = None,
    status: list[str] | None = None,
    tag: list[str] | None = None,
    where: str | None = None,
) -> Choice:
    """What was asked for. Raises UsageError."""
    return Choice(
        open_only=open_,
        workflow=workflow,
        status=_statuses(status or []),
        tags=_tags(tag or []),
        where=None if where is None else _condition(session, where),
    )


def _condition(session: Session, where: str) -> Expression:
    from dwf.cli.times import parse_when
    from dwf.store.where import condition

    return condition(where, lambda text: parse_when(text, session.clock.now))


def _tags(words: list[str]) -> tuple[tuple[str, str], ...]:
    from dwf.core.tags import check_tag_name
    from dwf.errors import ValueRefused

    found = pairs(words, "a tag")
    try:
        return tuple((check_tag_name(name), said) for name, said in found.items())
    except ValueRefused as error:
        raise UsageError(what=error.message, hint=error.hint) from None


def _statuses(words: list[str]) -> tuple[str, ...]:
    from dwf.core.state import Status

    known = [status.value for status in Status]
    for word in words:
        if word not in known:
            meant = nearest(word, known)
            raise UsageError(
                what=f"{word!r} is no status",
                hint=f"did you mean {meant}?" if meant else f"one of {', '.join(known)}",
            )
    return tuple(dict.fromkeys(words))
