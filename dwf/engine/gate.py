"""The gate: whether a step may begin now, by the limits that it shares with steps of other runs.

All lines that a step needs are locked together, in the order of their names, and it gets a place in all of them or in
none. Who gets none stands in the lines that are full, without a process: his run rests. The first of a line is due, by
the time at which a rate has room, or at the next look for a slot; the others wait until he has had his turn, and are
woken then. A dead holder's slot is freed by the kernel, and found free by whoever is the first.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress

from dwf.core.duration import SECOND, unstamp
from dwf.core.flow import HIGHEST, Bound, bounds_of, queue_of
from dwf.core.state import OpenStep, RunState
from dwf.engine.context import Engine
from dwf.engine.runs import load
from dwf.engine.summary import HeldUp
from dwf.errors import DiskError, DwfError, NotFound
from dwf.host import Process
from dwf.store.lines import Line, Ticket
from dwf.store.room import Store
from dwf.store.slots import Slot, Starts

_LOOK_US = 1 * SECOND


class Pass:
    """What an attempt holds while it runs."""

    def __init__(self, gate: Gate, slots: dict[str, Slot], places: dict[str, tuple[Bound, int]]) -> None:
        self._gate, self._slots, self._places = gate, slots, places

    def sign(self, process: Process) -> None:
        for slot in self._slots.values():
            slot.sign(process)

    def begins(self) -> None:
        """It begins in this moment: the spans of its rates count from now."""
        for name, (bound, place) in self._places.items():
            self._gate.restart(name, bound, place)

    def end(self, *, goes_on: bool = False) -> None:
        """It is over, or (`goes_on`) a process has it on."""
        for slot in self._slots.values():
            if goes_on:
                slot.keep()
            else:
                slot.release()
        if not goes_on:
            # The attempt has ended, whatever the disk says; the first of a line looks again by himself.
            with suppress(DwfError):
                self._gate.wake_first(self._slots)


class Undone:
    """Slots that are given back if not all that is needed could be had."""

    def __init__(self) -> None:
        self.slots: dict[str, Slot] = {}

    def __enter__(self) -> Undone:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for slot in self.slots.values() if kind is not None else ():
            slot.release()


class Gate:
    """The steps of one run at their limits, while it is driven.

    held_up: those that could not begin when they were last asked for, by command.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._store, self._slots = engine, engine.store, engine.store.limits
        self.held_up: dict[int, HeldUp] = {}
        self._full: dict[str, HeldUp] = {}
        self._since: dict[str, int] = {}
        self._in_line: set[str] = set()
        self._tidied = False

    # -- questions ----------------------------------------------------------------------------------------------

    def bounds(self, step: OpenStep) -> dict[str, Bound]:
        """What counts for a step, by name; the operator's numbers win. Names that bound nothing are left out."""
        found = bounds_of(step.scheduled.flow)
        ours = self._engine.overrides()
        return {name: bound for name in sorted(found) if any(bound := ours.get(name, found[name]))}

    def is_plain(self, step: OpenStep) -> bool:
        """Whether nothing holds it up, whatever others do."""
        if step.scheduled.flow is None and not self._engine.overrides() and not self._engine.queues:
            return True
        return not self.bounds(step) and self.is_ours(step)

    def is_ours(self, step: OpenStep) -> bool:
        """Whether this tick begins steps of its queue."""
        queues = self._engine.queues
        return not queues or queue_of(step.scheduled.flow) in queues

    def reasons(self) -> list[HeldUp]:
        """Why steps do not begin, each once."""
        return list(dict.fromkeys(self.held_up.values()))

    def next_due_us(self, state: RunState) -> int | None:
        """When time alone gives the run something to do, these included; None if it does not."""
        due = [held.due_us for held in self.held_up.values() if held.due_us is not None]
        ours = state.next_due_us()
        return min([*due, ours] if ours is not None else due, default=None)

    # -- going through ------------------------------------------------------------------------------------------

    def open(self, state: RunState) -> None:
        """Begin to ask for steps. What was stood in line for and is not wanted any more is given up."""
        self.held_up, self._full = {}, {}
        names = self._names(state)
        if not names or not self._slots.exist():
            return
        if not self._tidied:
            self._tidied = True
            self._in_line = names
        waiting = [step for step in state.steps.values() if step.is_free]
        wanted = {name for step in waiting for name in bounds_of(step.scheduled.flow)}
        for name in self._in_line - wanted:
            self._withdraw(name, state.head.nonce)
        self._in_line &= wanted

    def enter(self, step: OpenStep, state: RunState) -> Pass | None:
        """A pass for its next attempt; None: it is held up."""
        if not self.is_ours(step):
            queue = queue_of(step.scheduled.flow)
            self.held_up[step.command] = HeldUp(f"a tick of queue {queue}", None, elsewhere=True)
            return None
        bounds = self.bounds(step)
        full = next((self._full[name] for name in bounds if name in self._full), None)
        if full is None and bounds:
            return self._asked(step, state, bounds)
        if full is not None:
            self.held_up[step.command] = full
            return None
        return Pass(self, {}, {})

    def _asked(self, step: OpenStep, state: RunState, bounds: dict[str, Bound]) -> Pass | None:
        with ExitStack() as stack:
            at = {name: _At(self, name, bound, stack, step, state) for name, bound in bounds.items()}
            held = {name: held for name, one in at.items() if (held := one.held_up()) is not None}
            if held:
                self._stand_in_line(at, held)
                self._full.update(held)
                first = next(iter(held.values()))
                due = [one.due_us for one in held.values() if one.due_us is not None]
                self.held_up[step.command] = HeldUp(
                    first.words, max(due, default=None) if len(due) == len(held) else None
                )
                return None
            return self._taken(at, stack.enter_context(Undone()))

    def _taken(self, at: dict[str, _At], undone: Undone) -> Pass:
        for name, one in at.items():
            if one.bound.at_once:
                undone.slots[name] = one.take()
        places = {name: (one.bound, one.start()) for name, one in at.items() if one.bound.rate}
        for name, one in at.items():
            one.leave()
            self._in_line.discard(name)
            self._since[name] = self._engine.clock()
        return Pass(self, undone.slots, places)

    def _stand_in_line(self, at: dict[str, _At], held: dict[str, HeldUp]) -> None:
        for name, one in at.items():
            if name in held:
                one.stand()
                self._in_line.add(name)
            else:
                one.leave()
                self._in_line.discard(name)

    def resume(self, step: OpenStep, state: RunState) -> Pass:
        """The pass of an attempt that an earlier dwf has begun and that goes on."""
        slots = {}
        for name, bound in self.bounds(step).items():
            if bound.at_once:
                with self._slots.line(name) as line:
                    mine = [t for t in line.tickets() if t.held and t.owner == (state.head.nonce, step.command)]
                    ticket = mine[0] if mine else _ticket(step, state, self._engine.clock())
                    slots[name] = self._slots.again(line, ticket)
        return Pass(self, slots, {})

    def restart(self, name: str, bound: Bound, place: int) -> None:
        """The attempt that was written down there begins only now."""
        with self._slots.line(name) as line:
            starts = Starts(self._store.disk, line, bound.rate, bound.window_us, self._engine.clock())
            try:
                starts.move(place)
            finally:
                starts.close()

    def since(self, name: str, step: OpenStep) -> int:
        """Its place in a line: by when it was asked for, and behind others if this run had its turn meanwhile."""
        return max(unstamp(step.retry_at or step.scheduled.ts), self._since.get(name, 0))

    # -- others -------------------------------------------------------------------------------------------------

    def wake_first(self, names: dict[str, Slot]) -> None:
        """Let the first of each line know that there may be room for him."""
        for name in names:
            wake_first(self._store, name)

    def _withdraw(self, name: str, nonce: str) -> None:
        with self._slots.line(name) as line:
            leave(self._store, line, nonce)

    def leave(self, state: RunState) -> None:
        """The run is over: it stands in no line any more."""
        names = self._names(state)
        for name in names if names and self._slots.exist() else ():
            self._withdraw(name, state.head.nonce)

    def _names(self, state: RunState) -> set[str]:
        """Every name it may have stood in line for."""
        return state.flows | (bounds_of(None).keys() & self._engine.overrides().keys())


