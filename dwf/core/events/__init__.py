"""The events of a history: facts, past tense, one JSON object a line.

Every event has one of five roles, and replay is five short rules instead of a branch per kind:

    LIFECYCLE  begins or ends the run
    OPENING    a command of the script, recorded; must equal the script's next command; wakes nobody
    CLOSING    ends one command; resolves its future
    INPUT      comes from outside; delivered to the script
    PROGRESS   news for people and for the engine; the script never sees it

An opening event without `id` and `ts` *is* the command: what the script asks for, before it is on disk.
Names and fields are persisted: they are added to, never renamed or renumbered. An absent field has its default.
"""

from __future__ import annotations

from dwf.core.events.base import FORMAT as FORMAT
from dwf.core.events.base import Event as Event
from dwf.core.events.base import Role as Role
from dwf.core.events.closings import NEVER_BEGAN as NEVER_BEGAN
from dwf.core.events.closings import ActivityCancelled as ActivityCancelled
from dwf.core.events.closings import ActivityCompleted as ActivityCompleted
from dwf.core.events.closings import ActivityFailed as ActivityFailed
from dwf.core.events.closings import ActivityTimedOut as ActivityTimedOut
from dwf.core.events.closings import ApprovalResolved as ApprovalResolved
from dwf.core.events.closings import CallbackCompleted as CallbackCompleted
from dwf.core.events.closings import CallbackFailed as CallbackFailed
from dwf.core.events.closings import CallbackTimedOut as CallbackTimedOut
from dwf.core.events.closings import ChildWorkflowCancelled as ChildWorkflowCancelled
from dwf.core.events.closings import ChildWorkflowCompleted as ChildWorkflowCompleted
from dwf.core.events.closings import ChildWorkflowFailed as ChildWorkflowFailed
from dwf.core.events.closings import Closing as Closing
from dwf.core.events.closings import MessageRefused as MessageRefused
from dwf.core.events.closings import MessageSent as MessageSent
from dwf.core.events.closings import TimerFired as TimerFired
from dwf.core.events.inputs import CancelRequested as CancelRequested
from dwf.core.events.inputs import DeadlinePassed as DeadlinePassed
from dwf.core.events.inputs import Input as Input
from dwf.core.events.inputs import SignalReceived as SignalReceived
from dwf.core.events.inputs import UpdateAccepted as UpdateAccepted
from dwf.core.events.lifecycle import Lifecycle as Lifecycle
from dwf.core.events.lifecycle import WorkflowCancelled as WorkflowCancelled
from dwf.core.events.lifecycle import WorkflowCompleted as WorkflowCompleted
from dwf.core.events.lifecycle import WorkflowContinuedAsNew as WorkflowContinuedAsNew
from dwf.core.events.lifecycle import WorkflowFailed as WorkflowFailed
from dwf.core.events.lifecycle import WorkflowStarted as WorkflowStarted
from dwf.core.events.lifecycle import WorkflowTerminated as WorkflowTerminated
from dwf.core.events.lifecycle import WorkflowTimedOut as WorkflowTimedOut
from dwf.core.events.locks import LockAcquired as LockAcquired
from dwf.core.events.locks import LockReleased as LockReleased
from dwf.core.events.locks import LockRequested as LockRequested
from dwf.core.events.openings import ActivityCancelRequested as ActivityCancelRequested
from dwf.core.events.openings import ActivityScheduled as ActivityScheduled
from dwf.core.events.openings import ApprovalRequested as ApprovalRequested
from dwf.core.events.openings import ApprovalWithdrawn as ApprovalWithdrawn
from dwf.core.events.openings import CallbackOpened as CallbackOpened
from dwf.core.events.openings import CallbackWithdrawn as CallbackWithdrawn
from dwf.core.events.openings import ChildWorkflowRequested as ChildWorkflowRequested
from dwf.core.events.openings import MemoChanged as MemoChanged
from dwf.core.events.openings import MessageRequested as MessageRequested
from dwf.core.events.openings import Opening as Opening
from dwf.core.events.openings import RunDegraded as RunDegraded
from dwf.core.events.openings import SideEffectRecorded as SideEffectRecorded
from dwf.core.events.openings import SignalsTaken as SignalsTaken
from dwf.core.events.openings import SignalWaitClosed as SignalWaitClosed
from dwf.core.events.openings import SignalWaitOpened as SignalWaitOpened
from dwf.core.events.openings import StatusChanged as StatusChanged
from dwf.core.events.openings import TagsChanged as TagsChanged
from dwf.core.events.openings import TimerCancelled as TimerCancelled
from dwf.core.events.openings import TimerStarted as TimerStarted
from dwf.core.events.openings import UpdateCompleted as UpdateCompleted
from dwf.core.events.openings import UpdateFailed as UpdateFailed
from dwf.core.events.openings import VersionMarkerRecorded as VersionMarkerRecorded
from dwf.core.events.progress import ActivityAttemptFailed as ActivityAttemptFailed
from dwf.core.events.progress import ActivityOptionsChanged as ActivityOptionsChanged
from dwf.core.events.progress import ActivityOverruled as ActivityOverruled
from dwf.core.events.progress import ActivityPaused as ActivityPaused
from dwf.core.events.progress import ActivityReset as ActivityReset
from dwf.core.events.progress import ActivityRetryRequested as ActivityRetryRequested
from dwf.core.events.progress import ActivityStarted as ActivityStarted
from dwf.core.events.progress import ActivityUnknown as ActivityUnknown
from dwf.core.events.progress import ActivityUnpaused as ActivityUnpaused
from dwf.core.events.progress import ApprovalAnswered as ApprovalAnswered
from dwf.core.events.progress import CallbackHeartbeat as CallbackHeartbeat
from dwf.core.events.progress import CodeRefused as CodeRefused
from dwf.core.events.progress import CodeUpgraded as CodeUpgraded
from dwf.core.events.progress import HandlersRegistered as HandlersRegistered
from dwf.core.events.progress import HistoryRepaired as HistoryRepaired
from dwf.core.events.progress import LineLeftOut as LineLeftOut
from dwf.core.events.progress import Progress as Progress
from dwf.core.events.progress import RunAdopted as RunAdopted
from dwf.core.events.progress import RunBlocked as RunBlocked
from dwf.core.events.progress import RunImported as RunImported
from dwf.core.events.progress import RunMoved as RunMoved
from dwf.core.events.progress import RunPaused as RunPaused
from dwf.core.events.progress import RunResumed as RunResumed
from dwf.core.events.progress import RunUnblocked as RunUnblocked
from dwf.core.events.progress import TimerMoved as TimerMoved
from dwf.core.events.scopes import CompensationStarted as CompensationStarted
from dwf.core.events.scopes import FanOutStarted as FanOutStarted
from dwf.core.events.scopes import ItemCarried as ItemCarried
from dwf.core.events.scopes import UndoRecorded as UndoRecorded
from dwf.core.events.scopes import UndoSettled as UndoSettled
from dwf.core.parts import NOTHING as NOTHING
from dwf.core.parts import CodeFrom as CodeFrom
from dwf.core.parts import Decision as Decision
from dwf.core.parts import ErrorInfo as ErrorInfo
from dwf.core.parts import Flow as Flow
from dwf.core.parts import Identity as Identity
from dwf.core.parts import Origin as Origin
from dwf.core.parts import Output as Output
from dwf.core.parts import Payload as Payload
from dwf.core.parts import RetryPolicy as RetryPolicy

TERMINAL = (WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowTerminated, WorkflowTimedOut)


def _leaves(cls: type[Event]) -> list[type[Event]]:
    return [leaf for child in cls.__subclasses__() for leaf in _leaves(child)] or [cls]


EVENT_TYPES: dict[str, type[Event]] = {
    leaf.__name__: leaf for family in (Lifecycle, Opening, Closing, Input, Progress) for leaf in _leaves(family)
}
