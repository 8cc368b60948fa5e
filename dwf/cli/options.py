"""The options that every verb takes, before or after it, and the parameters that several verbs share."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument, Context, Option
from typer.core import TyperOption

from dwf.cli.catalog import nearest
from dwf.cli.session import COLORS, FORMATS, LAST, SELECTED, Session
from dwf.errors import UsageError

SELECTORS = ("where", "tag", "workflow", "status", "everything")
"""The parameters that select runs, in place of a RUN."""

EVERYWHERE = (
    "--home DIR  -o table|wide|json|jsonl|name  --json  --color auto|always|never  --utc  -q  -v  --no-input  --debug"
)


def everywhere(hidden: bool) -> list[TyperOption]:
    """The options of every verb and of dwf itself. `hidden` ones work but are not listed."""
    return [
        _valued(["--home"], "DIR", "state directory (default: $DWF_HOME, or the place of this user)", hidden),
        _valued(["-o", "--output"], "FORMAT", "table, wide, json, jsonl or name", hidden, FORMATS),
        _flag(["--json"], "the same as -o json", hidden),
        _valued(["--color"], "WHEN", "auto, always or never", hidden, COLORS),
        _flag(["--utc"], "show times in UTC", hidden),
        _flag(["-q", "--quiet"], "no words on stderr but errors and news", hidden),
        _flag(["-v", "--verbose"], "more words", hidden),
        _flag(["--no-input"], "never ask anything", hidden),
        _flag(["--debug"], "show the traceback of an error", hidden),
    ]


def _flag(names: list[str], words: str, hidden: bool) -> TyperOption:
    def set_it(context: Context, parameter: Any, value: bool) -> None:
        if value:
            _session(context).options.update({"output": "json"} if names == ["--json"] else {parameter.name: True})

    return TyperOption(
        param_decls=names, is_flag=True, default=False, expose_value=False, callback=set_it, help=words, hidden=hidden
    )


def _valued(names: list[str], metavar: str, words: str, hidden: bool, choices: tuple[str, ...] = ()) -> TyperOption:
    def set_it(context: Context, parameter: Any, value: str | None) -> None:
        if value is None:
            return
        if choices and value not in choices:
            meant = nearest(value, list(choices))
            raise UsageError(
                what=f"{names[-1]} {value!r} is none of {', '.join(choices)}",
                hint=f"did you mean {meant}?" if meant else f"choose one: {names[-1]} {choices[0]}",
            )
        _session(context).options[parameter.name] = value

    return TyperOption(
        param_decls=names, metavar=metavar, default=None, expose_value=False, callback=set_it, help=words, hidden=hidden
    )


def last_option() -> TyperOption:
    """`-l` where a RUN is expected."""
    words = "instead of RUN: the run that you started last"
    return TyperOption(
        param_decls=["last", "-l", "--last"], is_flag=True, default=False, expose_value=False, help=words
    )


def put_stand_in(parser: Any, place: int, many: bool) -> None:
    """Make the parser take -l for the word at that place: what stands there without it is then the next word.

    many: the same for options that select runs.
    """
    assign = parser._process_args_for_args

    def assigned(state: Any) -> None:
        selects = many and any(state.opts.get(name) is not None for name in SELECTORS)
        if selects and state.opts.get("last"):
            raise UsageError(what="-l and --where and the like exclude each other", hint="give one of them")
        if (selects or state.opts.get("last")) and len(state.largs) >= place:
            state.largs.insert(place, SELECTED if selects else LAST)
        assign(state)

    parser._process_args_for_args = assigned


def _session(context: Context) -> Session:
    session = context.find_root().obj
    assert isinstance(session, Session)
    return session


def session_of(context: Context) -> Session:
    """The session of this invocation."""
    return _session(context)


RunArgument = Annotated[str, Argument(metavar="RUN", help="a run id, or a unique beginning of one", show_default=False)]
RunsArgument = Annotated[
    list[str], Argument(metavar="RUN...", help="run ids, or unique beginnings", show_default=False)
]
StepArgument = Annotated[
    str | None, Argument(metavar="[STEP]", help="a step: its number, or a part of its name", show_default=False)
]


def _reason(context: Context, value: str) -> str:
    """What was given, else what the environment says for all commands of a shell or a script."""
    return value or _session(context).environ.get("DWF_REASON", "")


QueueOption = Annotated[
    list[str] | None, Option("--queue", metavar="NAME", help="begin only steps of this queue; may be given again")
]
ReasonOption = Annotated[
    str,
    Option("-m", "--reason", metavar="TEXT", help="why (or DWF_REASON); recorded with your name", callback=_reason),
]
TickOption = Annotated[bool, Option("--tick", help="drive that run here, at once, until it waits again")]