class _At:
    """One step at one of its lines, which is locked until the stack is closed."""

    def __init__(self, gate: Gate, name: str, bound: Bound, stack: ExitStack, step: OpenStep, state: RunState) -> None:
        self._gate, self._name, self.bound = gate, name, bound
        self._store, self._slots = gate._store, gate._slots
        self._line: Line = stack.enter_context(self._slots.line(name))
        self._now = gate._engine.clock()
        tickets = self._line.tickets()
        self._mine = [t for t in tickets if not t.held and t.nonce == state.head.nonce]
        self._ticket = min([*self._mine, _ticket(step, state, gate.since(name, step))])
        self._running = [t for t in tickets if t.held and self._slots.is_held(self._line, t)] if bound.at_once else []
        self._ahead = [t for t in tickets if not t.held and t < self._ticket and t.nonce != state.head.nonce]
        self._starts: Starts | None = None
        if bound.rate:
            self._starts = Starts(self._store.disk, self._line, bound.rate, bound.window_us, self._now)
            stack.callback(self._starts.close)

    def held_up(self) -> HeldUp | None:
        """What keeps it from going through here; None if nothing does."""
        if self.bound.at_once and len(self._running) >= self.bound.at_once:
            due = None if self._ahead else self._now + _LOOK_US
            return HeldUp(f"a slot of {self._name} ({self._held_by()})", due)
        if self._starts is not None and not self._starts.free:
            due = None if self._ahead else self._starts.next_us
            return HeldUp(f"{self._name}: {self.bound}", due)
        if self._ahead and self._are_before(self._room()):
            return HeldUp(f"{self._name}, behind {len(self._ahead)} more", None)
        return None

    def _held_by(self) -> str:
        runs = list(dict.fromkeys(t.run for t in self._running))
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        return f"{len(self._running)} of {self.bound.at_once} held by {', '.join(runs[:3])}{more}"

    def _room(self) -> int:
        rooms = [self.bound.at_once - len(self._running)] if self.bound.at_once else []
        rooms += [self._starts.free] if self._starts is not None else []
        return min(rooms)

    def _are_before(self, room: int) -> bool:
        """Whether those before it take all the room there is. Each is looked up: who is gone is in nobody's way."""
        for ticket in self._ahead:
            wants = _wants(self._store, ticket, self._name)
            if wants is None:
                self._line.drop(ticket)
            room -= bool(wants)
            if room <= 0:
                wake(self._store, ticket.run)
                return True
        return False

    def take(self) -> Slot:
        return self._slots.take(self._line, self._ticket)

    def start(self) -> int:
        assert self._starts is not None
        return self._starts.add()

    def stand(self) -> None:
        if self._ticket not in self._mine:
            self._line.put(self._ticket)
            for before in self._mine:
                self._line.drop(before)

    def leave(self) -> None:
        leave(self._store, self._line, self._ticket.nonce)


