"""The live region of `dwf run` on a terminal: lines that stay, and below them what is open just now.

The only module that draws with rich, and the only one that moves the cursor; it is loaded on a terminal alone.
"""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from dwf.cli.escape import shown
from dwf.cli.screen import Piece, Screen
from dwf.cli.times import Clock, now_us, rough
from dwf.core.duration import unstamp
from dwf.core.state import RunState

_REFRESH_PER_SECOND = 4
_MOST_OPEN = 8


class LiveView:
    """A View (progress.py) for one terminal."""

    shows_open = True

    def __init__(self, screen: Screen) -> None:
        self._marks = screen.marks
        # The stream itself: while a tick runs, sys.stderr is a stand-in that catches what steps print.
        self._console = Console(file=screen.err, highlight=False, markup=False, emoji=False, soft_wrap=False)
        self._state: RunState | None = None
        self._live: Live | None = None

    def line(self, pieces: list[Piece], state: RunState) -> None:
        self._state = state
        live = self._live or self._start()
        if pieces:
            live.console.print(_text(pieces), overflow="ellipsis", no_wrap=True)

    def pause(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def close(self) -> None:
        self._state = None
        self.pause()

    def _start(self) -> Live:
        # Redirecting would take stdout and stderr away from steps and from the screen.
        self._live = Live(
            _Region(self),
            console=self._console,
            refresh_per_second=_REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        return self._live

    def open_lines(self) -> list[Text]:
        """What is open now, with how long it has been."""
        state = self._state
        if state is None or state.started is None or state.ended is not None:
            return []
        # Another thread adds to these while we draw.
        now, clock = now_us(), Clock(now_us())
        found = []
        for step in list(state.steps.values())[:_MOST_OPEN]:
            began = step.started.ts if step.started is not None else step.scheduled.ts
            if step.retry_at and step.started is None:
                words = f"again in {rough(max(unstamp(step.retry_at) - now, 0))}"
            else:
                words = rough(max(now - unstamp(began), 0))
            found.append(self._open(step.title, words, "cyan"))
        for timer in list(state.timers.values())[:_MOST_OPEN]:
            found.append(self._open(timer.started.purpose, clock.until(unstamp(timer.fire_at)), "yellow"))
        for wait in list(state.signal_waits.values())[:_MOST_OPEN]:
            found.append(self._open(f"signal {wait.opened.name}", clock.ago(unstamp(wait.opened.ts)), "yellow"))
        for approval in list(state.approvals.values())[:_MOST_OPEN]:
            deadline = approval.requested.deadline
            words = clock.until(unstamp(deadline)) if deadline else ""
            found.append(self._open(f'approve "{approval.requested.prompt}"', words, "yellow"))
        return found

    def _open(self, what: str, beside: str, style: str) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{'':10}")
        text.append(f"{self._marks.running} ", style)
        text.append(shown(what))
        text.append(f"  {beside}", "dim")
        return text


class _Region:
    """Drawn anew several times a second."""

    def __init__(self, view: LiveView) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._view.open_lines()


def _text(pieces: list[Piece]) -> Text:
    text = Text()
    for piece in pieces:
        words, style = (piece, "") if isinstance(piece, str) else piece
        text.append(shown(words), style)
    return text
