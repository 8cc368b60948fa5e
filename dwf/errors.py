"""Every exception dwf raises, on one screen.

This room imports nothing and decides nothing. The tree is ordered by *whose turn it is*:

    DwfError
    |-- Failure                 the script says: this run has failed
    |   |-- Expected            ... of something that is no reason to alarm anybody
    |   |-- ApprovalRejected    ... because a person (or the deadline) said no
    |   |-- MapFailed           ... because more items of a dwf.map failed than are tolerated
    |   `-- CompensationFailed  ... and what was done could not all be taken back
    |-- ActivityError           a step ended without a result; scripts catch this one
    |   |-- ActivityTimeout
    |   `-- ActivityCancelled
    |-- ChildError              a child run ended without a result
    |-- NotDelivered            a message to another run did not reach it
    |-- RetryAfter              an activity asks to be tried again later
    |-- ScriptError             the author's turn: the run becomes `blocked`, never `failed`
    |-- OperatorError           the person at the terminal can put it right
    |-- StoreError              the disk or what is on it
    `-- InternalError           dwf's own fault

Each class has a stable `code` (for programs), an `exit_code` (for shells), a `sentence` built from the facts it was
raised with (the facts are attributes), and each error may carry a `hint`: what to type or change next.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # this file is read by an idle tick, which has no time to load typing
    from typing import Any, ClassVar


class DwfError(Exception):
    """The root. Raised never; caught where anything of ours should be caught."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 70
    sentence: ClassVar[str] = "{what}"

    def __init__(self, *, hint: str | None = None, **facts: Any) -> None:
        self.hint = hint
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)
        super().__init__(self.sentence.format(**facts))

    @property
    def message(self) -> str:
        """The sentence for people, without the hint."""
        return str(self)

    def __getattr__(self, name: str) -> Any:
        # Facts are set in __init__; this exists so that type checkers accept them as attributes.
        raise AttributeError(name)


# -- what a runbook raises and catches -------------------------------------------------------------------------


class Failure(DwfError):
    """Raise it in a workflow to say "this run has failed"; any other exception of your own is taken for a bug.

    `raise dwf.Failure("the new certificate was not served", serial=serial) from error`
    """

    code = "failure"
    exit_code = 1

    def __init__(self, message: str = "failed", /, *, hint: str | None = None, **details: Any) -> None:
        self.details = details
        super().__init__(what=message, hint=hint)


class Expected(Failure):
    """Raise it for what is no reason to alarm anybody: "there is nothing to renew today".

    A step that raises it is not tried again, and a run that fails of it is no news of a tick.
    """

    code = "expected"


class ApprovalRejected(Failure):
    """Raised by `await dwf.approve(...)` when the answer is no, given by a person or by the deadline."""

    code = "rejected"

    def __init__(self, prompt: str, by: str, comment: str | None = None, *, timed_out: bool = False) -> None:
        said = f": {comment}" if comment else ""
        how = "no answer before the deadline" if timed_out else f"rejected by {by}{said}"
        super().__init__(f'"{prompt}": {how}', prompt=prompt, by=by, comment=comment, timed_out=timed_out)
        self.prompt, self.by, self.comment, self.timed_out = prompt, by, comment, timed_out


class CompensationFailed(Failure):
    """Raised when a saga is left: what it had done was to be taken back, and some of it was not.

    Attributes: `undone` and `not_undone`, names of steps; the latter with what went wrong. `__cause__` is the error
    that the saga was left with.
    """

    code = "compensation-failed"

    def __init__(self, why: str, undone: list[str], not_undone: list[str]) -> None:
        done = f"; undone: {', '.join(undone)}" if undone else ""
        message = f"{why}{done}; NOT undone: {', '.join(not_undone)}"
        super().__init__(message, why=why, undone=undone, not_undone=not_undone)
        self.undone, self.not_undone = undone, not_undone


class MapFailed(Failure):
    """Raised by `dwf.map` when more items have failed than are tolerated.

    Attributes: `failed` (what came of each that failed: `.item`, `.error`), `skipped` (items that were not begun),
    `done` (how many succeeded). What is recorded of it holds the first hundred of each.
    """

    code = "map-failed"

    def __init__(self, message: str, failed: list[Any], skipped: list[Any], done: int) -> None:
        told = [{"item": each.item, "error": str(each.error)[:300]} for each in failed[:100]]
        super().__init__(message, failed=told, skipped=skipped[:100], not_begun=len(skipped), done=done)
        self.failed, self.skipped, self.done = failed, skipped, done


