"""Author: plan, test. How a run may go: real branches, time that leaps, and nothing is really done."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.scratch import scratch
from dwf.cli.session import Session
from dwf.cli.verbs.shared import given_json, json_or_text, pairs, pick
from dwf.errors import UsageError

if TYPE_CHECKING:
    from dwf.store.room import Store
    from dwf.testing.playing import Choice, Played

SetOption = Annotated[
    list[str] | None,
    Option("--set", metavar="NAME=JSON", help="what a step of that name comes to, or what a signal brings"),
]
AssumeOption = Annotated[
    Literal["yes", "no", "timeout", "failure"] | None,
    Option("--assume", help="what the first question, wait or step comes to; all others go well"),
]
ValuesArgument = Annotated[
    list[str] | None, Argument(metavar="[K=V ...]", help="parameters of the script", show_default=False)
]


def plan(
    context: Context,
    what: Annotated[str, Argument(metavar="SCRIPT[:WORKFLOW]|ID", help="a script, or the id of an open run")],
    values: ValuesArgument = None,
    set_: SetOption = None,
    assume: AssumeOption = None,
) -> int:
    """How a run may go: steps, waits and questions in order, with their times. Nothing is really done.

    The script runs with its real branches, under a clock that leaps; every step is stubbed with the plainest value
    that fits its annotation (True, 1, "text", one item), or with what --set says. Questions are answered with yes, and
    signals come. Of an open run: what happens next on yes, no, timeout, and if the next step fails; then what follows
    if a later question comes to something else, up to 16 ways. Steps that run just now begin anew in it, and so do
    child runs. Exit 1 if the script blocks on the way.
    """
    from dwf.cli.pages.plan import Told, lead, plan_document, plan_lines, rows_of
    from dwf.testing.playing import Choice
    from dwf.testing.proving import unheard
    from dwf.testing.ways import ways

    session = session_of(context)
    given = given_of(set_)
    is_script = Path(what.rpartition(":")[0] or what).suffix == ".py" or Path(what).is_file()
    if values and not is_script:
        raise UsageError(what="parameters are for a script, not for a run", hint=f"dwf plan {what}")
    goes_on = not is_script and assume is None
    with scratch(session.environ) as place:

        def play(first: Choice, later: Sequence[Choice]) -> Played:
            home = place / "-".join([first, *later])
            if is_script:
                return play_script(session, home, what, values or [], given, first)
            return _play_run(session, home, what, given, first, later)

        def told_of(played: Played) -> Hashable:
            return tuple(row.told for row in rows_of(played, session.clock))

        found = ways(play, list(Choice) if goes_on else [Choice(assume)] if assume else [Choice.YES], told_of)
        told = [Told(way, rows_of(way.played, session.clock)) for way in islice(found, _MOST_WAYS if goes_on else 1)]
        more = goes_on and next(found, None) is not None
    screen = session.screen
    _warn_of(session, unheard(given, [one.way.played for one in told]))
    if session.is_json:
        document = {"schema": "dwf.plan/1", "plans": [plan_document(one) for one in told], "more": more}
        screen.document(document, one_line=session.output == "jsonl")
    else:
        for one in told:
            screen.line((lead(one.way), "bold"), f"  -> {one.way.played.state.status.value}")
            screen.lines(plan_lines(one, told))
        if more:
            screen.line(f"these are {_MOST_WAYS} ways, and there are more, of what later questions come to")
    return Exit.FAILED if any(one.way.played.state.blocked for one in told[:1]) else Exit.OK


_MOST_WAYS = 16


def given_of(words: list[str] | None) -> dict[str, Any]:
    """The words of --set. Raises UsageError."""
    found = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(what=f"--set {word!r} is not NAME=JSON", hint="--set drain=3, --set 'uname=Linux'")
        # What begins as JSON was meant as that, whatever became of it.
        found[name] = given_json(value, f"--set {name}") if value[:1] in ("{", "[", '"') else json_or_text(value)
    return found


def _warn_of(session: Session, names: list[str]) -> None:
    for name in names:
        session.screen.warn(f"--set {name}: no way came to a step or a signal of that name")


def play_script(
    session: Session, home: Path, script: str, values: list[str], given: dict[str, Any], choice: Choice
) -> Played:
    """Start it in a place of its own, and play it. Raises what `dwf start` raises."""
    from dwf.engine.start import StartRequest, start
    from dwf.testing import Env
    from dwf.testing.playing import Player
    from dwf.testing.run import Run

    env = Env(home, several=True)
    asked = StartRequest(script, session.me, values=pairs(values, "a parameter"), run="plan")
    return Player(env, given, choice).play(Run(env, start(env.store, asked, env.clock).run))


def _play_run(
    session: Session, home: Path, run: str, given: dict[str, Any], choice: Choice, later: Sequence[Choice]
) -> Played:
    from dwf.engine.owners import require_readers
    from dwf.engine.runs import load
    from dwf.testing import Env
    from dwf.testing.playing import Player, copied

    store: Store = session.existing_store(run)
    run = pick(session, store, run)
    view = load(store, run)
    if view.state is not None:
        require_readers(store, view.state, session.me.uid or 0)
    env = Env(home, several=True)
    return Player(env, given, choice, later).play(copied(env, store, run, session.clock.now))


def test(
    context: Context,
    script: Annotated[str, Argument(metavar="SCRIPT[:WORKFLOW]", help="a script", show_default=False)],
    values: ValuesArgument = None,
    set_: SetOption = None,
    paranoid: Annotated[bool, Option("--paranoid", help="replay it from the top after every turn")] = False,
    crash: Annotated[bool, Option("--crash-everywhere", help="let the process die whenever it has written")] = False,
    coverage: Annotated[bool, Option("--coverage", help="tell what no way of it comes through, by line")] = False,
) -> int:
    """Play a script through, as dwf plan does, on each way: all goes well, no, no answer, the first step fails.

    With --paranoid and --crash-everywhere each way is played once more so, and must come to the same. --coverage tells
    the lines and branches of workflow code, the undos and the steps that none of these ways comes to. Exit 1 if
    a way blocks, or comes to something else. For more than these ways write a test: dwf help testing.
    """
    from dwf.cli.pages.plan import LEADS
    from dwf.testing.proving import prove

    session = session_of(context)
    given, asked = given_of(set_), pairs(values or [], "a parameter")
    harder = [mode for mode, wanted in (("paranoid", paranoid), ("dying", crash)) if wanted]
    with scratch(session.environ) as place:
        proof = prove(place, script, asked, given, session.me, harder, coverage)
    screen = session.screen
    _warn_of(session, proof.unheard)
    if session.is_json:
        screen.document({"schema": "dwf.test/1", **proof.document()}, one_line=session.output == "jsonl")
        return Exit.OK if proof.holds else Exit.FAILED
    for way in proof.ways:
        deaths = f", the process died {way.deaths} times" if way.deaths else ""
        mode = f" ({way.mode}{deaths})" if way.mode != "normal" else ""
        word, style = ("ok    ", "green") if way.holds else ("FAILED", "red")
        screen.line((word, style), f"  {LEADS[way.choice]}{mode}: {way.came_to}")
        if way.why:
            screen.line(f"          {way.why}")
    if coverage:
        for at, source in proof.missed:
            screen.line("never   ", at, "  ", (source, "cyan"))
        lines, (branches, taken) = proof.lines - len(proof.missed_lines), proof.branches
        ways = f", {taken} of {branches} branches taken" if branches else ""
        screen.line(f"{lines} of {proof.lines} lines of workflow code were come through{ways}")
    return Exit.OK if proof.holds else Exit.FAILED
