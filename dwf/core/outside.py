"""What of a run somebody outside holds the other end of: updates that it answers, callbacks that it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

from dwf.core import events as ev


@dataclass
class Updates:
    """open: accepted and not answered, by event id. by_key: the first that was accepted with a key."""

    open: dict[int, ev.UpdateAccepted] = field(default_factory=dict)
    by_key: dict[str, ev.UpdateAccepted] = field(default_factory=dict)

    def accept(self, event: ev.UpdateAccepted) -> None:
        self.open[event.id] = event
        if event.key:
            self.by_key.setdefault(event.key, event)

    def end(self, event: ev.UpdateCompleted | ev.UpdateFailed) -> None:
        self.open.pop(event.update, None)