def priority(step: OpenStep) -> int:
    """Its rank: who is lower goes first."""
    flow = step.scheduled.flow
    return 0 if flow is None else -flow.priority


def _ticket(step: OpenStep, state: RunState, since_us: int) -> Ticket:
    return Ticket(HIGHEST + priority(step), since_us, state.head.nonce, step.command, state.head.run)


def leave(store: Store, line: Line, nonce: str) -> None:
    """Give up the places of a run in a line. Whoever is the first then is woken before that."""
    tickets = [t for t in line.tickets() if not t.held]
    mine = [t for t in tickets if t.nonce == nonce]
    others = [t for t in tickets if t.nonce != nonce]
    if mine and others:
        wake(store, others[0].run)
    for ticket in mine:
        line.drop(ticket)


def wake_first(store: Store, name: str) -> None:
    """Wake the first who waits in a line."""
    # Locked: it is left without a ticket in it, perhaps, and removed then.
    with store.limits.line(name) as line:
        first = next((t for t in line.tickets() if not t.held), None)
        if first is not None:
            wake(store, first.run)


def rouse(store: Store) -> None:
    """Let the first of each line be due. He may have come to be the first by the end of one that told nobody."""
    for name in store.limits.names():
        if any(not ticket.held for ticket in store.limits.look(name)):
            with store.limits.line(name) as line:
                _rouse(store, line, name)


def _rouse(store: Store, line: Line, name: str) -> None:
    for ticket in line.tickets():
        if ticket.held:
            continue
        if _wants(store, ticket, name) is None:
            line.drop(ticket)
            continue
        row = store.index.row(ticket.run)
        if row is not None and row.due_at is None:
            wake(store, ticket.run)
        return


def wake(store: Store, run: str) -> None:
    """Wake it. If that cannot be written now, it is found by the next look."""
    with suppress(DiskError):
        store.index.wake(run)


def _wants(store: Store, ticket: Ticket, name: str) -> bool | None:
    """Whether its run can use a place in that line; None if it does not want one any more."""
    try:
        view = load(store, ticket.run)
    except NotFound:
        return None
    except DwfError:
        return False
    state = view.state
    if state is None or view.problem is not None or state.blocked is not None:
        return False
    if state.head.nonce != ticket.nonce or state.ended is not None:
        return None
    waiting = (step for step in state.steps.values() if step.is_free)
    names = {one for step in waiting for one in bounds_of(step.scheduled.flow)}
    return True if any(store.limits.is_named(one, name) for one in names) else None