class ActivityError(DwfError):
    """Raised at the `await` of an activity or shell step that ended without a result, after its last attempt.

    Attributes: `activity` (its name), `type` (the class of the original exception, as text), `reason` (its message),
    `attempts` (how many were made), `details` (facts: `exit_code`, `stderr` for a shell step; a Failure's details).
    """

    code = "activity-failed"
    exit_code = 1
    sentence = "{activity} failed{times}: {what}"

    def __init__(
        self,
        activity: str,
        type: str,  # noqa: A002 - the field's own word, as persisted
        reason: str,
        attempts: int = 1,
        details: dict[str, Any] | None = None,
    ) -> None:
        facts: dict[str, Any] = {
            "activity": activity,
            "type": type,
            "reason": reason,
            "attempts": attempts,
            "details": details or {},
        }
        # What a command or dwf itself says needs no class name before it.
        what = reason if type in ("ExitCode", "Interrupted", "NoEffect") else f"{type}: {reason}"
        super().__init__(times=f" after {attempts} attempts" if attempts > 1 else "", what=what, **facts)
        self.facts = facts


class ActivityTimeout(ActivityError):
    """A time limit of the step has passed. `timeout` says which: "start-to-close" of its last attempt, "heartbeat",
    "schedule-to-start" or "schedule-to-close". details["heartbeat"]: what its last heartbeat told.
    """

    code = "activity-timeout"
    sentence = "{activity} timed out{times}: {reason}"

    @property
    def timeout(self) -> str:
        """Which of the step's timeouts it was."""
        return str(self.facts["details"].get("timeout", "start-to-close"))


class ActivityCancelled(ActivityError):
    """The step was cancelled without anybody having cancelled the code that awaits it (an operator did).

    In an activity: it was asked to end, and its heartbeat says so; `reason` has who and why.
    """

    code = "activity-cancelled"
    sentence = "{activity} was cancelled: {reason}"


class ChildError(DwfError):
    """Raised at the `await` of a child run that ended without a result.

    Attributes: `run` (its id), `outcome` (failed, cancelled, terminated, timed-out; refused: its id was in use, and
    none was made), `type` and `reason` of its error, `details` (facts of that error).
    """

    code = "child-failed"
    exit_code = 1
    sentence = "child run {run} {outcome}: {what}"

    def __init__(self, run: str, outcome: str, type: str, reason: str, details: dict[str, Any] | None = None) -> None:  # noqa: A002
        facts: dict[str, Any] = {
            "run": run,
            "outcome": outcome,
            "type": type,
            "reason": reason,
            "details": details or {},
        }
        super().__init__(what=f"{type}: {reason}" if type else reason or "nothing more is known", **facts)
        self.facts = facts


class NotDelivered(DwfError):
    """Raised at `await dwf.send_signal(...)`: there is no such run, or nothing reaches it any more."""

    code = "not-delivered"
    exit_code = 1
    sentence = "{what} did not reach run {run}: {why}"


class RetryAfter(DwfError):
    """Raise it in an activity: "not now, try again in this long". It wins over the retry policy's delay.

    `delay` is seconds or a duration such as "30s"; `max_attempts` still counts.
    """

    code = "retry-after"
    exit_code = 1
    sentence = "try again after {delay}: {why}"

    def __init__(self, delay: float | str, why: str = "asked to wait") -> None:
        super().__init__(delay=delay, why=why)


# -- the author's turn: the run is blocked until the script is mended -------------------------------------------


class ScriptError(DwfError):
    """The script cannot go on as it is written. Never an outcome: the run waits, `blocked`, for mended code."""

    code = "script-error"
    exit_code = 65


class ScriptBug(ScriptError):
    """An exception that is neither a failure nor a cancellation left the workflow function."""

    code = "script-bug"
    sentence = "{type}: {reason} at {where}"


class NondeterminismError(ScriptError):
    """The script asked for something else than the history recorded at the same place."""

    code = "nondeterminism"
    sentence = "the script no longer fits its history: line {line} recorded {recorded}, {where} now asks {asked}"


class GuardError(ScriptError):
    """Workflow code reached for the outside world (clock, chance, files, network, threads)."""

    code = "guard"
    sentence = "{what} may not be used in workflow code ({where}): {cure}"


class NotInWorkflow(ScriptError):
    """A dwf function that needs a running workflow was called outside of one."""

    code = "not-in-workflow"
    exit_code = 2
    sentence = "dwf.{what} only works inside a @dwf.workflow function that dwf runs"


class BusyLoop(ScriptError):
    """One activation of workflow code used up its budget of callbacks or CPU time."""

    code = "busy-loop"
    sentence = "workflow code did not come to a wait: {what} at {where}"


class Poison(ScriptError):
    """Every process that took the run up died over it."""

    code = "poison"
    sentence = "dwf died {times} times in a row while it drove this run"


class WaitsForNothing(ScriptError):
    """The workflow is not done, and nothing that could wake it is open."""

    code = "waits-for-nothing"
    sentence = "the workflow waits for nothing that can happen, at {where}"


class ValueRefused(ScriptError):
    """A value cannot be stored: not JSON-able, NaN, too large, or nested too deeply."""

    code = "value-refused"
    exit_code = 2
    sentence = "{what}: {why}"


