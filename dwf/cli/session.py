"""One invocation: what was asked for everywhere (--home, -o, --utc ...), and what follows from it.

Verbs get a Session and ask it for the screen, the clock, the store and who is calling; each is made when first asked
for, so that `dwf version` opens nothing and `dwf list` imports no engine that it does not use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dwf.cli.screen import Screen
from dwf.errors import NotFound, NotPermitted, UsageError

if TYPE_CHECKING:
    from dwf.cli.catalog import Verb
    from dwf.cli.times import Clock
    from dwf.core.events import Identity
    from dwf.store.room import Store
    from dwf.store.sharing import Sharing

FORMATS = ("table", "wide", "json", "jsonl", "name")
COLORS = ("auto", "always", "never")
# What stands in the place of RUN for -l: nothing that could come from a command line.
LAST = "\0last"
# And for the runs that --where and its like select.
SELECTED = "\0selected"


class Session:
    """What the options say, as they are parsed, and the things made from them."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.options: dict[str, Any] = {}
        self.asked: tuple[Verb, dict[str, Any]] | None = None
        """The verb that is being carried out, and its parameters as they were understood."""

    # -- the options -------------------------------------------------------------------------------------------

    @property
    def output(self) -> str:
        """table, wide, json, jsonl or name."""
        chosen: str = self.options.get("output") or "table"
        return chosen

    @property
    def is_json(self) -> bool:
        return self.output in ("json", "jsonl")

    @property
    def debug(self) -> bool:
        return bool(self.options.get("debug"))

    @property
    def verbose(self) -> bool:
        return bool(self.options.get("verbose"))

    @property
    def quiet(self) -> bool:
        return bool(self.options.get("quiet"))

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked: a terminal on both ends, and no --no-input."""
        if self.options.get("no_input") or not self.screen.err_is_terminal:
            return False
        try:
            return sys.stdin is not None and sys.stdin.isatty()
        except ValueError:
            return False

    # -- what follows ------------------------------------------------------------------------------------------

    @cached_property
    def screen(self) -> Screen:
        return Screen(environ=self.environ, color=self.options.get("color") or "auto", quiet=self.quiet)

    @cached_property
    def clock(self) -> Clock:
        """The time at which this invocation looks."""
        from dwf.cli.times import Clock, now_us

        return Clock(now_us(), bool(self.options.get("utc")))

    def fresh_clock(self) -> Clock:
        """The clock anew, for a verb that goes on for a while."""
        self.__dict__.pop("clock", None)
        return self.clock

    @cached_property
    def me(self) -> Identity:
        from dwf.engine.identity import sender

        return sender(self.environ)

    @property
    def home(self) -> str:
        """The state directory: --home, else what the environment says."""
        from dwf.store.layout import home_path

        asked: str | None = self.options.get("home")
        if asked is None:
            found = home_path(self.environ, os.geteuid())
            self._refuse_callers(found)
            return found
        if not asked:
            raise UsageError(what="--home is empty", hint="leave it out for the default place, or name a directory")
        return home_path({"DWF_HOME": asked}, os.geteuid())

    def _refuse_callers(self, home: str) -> None:
        """Under sudo the caller's environment may say where root is to look and write: only if that is root's, too."""
        caller = self.environ.get("SUDO_UID", "0")
        if os.geteuid() != 0 or caller == "0" or not self.environ.get("DWF_HOME") or not os.path.lexists(home):
            return
        if os.lstat(home).st_uid != 0:
            raise NotPermitted(
                what=f"{home} comes from DWF_HOME of the user behind sudo (uid {caller}), and is not root's",
                hint=f"to look at it as root all the same: --home {home}",
            )

    def store(
        self, *, create: bool = False, write: bool = True, post: bool = False, share: Sharing | None = None
    ) -> Store:
        """The state directory, open; see `Store.open`. Raises CannotCreate, NotPermitted, BadConfiguration."""
        from dwf.store.layout import is_default_place
        from dwf.store.room import Store

        parents = self.options.get("home") is None and is_default_place(self.environ)
        store = Store.open(self.home, create=create, parents=parents, write=write, post=post, share=share)
        if write and self.screen.err_is_terminal:
            from dwf.cli.counting import Counting

            # Only there: nobody wants it in a mail of cron.
            store.index.on_rebuild = Counting(self, "the index is made anew: histories read")
        return store

    @cached_property
    def is_operator(self) -> bool:
        """Whether the state directory is a shared one that another user drives: the caller can post, and look."""
        from dwf.store.sharing import GROUP_ENTERS

        try:
            found = os.stat(self.home)  # noqa: PTH116 - paths of the store are text
        except OSError:
            return False  # there is none yet; what else is wrong with it is said by who opens it
        is_anothers = found.st_uid != os.geteuid() and found.st_mode & GROUP_ENTERS
        return bool(is_anothers) and self.store(post=True).is_operator

    def store_to_read(self) -> Store | None:
        """The state directory for reading, anybody's; None if nothing was ever started there.

        Raises NotFound if it was named with --home and is not there: a mistyped name is not an empty place.
        """
        if os.path.lexists(self.home):
            return self.store(write=False)
        if self.options.get("home") is not None:
            raise NotFound(
                what=f"there is no state directory {self.home}",
                hint="the first dwf start makes it; without --home it is the default place",
            )
        return None

    def store_if_made(self) -> Store | None:
        """The same for who is about to make one: None where it is not there yet, or not made to its end."""
        from dwf.store.layout import Layout

        return self.store(write=False) if os.path.lexists(Layout(self.home).machine) else None

    def existing_store(self, run: str, *, write: bool = False, post: bool = False) -> Store:
        """The state directory that must hold this run. post: to post to it only.

        Raises UsageError for no id, NotFound if there is none yet.
        """
        from dwf.core.messages import check_run_id

        if run not in (LAST, SELECTED):
            check_run_id(run)  # what is no id is refused as such, whether there is a directory or not
        if os.path.lexists(self.home):
            return self.store(write=write, post=post)
        stand_in = {LAST: "there is no last run", SELECTED: "there are no runs"}
        which = stand_in.get(run) or f"there is no run {run!r}"
        raise NotFound(
            what=f"{which}: nothing was started in {self.home} yet",
            hint="start one with: dwf start SCRIPT, or name another place with --home or DWF_HOME",
        )
