"""The program: parse, call a verb, turn what happens into an exit code.

Verbs are loaded when they are called: typer itself costs 45 ms, and each verb brings its rooms with it. What the
parser raises and what dwf raises come out of one door, as one `error:` and one `hint:` line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import typer
from typer._click.exceptions import ClickException, MissingParameter, NoSuchOption
from typer._click.exceptions import UsageError as ParserError
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from dwf.cli.catalog import BY_NAME, PANELS, VERBS, Verb, nearest
from dwf.cli.exits import Exit, by_signal
from dwf.cli.faults import Fault, fault_of, usage_fault
from dwf.cli.options import EVERYWHERE, everywhere, last_option, put_stand_in
from dwf.cli.refusals import note as note_refusal
from dwf.cli.session import FORMATS, Session
from dwf.errors import UsageError

_SIGPIPE = 13


def run(argv: Sequence[str], session: Session | None = None) -> int:
    """One invocation from its words to its exit code. Prints; raises nothing."""
    session = session or Session()
    try:
        try:
            code = _invoke(list(argv), session)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, BrokenPipeError):
                raise
            code = _report(error, argv, session)
        session.screen.flush()
        return code
    except BrokenPipeError:
        _hush()
        return by_signal(_SIGPIPE)
    except OSError as error:  # stdout is a full disk, or stderr was closed under us
        _hush()
        return fault_of(error).exit


def _invoke(argv: list[str], session: Session) -> int:
    group = program()
    try:
        with group.make_context("dwf", argv, obj=session) as context:
            result = group.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return int(result or Exit.OK)


def program() -> Verbs:
    """The whole command line, with no verb loaded yet."""
    return Verbs(
        name="dwf",
        params=[*everywhere(hidden=False), _version_option()],
        help="Durable runbooks on files: start them, let cron drive them, answer their questions.",
        callback=_overview,
        invoke_without_command=True,
        subcommand_metavar="VERB ...",
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def _overview() -> None:
    """`dwf` alone explains itself."""
    context = _current()
    if context.invoked_subcommand is None:
        context.obj.screen.text(context.get_help() + "\n")


def _current() -> Any:
    from typer._click.globals import get_current_context

    return get_current_context()


def _version_option() -> Any:
    from typer.core import TyperOption

    def show(context: Any, parameter: Any, value: bool) -> None:
        if value:
            from dwf import __version__

            context.obj.screen.line(f"dwf {__version__}")
            raise typer.Exit

    return TyperOption(
        param_decls=["--version"],
        is_flag=True,
        default=False,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="print the version",
    )


class Verbs(TyperGroup):
    """The verbs of the catalog, each loaded when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [verb.name for verb in VERBS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        verb = BY_NAME.get(cmd_name)
        return None if verb is None else load(verb)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if word not in BY_NAME:
            meant = nearest(word, list(BY_NAME))
            hint = f"did you mean: dwf {meant}" if meant else "dwf help lists the verbs"
            raise UsageError(what=f"there is no verb {word!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for panel in PANELS:
            rows = [(verb.name, verb.summary) for verb in VERBS if verb.panel == panel]
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Topics (dwf help TOPIC)"):
            from dwf.cli.topics import names

            formatter.write_text(" ".join(names()))


class VerbCommand(TyperCommand):
    """One verb, with its two examples under its help."""

    verb: Verb

    def invoke(self, ctx: Any) -> Any:
        ctx.find_root().obj.asked = (self.verb, dict(ctx.params))
        return super().invoke(ctx)

    def make_parser(self, ctx: Any) -> Any:
        parser = super().make_parser(ctx)
        place = self.place_of_run()
        if place is not None:
            put_stand_in(parser, place, many=any(p.name == "where" for p in self.params))
        return parser

    def place_of_run(self) -> int | None:
        """Which of its words is a RUN; None if none is."""
        words = [p.metavar for p in self.params if p.param_type_name == "argument"]
        return next((i for i, word in enumerate(words) if word in ("RUN", "RUN...", "[RUN]")), None)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Examples"):
            for line, words in self.verb.examples:
                formatter.write(f"  {line}\n      {words}\n")
        with formatter.section("Everywhere"):
            formatter.write_text(EVERYWHERE)


def load(verb: Verb) -> VerbCommand:
    """The verb as a command. Imports its module."""
    function = getattr(import_module(f"dwf.cli.verbs.{verb.module}"), verb.function)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    own_help = getattr(function, "own_help", False)
    app.command(
        verb.name,
        cls=VerbCommand,
        add_help_option=not own_help,
        context_settings={"help_option_names": ["--help", "-h"]},
    )(function)
    command = get_command(app)
    assert isinstance(command, VerbCommand)
    command.verb = verb
    if command.place_of_run() is not None:
        command.params.append(last_option())
    command.params.extend(everywhere(hidden=True))
    return command


# -- the door ---------------------------------------------------------------------------------------------------


def _report(error: BaseException, argv: Sequence[str], session: Session) -> int:
    fault = _parser_fault(error, argv) if isinstance(error, ClickException) else fault_of(error)
    # The parser may have stopped before it came to these two.
    as_json, debug = _glimpse(argv)
    if debug or session.debug:
        import traceback

        for line in "".join(traceback.format_exception(error)).splitlines():
            session.screen.tell(line)
    note_refusal(session, fault)
    fault.tell(session.screen, as_json or session.is_json)
    return int(fault.exit)


def _glimpse(argv: Sequence[str]) -> tuple[bool, bool]:
    words = list(argv)
    if "--" in words:
        words = words[: words.index("--")]
    formats = [f"-o{name}" for name in FORMATS[2:4]] + [f"--output={name}" for name in FORMATS[2:4]]
    follows = any(a in ("-o", "--output") and b in FORMATS[2:4] for a, b in pairwise(words))
    return "--json" in words or follows or any(word in formats for word in words), "--debug" in words


def _parser_fault(error: ClickException, argv: Sequence[str]) -> Fault:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "dwf"
    message = " ".join(error.format_message().split()).rstrip(".")
    hint = f"{path} --help shows what it takes"
    if isinstance(error, NoSuchOption):
        message = f"there is no option {error.option_name} for {path}"
        known = [name for p in context.command.params for name in p.opts] if context is not None else []
        meant = next(iter(error.possibilities or []), None) or nearest(error.option_name, known)
        hint = f"did you mean {meant}?" if meant else hint
        if context is not None and getattr(context.command, "name", "") in ("start", "run"):
            from dwf.cli.guesses import parameter_meant

            given = parameter_meant(argv, error.option_name)
            hint = f"parameters of the script are given without dashes: {given}" if given else hint
    elif isinstance(error, MissingParameter | ParserError):
        message = message[:1].lower() + message[1:]
        if context is not None and isinstance(error, MissingParameter):
            hint = " ".join([path, *context.command.collect_usage_pieces(context)])
    return usage_fault(message, hint)


def _hush() -> None:
    """Nobody listens: what is still buffered goes nowhere, without a word about it."""
    import os

    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):
        pass
