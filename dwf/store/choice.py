"""Which runs are meant: a filter that the index asks with, and that a reader without an index asks row by row.

One rule in two forms, side by side, so that a list from the index and a list from the files are the same list.
"""

from __future__ import annotations

from dataclasses import dataclass

from dwf.store.row import DUE_NOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from dwf.store.row import Row
    from dwf.store.where import Expression


@dataclass(frozen=True, slots=True)
class Choice:
    """Runs for which all of this holds; all runs, if nothing is said.

    open_only: it has not ended. status: one of these words. prefix: of the run id. by: who started it.
    closed_before_us: it has ended, before then. needs: a person must act. due_now: a tick has to look at it, whatever
    the clock says. tags: names, each with what somebody has typed for it. where: an expression that holds.
    """

    open_only: bool = False
    workflow: str | None = None
    status: Collection[str] = ()
    prefix: str = ""
    by: str | None = None
    needs: bool = False
    due_now: bool = False
    closed_before_us: int | None = None
    tags: tuple[tuple[str, str], ...] = ()
    where: Expression | None = None

    @property
    def refined(self) -> bool:
        """Whether it asks for more than an index can seek: what its rows say has to be as it is now."""
        return bool(self.tags) or self.where is not None

    def fits(self, row: Row) -> bool:
        """Whether a row is meant."""
        return (
            (row.open or not self.open_only)
            and (self.workflow is None or row.workflow == self.workflow)
            and (not self.status or row.status in self.status)
            and row.run.startswith(self.prefix)
            and (self.by is None or row.by == self.by)
            and (row.needs or not self.needs)
            and (row.due_at == DUE_NOW or not self.due_now)
            and (self.closed_before_us is None or (not row.open and row.updated_us < self.closed_before_us))
            and (not self.tags or self._is_tagged(row))
            and (self.where is None or self.where.holds(row))
        )

    def clause(self, *more: tuple[str, tuple[object, ...]]) -> tuple[str, tuple[object, ...]]:
        """The same for SQLite: a WHERE clause, "" for all runs, and its values; with other conditions beside it."""
        found = [*more, *self._kind()]
        if self.prefix:
            # ids are printable ASCII: all that begin with the prefix sort before this
            found.append(("run >= ? AND run < ?", (self.prefix, self.prefix + "\x7f")))
        if self.by is not None:
            found.append(("by = ?", (self.by,)))
        if self.needs:
            found.append(("needs", ()))
        if self.closed_before_us is not None:
            found.append(("NOT open AND updated_us < ?", (self.closed_before_us,)))
        if self.due_now:
            found.append(("due_at = ?", (DUE_NOW,)))
        found += [_tag_is(*tag) for tag in self.tags]
        if self.where is not None:
            found.append((self.where.code, ()))
        return _where(found)

    def _is_tagged(self, row: Row) -> bool:
        from dwf.core.tags import is_worded, unpacked

        tags = unpacked(row.tags)
        return all(name in tags and is_worded(tags[name], said) for name, said in self.tags)

    def kinds(self) -> tuple[str, tuple[object, ...]]:
        """What of it speaks of status and workflow, as a clause; "" if nothing does."""
        return _where(self._kind())

    def _kind(self) -> list[tuple[str, tuple[object, ...]]]:
        # Always by status: so the index that begins with it serves, and whether a run is open is a word of it, too.
        words = self._words()
        found: list[tuple[str, tuple[object, ...]]] = []
        if words is not None:
            found.append((f"status IN ({', '.join('?' * len(words))})", tuple(words)))
        if self.workflow is not None:
            found.append(("workflow = ?", (self.workflow,)))
        return found

    def _words(self) -> list[str] | None:
        closed_only = self.closed_before_us is not None
        if not self.status and not self.open_only and not closed_only and self.workflow is None:
            return None
        from dwf.core.state import Status

        closed = {status.value for status in Status if status.closed}
        words = self.status or [status.value for status in Status]
        refused = closed if self.open_only else set()
        # SQLite has no plan for IN () by an index that it is told to use.
        return sorted(w for w in words if w not in refused and (w in closed or not closed_only)) or [""]


def _tag_is(name: str, said: str) -> tuple[str, tuple[object, ...]]:
    """The rule of `is_worded` for SQLite. A time is an object of one field."""
    from dwf.core.tags import number

    path = f'$."{name}"'
    clause = (
        "CASE json_type(tags, ?) WHEN 'text' THEN json_extract(tags, ?) = ? "
        "WHEN 'object' THEN json_extract(tags, ?) = ? "
        "WHEN 'true' THEN ? WHEN 'false' THEN ? ELSE json_extract(tags, ?) = ? END"
    )
    return clause, (path, path, said, f"{path}.time", said, said == "true", said == "false", path, number(said))


def _where(conditions: list[tuple[str, tuple[object, ...]]]) -> tuple[str, tuple[object, ...]]:
    where = "WHERE " + " AND ".join(condition for condition, _ in conditions) if conditions else ""
    return where, tuple(value for _, values in conditions for value in values)


EVERY = Choice()
