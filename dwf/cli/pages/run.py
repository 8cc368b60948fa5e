"""`dwf show`: one run on one screen. Where is it, what does it wait for, until when, who must act, what now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dwf.cli.pages.advice import commands, sides
from dwf.cli.pages.parts import named, others_here, progress, stays
from dwf.cli.pages.ticks import tick_is_late, tick_words
from dwf.cli.payloads import brief, call, spaced
from dwf.cli.phrases import code_from, failure, person, place, script_name
from dwf.cli.screen import STATUS_STYLES, Line, Marks, Piece
from dwf.cli.table import cells_of, fitting, wrapped
from dwf.cli.times import Clock
from dwf.core import events as ev
from dwf.core.deadlines import earliest
from dwf.core.duration import spoken, unstamp
from dwf.core.length import CURE, measure
from dwf.core.state import DEGRADED_KEPT, OpenApproval, RunState, Status
from dwf.core.tags import words as words_of
from dwf.core.undos import Stand
from dwf.engine.summary import paused
from dwf.errors import DwfError

if TYPE_CHECKING:
    from dwf.engine.beats import Beat
    from dwf.engine.summary import Wait

_LABEL = 9
_MOST_WAITS = 12
_MOST_MAIL = 8
_MOST_LEFT = 20
_MOST_MAPS = 5
_MODES = {
    "live": "live: the file as it is at each tick",
    "auto": "goes over to what a new start takes, if that fits",
    "next": "its next instance takes what a new start takes",
}
_MOVED: dict[type[ev.Event], str] = {ev.RunMoved: "moved", ev.RunAdopted: "taken up", ev.RunImported: "imported"}


@dataclass(frozen=True)
class Posted:
    """A message that is posted and not imported yet, in words."""

    what: str
    by: str
    posted_us: int


@dataclass(frozen=True)
class Facts:
    """All that the screen is made of. `state` is None if line 1 cannot be read. `driving`: a tick is at work now.

    undriven: it looks as if it were running, and nobody drives it. stuck: why nothing can ever move it on. warnings:
    what the script, or dwf about it, has warned of in the log. month: in which it ended, if it is archived.
    beats: the last heartbeats of steps that run, by command. held: everything is paused, so no tick drives anything.
    """

    run: str
    status: Status
    state: RunState | None
    problem: DwfError | None = None
    torn_bytes: int = 0
    link: int = 1
    waits: Sequence[Wait] = ()
    mail: Sequence[Posted] = field(default_factory=tuple)
    late: Sequence[Posted] = field(default_factory=tuple)
    refused: Sequence[str] = ()
    last_tick_us: int | None = None
    driving: bool = False
    undriven: bool = False
    stuck: str = ""
    warnings: Sequence[str] = ()
    undo_run: str = ""
    month: str = ""
    beats: Mapping[int, Beat] = field(default_factory=dict)
    held: bool = False


class RunPage:
    """The lines of the screen, for a terminal of `width` columns (0: no limit)."""

    def __init__(self, facts: Facts, clock: Clock, marks: Marks, width: int = 0) -> None:
        self._facts, self._clock, self._marks, self._width = facts, clock, marks, width

    def lines(self) -> Iterator[Line]:
        facts = self._facts
        status = facts.status.value
        again = f"  (instance {facts.link})" if facts.link > 1 else ""
        yield [(facts.run, "bold"), "  ", (status, STATUS_STYLES.get(status, "")), again]
        if facts.state is not None:
            yield from self._about(facts.state)
            yield from self._now(facts.state)
            yield from self._done(facts.state)
        if facts.problem is not None:
            yield from self._item("problem", [facts.problem.message])
        if facts.torn_bytes and facts.problem is None:
            yield from self._item("note", [f"1 incomplete record ({facts.torn_bytes} bytes) at the end is left out"])
        yield from self._mail()
        yield from self._next()

    # -- what it is --------------------------------------------------------------------------------------------

    def _about(self, state: RunState) -> Iterator[Line]:
        head, clock = state.head, self._clock
        follows = head.follows
        told = call(head.workflow, head.input, 1000) if follows is None else f"{follows.how} of {follows.run}"
        yield from self._item("run", [told])
        by = f" by {person(head.by)}" if head.by else ""
        started = unstamp(head.ts)
        yield from self._item("started", [f"{clock.ago(started)}{by}, {clock.full(started)}"])
        if head.parent is not None:
            yield from self._item(
                "parent", [f"run {head.parent.run} has started it (its command {head.parent.command})"]
            )
        if head.continues:
            yield from self._item("chain", [f"instance {head.link} of a run that continues as new"])
        if head.attempt > 1:
            before = f"why the one before failed: dwf history {self._facts.run} --instance {head.link - 1}"
            yield from self._item("attempt", [f"{head.attempt} of the whole run", before])
        if head.reason:
            yield from self._item("reason", [f'"{head.reason}"'])
        if head.step_by_step and state.ended is None:
            yield from self._item("steps", [f"one by one: each waits for dwf step unpause {head.run}"])
        if head.priority:
            yield from self._item(
                "priority", [f"{head.priority} ({'before' if head.priority > 0 else 'after'} others)"]
            )
        began = code_from(head.code_from, "; began on ") if state.code == head.code else ""
        code = f"{script_name(state.script)} @ {state.code[:7]}, {_MODES.get(head.code_mode, head.code_mode)}{began}"
        yield from self._item("code", [code, *stays(state), *others_here(state)])
        if state.tags:
            yield from self._item("tags", ["  ".join(f"{name}={words_of(tag)}" for name, tag in state.tags.items())])
        if state.memo:
            yield from self._item("memo", [f"{name}: {spaced(note, 300)}" for name, note in state.memo.items()])
        if head.headers:
            yield from self._item("headers", ["  ".join(f"{key}={value}" for key, value in head.headers.items())])
        if state.status_text:
            yield from self._item("status", [state.status_text])
        if state.degraded:
            more = [f"and more: dwf history {self._facts.run}"] if len(state.degraded) == DEGRADED_KEPT else []
            yield from self._item("degraded", [*state.degraded, *more])

    def _now(self, state: RunState) -> Iterator[Line]:
        if state.moved is not None:
            yield from self._moving(state.moved)
        for fan_out in list(state.fan_outs.values())[-_MOST_MAPS:]:
            yield from self._item("map", [progress(fan_out)])
        if state.undos.entries:
            yield from self._undos(state)
        if state.ended is not None:
            yield from self._end(state)
            if self._facts.month:
                yield from self._item("archived", [f"in archive/{self._facts.month}; dwf list --archived"])
            yield from self._unconsumed(state, "never taken by the script")
            return
        if end := earliest(state.head):
            yield from self._item("deadline", [self._deadline(state, unstamp(end))])
        if state.cancel is not None:
            by = person(state.cancel.by) or "somebody"
            why = f': "{state.cancel.reason}"' if state.cancel.reason else ""
            yield from self._item("cancel", [f"asked by {by} {self._clock.ago(unstamp(state.cancel.ts))}{why}"])
        if state.paused is not None:
            since = self._clock.ago(unstamp(state.paused.ts))
            told = paused(state.paused).removeprefix("paused ")
            yield from self._item("paused", [f"{told}, {since}; nothing of it begins"], "yellow")
        if state.blocked is not None:
            yield from self._blocked(state, state.blocked)
        if self._facts.stuck:
            yield from self._item("stuck", [self._facts.stuck], "red bold")
        if self._facts.undriven:
            yield from self._item("note", ["nobody drives it now; the next tick goes on with it"])
        waits = self._facts.waits
        for label, wait in zip(self._labels(state), waits[:_MOST_WAITS], strict=False):
            yield from self._item(label, self._wait(wait, state))
        if len(waits) > _MOST_WAITS:
            yield from self._item("", [f"and {len(waits) - _MOST_WAITS} more: -o json shows all"])
        yield from self._unconsumed(state, "not taken by the script yet")
        if told := measure(state.last_id):
            yield from self._item("length", [told, CURE])
        if warnings := self._facts.warnings:
            more = f"and {len(warnings) - 1} more" if len(warnings) > 1 else ""
            yield from self._item("warned", [warnings[-1], *([f"{more}: dwf logs {self._facts.run}"] if more else [])])

    def _deadline(self, state: RunState, end_us: int) -> str:
        ends_at_once = state.head.on_deadline == "terminate"
        if state.overdue is not None:
            cleaning = "blocked, and cleans up when it is mended" if state.blocked is not None else "cleaning up"
            return f"passed {self._clock.ago(end_us)}; it is {'ended' if ends_at_once else cleaning}"
        then = "it ends at once, without cleanup" if ends_at_once else "it is cancelled, and cleans up"
        return f"{self._clock.until(end_us)}, then {then}"

    def _unconsumed(self, state: RunState, lead: str) -> Iterator[Line]:
        if state.unconsumed:
            names = ", ".join(f"{signal.name} (line {signal.id})" for signal in state.unconsumed.values())
            yield from self._item("signals", [f"{lead}: {names}"])

    def _undos(self, state: RunState) -> Iterator[Line]:
        """What is being taken back, what was, and what was not; or how much could be."""
        entries = state.undos.compensated()
        under_way = state.ended is None and any(e.stand in (Stand.DUE, Stand.BEGUN) for e in entries)
        if under_way and state.undos.compensation is not None:
            done = sum(entry.stand is Stand.UNDONE for entry in entries)
            words = [f"{done} of {len(entries)} done", f"because {state.undos.compensation.why}"]
            yield from self._item("undoing", words)
        if undone := state.undos.that_are(Stand.UNDONE):
            yield from self._item("undone", [", ".join(entry.of for entry in undone[::-1])])
        if failed := state.undos.that_are(Stand.FAILED):
            yield from self._item("NOT", [f"undone: {entry.told}" for entry in failed], "red bold")
        if self._facts.undo_run:
            yield from self._item("undo", [f"see dwf show {self._facts.undo_run}"])
        elif not under_way and (due := state.undos.that_are(Stand.DUE, Stand.BEGUN)):
            yield from self._item("undo", [f"can be undone: {', '.join(entry.of for entry in due[::-1])}"])
        if state.ended is not None and (unknown := state.undos.that_are(Stand.OPEN)):
            yield from self._item("undo", [f"may have been done: {', '.join(entry.of for entry in unknown)}"])

    def _labels(self, state: RunState) -> Iterator[str]:
        """`waiting` once, then nothing: the column says it for all of them."""
        before = ""
        for wait in self._facts.waits:
            held = state.paused is not None and wait.kind == "step" and state.steps[wait.command].started is None
            label = "running" if wait.kind == "step" and not held else "waiting"
            yield label if label != before else ""
            before = label

    def _end(self, state: RunState) -> Iterator[Line]:
        ended = state.ended
        assert ended is not None
        at = unstamp(ended.ts)
        took = spoken(max(at - unstamp(state.head.ts), 0))
        label = "ended" if isinstance(ended, ev.TERMINAL) else "left"
        yield from self._item(label, [f"{self._clock.ago(at)}, {self._clock.full(at)}, after {took}"])
        if isinstance(ended, ev.WorkflowCompleted):
            yield from self._item("result", [brief(ended.result, 400)])
        if isinstance(ended, ev.WorkflowFailed):
            last = ended.error.traceback.strip().splitlines()[-1:]
            yield from self._item("error", [failure(ended.error), *last])
        if isinstance(ended, ev.WorkflowTimedOut):
            yield from self._item("because", [f"{ended.reason}: {self._clock.full(unstamp(ended.due))}"])
        if isinstance(ended, ev.WorkflowTerminated):
            yield from self._item("by", [f'{person(ended.by) or "somebody"} "{ended.reason}"'])
        if isinstance(ended, ev.WorkflowCancelled) and state.cancel is not None:
            yield from self._item("by", [f'{person(state.cancel.by) or "somebody"} "{state.cancel.reason}"'])
        notes = [*getattr(ended, "notes", [])]
        if left := getattr(ended, "open", []):
            more = f", and {len(left) - _MOST_LEFT} more" if len(left) > _MOST_LEFT else ""
            notes.append(f"left without an outcome: {', '.join(named(state, left[:_MOST_LEFT]))}{more}")
        for note in notes:
            yield from self._item("note", [note])

    def _moving(self, moved: ev.RunMoved | ev.RunAdopted | ev.RunImported) -> Iterator[Line]:
        label = _MOVED[type(moved)]
        by = f" by {person(moved.by)}" if moved.by else ""
        why = [f'"{moved.reason}"'] if moved.reason else []
        yield from self._item(label, [f"{place(moved)}{by}, {self._clock.ago(unstamp(moved.ts))}", *why])

    # -- what it waits for -------------------------------------------------------------------------------------

    def _wait(self, wait: Wait, state: RunState) -> list[str]:
        clock = self._clock
        span = f"since {clock.point(wait.since_us)} ({clock.age(wait.since_us)})"
        if wait.until_us is not None:
            span += f", {clock.until(wait.until_us)}"
            span += f", then {wait.on_timeout}" if wait.on_timeout else ""
        if wait.over_by_us is not None:
            span += f", times out {clock.until(wait.over_by_us).removeprefix('until ')}"
        if wait.kind == "approval":
            return [f'approve "{wait.what}"', span, *self._answers(state.approvals[wait.command], wait.command)]
        if wait.kind == "decide":
            return [f"decide: did {wait.what} take effect?", wait.detail, span]
        if wait.kind in ("step", "paused"):
            return [f"{wait.what}  {wait.detail}", span, *self._beat(wait.command)]
        if wait.kind == "retry":
            return [f"{wait.what}  again {clock.point(wait.until_us or 0)}", wait.detail, span]
        if wait.kind == "timer":
            return [f"{wait.what}  {clock.until(wait.until_us or 0)}", f"since {clock.point(wait.since_us)}"]
        words = {
            "lock": "lock ",
            "signal": "signal ",
            "callback": "callback ",
            "child": "child run ",
            "outgoing": "a message to be sent to run ",
        }
        return [words.get(wait.kind, "") + wait.what, span]

    def _beat(self, command: int) -> list[str]:
        beat = self._facts.beats.get(command)
        if beat is None:
            return []
        details = f": {brief(beat.details, 200)}" if beat.details is not None else ""
        return [f"heartbeat {self._clock.ago(beat.at_us)}{details}"]

    def _answers(self, approval: OpenApproval, command: int) -> list[str]:
        asked = approval.requested
        who = ", ".join(asked.by) or "anyone who may post to this run"
        given = [
            f"{person(a.by) or 'somebody'} {self._clock.point(unstamp(a.ts))}"
            + (f' "{a.comment}"' if a.comment else "")
            for a in approval.given("approve")
        ]
        need = f" ({asked.need} needed, {len(given)} given{': ' if given else ''}{'; '.join(given)})"
        lines = [f"may answer: {who}" + (need if asked.need > 1 or given else "")]
        if bytes(asked.show) != b"null":
            lines.append(f"shown: {brief(asked.show, 300)}")
        return [*lines, f"number {command}, fingerprint {asked.fingerprint[:12]}"]

    def _blocked(self, state: RunState, blocked: ev.RunBlocked) -> Iterator[Line]:
        since = unstamp(blocked.ts)
        told = sides(blocked)
        when = f"since {self._clock.point(since)} ({self._clock.age(since)})"
        if told is None:
            at = f" at {blocked.where}" if blocked.where and blocked.where not in blocked.message else ""
            yield from self._item("blocked", [f"{blocked.message}{at}", when], "red bold")
        else:
            yield from self._item("blocked", ["the script no longer fits what it did", when], "red bold")
            first = max(cells_of(place) for place, _, _ in told)
            for place, verb, what in told:
                yield from self._side(f"{place:<{first}}  {verb:<8}  ", what)
        if state.upgraded:
            yield from self._item("", ["it was moved to other code since; the next tick tries that"])
        elif blocked.hint:
            yield from self._item("", [blocked.hint])

    def _side(self, lead: str, what: str) -> Iterator[Line]:
        """One side of a divergence: its own words stay in their column however narrow the terminal."""
        room = max(self._width - _LABEL - 2 - cells_of(lead), 20) if self._width else 0
        for i, part in enumerate(wrapped(what, room)):
            text = fitting(part, room, self._marks.cut) if room else part
            yield [" " * (_LABEL + 2), lead if i == 0 else " " * cells_of(lead), (text, "bold")]

    def _done(self, state: RunState) -> Iterator[Line]:
        if not state.done:
            return
        steps = list(state.done)
        words = [self._step(step.title, step.outcome, step.took_us) for step in steps[-12:]]
        more = state.steps_done - len(words)
        lead = f"{more} more | " if more > 0 else ""
        yield from self._item("done", [lead + " | ".join(words)])

    def _step(self, title: str, outcome: str, took_us: int) -> str:
        text = f"{title} {spoken(took_us)}"
        return text if outcome == "completed" else f"{text} {outcome}"

    # -- what now ----------------------------------------------------------------------------------------------

    def _mail(self) -> Iterator[Line]:
        facts = self._facts
        if facts.mail:
            taken = "when everything is resumed" if facts.held else "by the next tick"
            yield from self._item("posted", [*self._letters(facts.mail), f"taken up {taken}"])
        if facts.late:
            yield from self._item("late", [*self._letters(facts.late), "came too late, and did nothing"])
        if facts.refused:
            more = [f"and {len(facts.refused) - _MOST_MAIL} more"] if len(facts.refused) > _MOST_MAIL else []
            yield from self._item("refused", [*facts.refused[-_MOST_MAIL:], *more])

    def _letters(self, mail: Sequence[Posted]) -> list[str]:
        told = [f"{m.what}, by {m.by} {self._clock.ago(m.posted_us)}" for m in mail[:_MOST_MAIL]]
        if len(mail) > _MOST_MAIL:
            told.append(f"and {len(mail) - _MOST_MAIL} more")
        return told

    def _next(self) -> Iterator[Line]:
        facts = self._facts
        advice = commands(facts.run, facts.status, facts.state, facts.waits, facts.stuck)
        if facts.undo_run:
            advice = [line for line in advice if not line[0].startswith("dwf undo ")]
        late = tick_is_late(facts.last_tick_us, self._clock) and not facts.driving
        if facts.held and not facts.status.closed and facts.problem is None:
            advice = [('dwf resume --everything -m "..."', "lets ticks drive again"), *advice]
        elif facts.mail and facts.state is not None and facts.state.blocked is None:
            advice = [("dwf tick", "takes up what was posted"), advice[-1]]
        elif facts.undriven and not late:
            advice = [("dwf tick", "goes on with it"), *advice]
        elif late and not facts.status.closed and facts.problem is None:
            advice = [("dwf tick", f"{tick_words(facts.last_tick_us, self._clock)}; dwf help cron"), *advice]
        longest = max((cells_of(line) for line, _ in advice), default=0)
        for i, (line, words) in enumerate(advice):
            label = "next" if i == 0 else ""
            lead: list[Piece] = ["  ", (f"{label:<{_LABEL}}", "dim"), line]
            room = self._width - _LABEL - 4 - cells_of(words) if self._width else longest
            if room >= longest:
                yield [*lead, " " * (longest - cells_of(line) + 2), (words, "dim")]
            elif room >= cells_of(line):
                yield [*lead, "  ", (words, "dim")]
            else:
                yield lead

    def _item(self, label: str, texts: Sequence[str], style: str = "") -> Iterator[Line]:
        """A label and its lines beside it, wrapped between words to the width."""
        room = max(self._width - _LABEL - 2, 20) if self._width else 0
        shown = [part for text in texts for part in wrapped(" ".join(text.split("\n")), room)]
        for i, text in enumerate(shown):
            head = label if i == 0 else ""
            yield ["  ", (f"{head:<{_LABEL}}", style or "dim"), text]