class CannotReplay(ScriptError):
    """The code that a run is to be replayed with cannot be loaded. (A script to start with is a ScriptRefused.)"""

    code = "cannot-replay"
    sentence = "run {run} cannot be replayed: {why}"


class CodeMissing(ScriptError):
    """The code a run was started with cannot be found, or is not what it was."""

    code = "code-missing"
    sentence = "the code of run {run} is not there: {why}"


class ScriptRefused(ScriptError):
    """A script cannot be loaded: syntax, import, no workflow in it, or more than one."""

    code = "script-refused"
    exit_code = 2
    sentence = "{path}: {why}"


# -- the operator's turn ----------------------------------------------------------------------------------------


class OperatorError(DwfError):
    """What was typed cannot be done; nothing was changed."""

    exit_code = 2


class UsageError(OperatorError):
    """A word on the command line is wrong."""

    code = "usage"
    exit_code = 2


class NotFound(OperatorError):
    """There is no such run, script, workflow, step or topic."""

    code = "not-found"
    exit_code = 4


class WrongState(OperatorError):
    """The run is closed, the question already answered, or not asked yet."""

    code = "wrong-state"
    exit_code = 7


class Conflict(OperatorError):
    """The id is in use."""

    code = "conflict"
    exit_code = 9


class Busy(OperatorError):
    """Somebody else holds the run's lock; try again later."""

    code = "busy"
    exit_code = 75
    sentence = "run {run} is being worked on by another process (pid {pid})"


class SecretUnavailable(DwfError):
    """A secret that a step needs is not to be had; the step has failed, and may be tried again."""

    code = "secret-unavailable"
    exit_code = 1
    sentence = "the secret {reference} is not to be had: {why}"


class TooMuchMail(OperatorError):
    """In a shared directory: so many messages of this user wait that no more are taken for now."""

    code = "too-much-mail"
    exit_code = 75
    sentence = "{count} messages of yours are waiting"


class TooManySignals(OperatorError):
    """So many signals of a run wait to be taken by its script that no more are accepted for now."""

    code = "too-many-signals"
    exit_code = 75
    sentence = "{count:,} signals wait for run {run}, and its script does not take them"


class NotAtRest(OperatorError):
    """The run cannot be moved just now: something of it is under way."""

    code = "not-at-rest"
    exit_code = 75
    sentence = "run {run} does not rest: {why}"


class StepStillRuns(OperatorError):
    """A process of a step that a killed dwf left behind cannot be ended; the step must not be started beside it."""

    code = "step-still-runs"
    exit_code = 75
    sentence = "an earlier attempt of {step} still runs and cannot be ended (pid {pid})"


class NotPermitted(OperatorError):
    """The kernel or a rule of dwf does not allow this user to do that."""

    code = "not-permitted"
    exit_code = 77


class BadConfiguration(OperatorError):
    """The state directory or the environment is set up in a way dwf refuses to work with."""

    code = "configuration"
    exit_code = 78


class BundleRefused(OperatorError):
    """A file is no bundle of a run, or not whole, or not what `dwf export` makes. Nothing was taken from it."""

    code = "bundle-refused"
    exit_code = 2
    sentence = "{path} is refused: {why}"


class TimedOut(OperatorError):
    """`dwf wait --timeout` ran out."""

    code = "timeout"
    exit_code = 124


# -- the disk ---------------------------------------------------------------------------------------------------


class StoreError(DwfError):
    """The state directory could not be read or written."""

    code = "store"
    exit_code = 74


class HistoryCorrupt(StoreError):
    """A history is damaged before its last line. It is never repaired by itself and never skipped over.

    `kind` is one of: torn, corrupt, foreign, empty.
    """

    code = "history-corrupt"
    exit_code = 65
    sentence = "{path}: line {line}, byte {offset}: {why} ({kind})"


class NewerFormat(StoreError):
    """A history was written by a newer dwf; this one leaves it alone."""

    code = "newer-format"
    exit_code = 65
    sentence = "{path}: line {line}: written by a newer dwf ({what})"


class CannotCreate(StoreError):
    """The state directory, or a file in it, cannot be made."""

    code = "cannot-create"
    exit_code = 73
    sentence = "cannot create {path}: {why}"


class DiskError(StoreError):
    """A system call failed: disk full, I/O error, too many open files. Nothing was acknowledged.

    `errno`: 0 if it is not the system that says so; then it is not told.
    """

    code = "disk"
    exit_code = 74
    sentence = "{operation} {path}: {why}{number}"

    def __init__(self, *, errno: int = 0, hint: str | None = None, **facts: Any) -> None:
        super().__init__(hint=hint, errno=errno, number=f" (errno {errno})" if errno else "", **facts)
        del self.facts["number"]


# -- ours -------------------------------------------------------------------------------------------------------


class InternalError(DwfError):
    """A promise dwf makes to itself does not hold. Please report it."""

    code = "internal"
    exit_code = 70
