"""Edits of a runbook while a run of it is open: what they are, and what becomes of the run.

Each is a workflow's body before and after. A line marked `#!` is where the edited script parts from the history;
without one the edit is harmless. The run is driven with the old script until it waits for what nobody sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PRELUDE = """\
import asyncio, dataclasses, enum, json
import dwf
import parts

WAVES = 2

@dwf.activity
def drain(host: str, hard: bool = False) -> int:
    return 3

@dwf.activity
def cordon(host: str) -> int:
    return 4

@dwf.activity
def broken() -> None:
    raise dwf.Failure("no such host")

@dwf.workflow
async def other(host: str = "db1") -> str:
    await dwf.wait_signal("never")
    return host

async def both(host):
    await drain(host)
    await cordon(host)

@dwf.workflow
async def main(host: str = "web1", n: int = 3):
"""
PARTS = """\
import dwf

@dwf.activity
def probe(host: str) -> bool:
    return True

async def looked(host):
    return await probe(host)
"""
STOP = 'await dwf.wait_signal("stop")'


@dataclass(frozen=True)
class Change:
    """name: what was edited. old, new: bodies of `main`. signals: sent before the edit, in this order.

    prelude: the top after the edit, if that was edited; parts: the module beside it likewise. adds: so many commands
    are new at the end. cured: a snippet with dwf.patched() must be found (of a breaking one).
    """

    name: str
    old: str
    new: str
    signals: tuple[str, ...] = ()
    prelude: str = PRELUDE
    parts: str = PARTS
    adds: int = 0
    cured: bool = True
    approve: bool = False
    fit: str = field(default="")

    @property
    def verdict(self) -> str:
        """safe, diverges or breaks."""
        marked = "#!" in self.new + self.prelude + self.parts
        return self.fit or ("diverges" if marked else "safe")


def _with(old: str, new: str, text: str = PRELUDE) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def _body(*lines: str) -> str:
    return "".join(f"    {line}\n" for line in lines)


TWO = _body("await drain(host)", "await cordon(host)", STOP)
LOOP = _body("for i in range(n):", "    await drain(f'{host}-{i}')", STOP)
WAIT = _body("left = await drain(host)", "await dwf.sleep('1h')", STOP)
ASKS = _body("await drain(host)", "await dwf.approve('Switch?', show={'host': host})", STOP)
GATHER = _body("await asyncio.gather(drain('a'), cordon('b'))", STOP)
BRANCH = _body(
    "left = await drain(host)", "if left > 2:", "    await cordon(host)", "else:", "    await drain('x')", STOP
)
TRY = _body("try:", "    await broken()", "except dwf.ActivityError:", "    await cordon(host)", STOP)
CHILD = _body("child = dwf.start_child(other, 'db1')", STOP)
SHELL = _body("await dwf.sh('true', host, timeout='30s')", STOP)
SIGNAL = _body("await dwf.wait_signal('go')", "await drain(host)", STOP)
LOCAL = _body("await both(host)", STOP)
MODULE = _body("await parts.looked(host)", STOP)

HARMLESS = [
    Change("nothing", TWO, TWO),
    Change("a comment", TWO, "    # first\n\n" + TWO),
    Change("a renamed variable", WAIT, WAIT.replace("left", "rest")),
    Change("a print", TWO, _body("print('begin', host)", "await drain(host)", "await cordon(host)", STOP)),
    Change("a log line", TWO, _body("dwf.log.info('begin %s', host)", "await drain(host)", "await cordon(host)", STOP)),
    Change("a type annotation", WAIT, WAIT.replace("left =", "left: int =")),
    Change("a time limit", SHELL, SHELL.replace("'30s'", "'5m'")),
    Change(
        "a time limit of an activity",
        TWO,
        TWO,
        prelude=_with("@dwf.activity\ndef drain", "@dwf.activity(start_to_close='30s')\ndef drain"),
    ),
    Change(
        "a retry policy",
        TWO,
        TWO,
        prelude=_with("@dwf.activity\ndef drain", "@dwf.activity(retry=dwf.Retry(max_attempts=9))\ndef drain"),
    ),
    Change("options at the call", TWO, TWO.replace("drain(host)", "drain.options(start_to_close='9s')(host)")),
    Change("a title", TWO, TWO.replace("drain(host)", "drain.options(title='empty it')(host)")),
    Change("what an activity does", TWO, TWO, prelude=_with("return 3", "return 33")),
    Change(
        "a default that the run was given",
        TWO,
        TWO,
        prelude=_with('host: str = "web1", n', 'host: str = "web9", n'),
        fit="safe",
    ),
    Change("a step behind where it waits", TWO, TWO + _body("await drain('after')")),
    Change("a step behind what it has done", SIGNAL, SIGNAL.replace("stop", "halt"), ()),
    Change("a branch that was not taken", BRANCH, BRANCH.replace("drain('x')", "cordon('y')")),
    Change("a condition that comes to the same", BRANCH, BRANCH.replace("left > 2", "left >= 3")),
    Change(
        "an except that was not entered",
        _body("try:", "    await drain(host)", "except dwf.ActivityError:", "    await cordon(host)", STOP),
        _body("try:", "    await drain(host)", "except dwf.ActivityError:", "    await drain('again')", STOP),
    ),
    Change(
        "a try around a step",
        TWO,
        _body("try:", "    await drain(host)", "finally:", "    pass", "await cordon(host)", STOP),
    ),
    Change("a helper moved into the workflow", LOCAL, TWO),
    Change("steps moved into a helper", TWO, LOCAL),
    Change(
        "a helper in another module",
        MODULE,
        MODULE,
        parts=PARTS.replace("return await probe(host)", "found = await probe(host)\n    return found"),
    ),
    Change("a step that was taken out of a module", MODULE, _body("await parts.probe(host)", STOP)),
    Change(
        "a loop written otherwise",
        LOOP,
        _body("hosts = [f'{host}-{i}' for i in range(n)]", "for one in hosts:", "    await drain(one)", STOP),
    ),
    Change(
        "dwf.patched around a change",
        TWO,
        _body(
            "if dwf.patched('soft'):",
            "    await cordon('new')",
            "else:",
            "    await drain(host)",
            "await cordon(host)",
            STOP,
        ),
    ),
    Change(
        "dwf.patched around more",
        TWO,
        _body(
            "await drain(host)", "if dwf.patched('look'):", "    await parts.probe(host)", "await cordon(host)", STOP
        ),
    ),
    Change("a query", TWO, _body("dwf.on_query('how', lambda: 1)", "await drain(host)", "await cordon(host)", STOP)),
    Change("arithmetic on its time", TWO, _body("begun = dwf.now()", "await drain(host)", "await cordon(host)", STOP)),
    Change(
        "a comprehension",
        GATHER,
        _body("await asyncio.gather(*[step(x) for step, x in ((drain, 'a'), (cordon, 'b'))])", STOP),
    ),
    Change(
        "a task group for a gather",
        GATHER,
        _body(
            "async with asyncio.TaskGroup() as group:",
            "    group.create_task(drain('a'))",
            "    group.create_task(cordon('b'))",
            STOP,
        ),
    ),
    Change("a parameter with a default", TWO, TWO, prelude=_with("n: int = 3):", "n: int = 3, soft: bool = True):")),
    Change(
        "a purpose of a timer",
        _body("await dwf.sleep('1h', 'soak')", STOP),
        _body("await dwf.sleep('1h', 'let it settle')", STOP),
    ),
    Change(
        "an order of keys",
        ASKS.replace("{'host': host}", "{'host': host, 'n': n}"),
        ASKS.replace("{'host': host}", "{'n': n, 'host': host}"),
    ),
    Change("how long a question waits", ASKS, ASKS.replace("show=", "timeout='9h', show=")),
    Change(
        "a set made a list in order",
        _body("for one in sorted({'a', 'b'}):", "    await drain(one)", STOP),
        _body("for one in ['a', 'b']:", "    await drain(one)", STOP),
    ),
    Change("a time limit for what is waited for", SIGNAL, SIGNAL.replace("'go'", "'go', timeout='9h'"), adds=1),
    Change(
        "a status where it waits",
        GATHER,
        GATHER.replace(STOP, "await asyncio.gather(" + STOP[6:] + ", said())"),
        prelude=_with("async def both", "async def said():\n    dwf.status('waits')\n\nasync def both"),
        adds=1,
    ),
    Change(
        "a step behind a signal that is not there yet",
        SIGNAL,
        SIGNAL.replace("await drain(host)", "await cordon(host)"),
        (),
    ),
]

BREAKING = [
    Change("two steps change places", TWO, _body("await cordon(host)  #!", "await drain(host)", STOP)),
    Change("another step", TWO, _body("await cordon(host)  #!", "await cordon(host)", STOP)),
    Change(
        "a renamed activity",
        TWO,
        _body("await empty(host)  #!", "await cordon(host)", STOP),
        prelude=_with("def drain(host: str, hard: bool = False)", "def empty(host: str, hard: bool = False)").replace(
            "await drain", "await empty"
        ),
        cured=False,
    ),
    Change("another argument", TWO, _body("await drain('web2')  #!", "await cordon(host)", STOP)),
    Change("one more argument", TWO, _body("await drain(host, hard=True)  #!", "await cordon(host)", STOP)),
    Change(
        "a step before all others",
        TWO,
        _body("await parts.probe(host)  #!", "await drain(host)", "await cordon(host)", STOP),
    ),
    Change(
        "a step in between", TWO, _body("await drain(host)", "await parts.probe(host)  #!", "await cordon(host)", STOP)
    ),
    Change("a step taken out", TWO, _body("await cordon(host)  #!", STOP)),
    Change("the last step taken out", TWO, _body("await drain(host)", STOP + "  #!")),
    Change("a wait", TWO, _body("await drain(host)", "await dwf.sleep('1m')  #!", "await cordon(host)", STOP)),
    Change(
        "a wait before the signal",
        SIGNAL,
        _body("await dwf.sleep('1m')  #!", "await dwf.wait_signal('go')", "await drain(host)", STOP),
    ),
    Change("a timer taken out", WAIT, _body("left = await drain(host)", STOP + "  #!")),
    Change("how long it waits", WAIT, _body("left = await drain(host)", "await dwf.sleep('2h')  #!", STOP)),
    Change("another signal", SIGNAL, _body("await dwf.wait_signal('begin')  #!", "await drain(host)", STOP)),
    Change("no wait for the signal", SIGNAL, _body("await drain(host)  #!", STOP)),
    Change("no wait for a signal that came", SIGNAL, _body("await drain(host)  #!", STOP), ("go",)),
    Change(
        "a condition",
        BRANCH,
        _body(
            "left = await drain(host)",
            "if left > 9:",
            "    await cordon(host)",
            "else:",
            "    await drain('x')  #!",
            STOP,
        ),
    ),
    Change(
        "the branch that was taken",
        BRANCH,
        _body(
            "left = await drain(host)",
            "if left > 2:",
            "    await drain('y')  #!",
            "else:",
            "    await drain('x')",
            STOP,
        ),
    ),
    Change("fewer rounds", LOOP, _body("for i in range(n - 1):", "    await drain(f'{host}-{i}')", STOP + "  #!")),
    Change("more rounds", LOOP, _body("for i in range(n + 1):", "    await drain(f'{host}-{i}')  #!", STOP)),
    Change("rounds from one", LOOP, _body("for i in range(1, n + 1):", "    await drain(f'{host}-{i}')  #!", STOP)),
    Change("rounds backwards", LOOP, _body("for i in reversed(range(n)):", "    await drain(f'{host}-{i}')  #!", STOP)),
    Change(
        "a constant of the module",
        _body("for i in range(WAVES):", "    await drain(f'{host}-{i}')", STOP),
        _body("for i in range(WAVES):", "    await drain(f'{host}-{i}')  #!", STOP),
        prelude=_with("WAVES = 2", "WAVES = 3"),
        cured=False,
    ),
    Change("a default of an activity", TWO, TWO, prelude=_with("hard: bool = False", "hard: bool = True"), fit="safe"),
    Change(
        "the text of a question",
        ASKS,
        _body("await drain(host)", "await dwf.approve('Really?', show={'host': host})  #!", STOP),
    ),
    Change(
        "what a question shows",
        ASKS,
        _body("await drain(host)", "await dwf.approve('Switch?', show={'host': 'x'})  #!", STOP),
    ),
    Change(
        "who may answer",
        ASKS,
        _body("await drain(host)", "await dwf.approve('Switch?', by='@ops', show={'host': host})  #!", STOP),
    ),
    Change("a question taken out after the yes", ASKS, _body("await drain(host)", STOP + "  #!"), approve=True),
    Change(
        "a question more",
        TWO,
        _body("await drain(host)", "await dwf.approve('Go on?')  #!", "await cordon(host)", STOP),
    ),
    Change(
        "at once what was one after the other",
        TWO,
        _body("await asyncio.gather(drain(host), cordon(host))  #!", STOP),
    ),
    Change(
        "begun early what was begun later",
        TWO,
        _body(
            "drained, cordoned = (asyncio.ensure_future(one(host)) for one in (drain, cordon))",
            "await drained  #!",
            "await cordoned",
            STOP,
        ),
    ),
    Change("the order in a gather", GATHER, _body("await asyncio.gather(cordon('b'), drain('a'))  #!", STOP)),
    Change(
        "one more in a gather",
        GATHER,
        _body("await asyncio.gather(drain('a'), cordon('b'), parts.probe('c'))  #!", STOP),
    ),
    Change("one after the other", GATHER, _body("await drain('a')  #!", "await cordon('b')", STOP)),
    Change("what a child is given", CHILD, _body("child = dwf.start_child(other, 'db2')  #!", STOP)),
    Change("another child", CHILD, _body("child = dwf.start_child(main, 'db1')  #!", STOP)),
    Change("a child made a step", CHILD, _body("await drain('db1')  #!", STOP)),
    Change("words of a command", SHELL, _body("await dwf.sh('true', host, 'now', timeout='30s')  #!", STOP)),
    Change("a step made a command", TWO, _body("await dwf.sh('drain', host)  #!", "await cordon(host)", STOP)),
    Change("a status", TWO, _body("await drain(host)", "dwf.status('half way')  #!", "await cordon(host)", STOP)),
    Change("a tag", TWO, _body("dwf.tag(env='prod')  #!", "await drain(host)", "await cordon(host)", STOP)),
    Change(
        "an except that was entered",
        TRY,
        _body("try:", "    await broken()", "except dwf.ActivityError:", "    await drain(host)  #!", STOP),
    ),
    Change("no try any more", TRY, _body("await broken()  #!", STOP), fit="diverges"),
    Change(
        "a try with a step of its own",
        TWO,
        _body("try:", "    await drain(host)", "finally:", "    await drain('x')  #!", "await cordon(host)", STOP),
    ),
    Change(
        "a helper",
        LOCAL,
        LOCAL,
        prelude=_with(
            "    await drain(host)\n    await cordon(host)\n", "    await cordon(host)  #!\n    await drain(host)\n"
        ),
    ),
    Change(
        "a helper in another module",
        MODULE,
        MODULE,
        parts=PARTS.replace("return await probe(host)", "await probe('x')  #!\n    return await probe(host)"),
    ),
    Change(
        "dwf.patched around too little",
        TWO,
        _body("if dwf.patched('soft'):", "    await parts.probe(host)", "await cordon(host)  #!", STOP),
    ),
    Change(
        "dwf.patched with old and new exchanged",
        TWO,
        _body(
            "if dwf.patched('soft'):",
            "    await drain(host)",
            "else:",
            "    await parts.probe(host)  #!",
            "await cordon(host)",
            STOP,
        ),
    ),
    Change(
        "a value computed once",
        TWO,
        _body("token = dwf.once(lambda: 7)  #!", "await drain(host)", "await cordon(host)", STOP),
    ),
    Change("a return in front", TWO, _body("return 0  #!", "await drain(host)"), fit="diverges"),
    Change(
        "a list in another order",
        _body("for one in ['a', 'b']:", "    await drain(one)", STOP),
        _body("for one in ['b', 'a']:", "    await drain(one)  #!", STOP),
    ),
    Change(
        "a random number more",
        _body("await drain(str(dwf.random().random()))", STOP),
        _body("dwf.random().random()", "await drain(str(dwf.random().random()))  #!", STOP),
    ),
    Change("an argument by its name", TWO, TWO.replace("drain(host)", "drain(host=host)  #!")),
    Change("a default given as it is", TWO, TWO.replace("drain(host)", "drain(host, hard=False)  #!")),
]

BUGS = [
    Change("a name that is not there", TWO, _body("await drian(host)  #!", "await cordon(host)", STOP), fit="breaks"),
    Change(
        "a bug where the step failed",
        TRY,
        _body("try:", "    await broken()", "except dwf.ActivityError:", "    {}['x']  #!", STOP),
        fit="breaks",
    ),
    Change(
        "a parameter renamed",
        TWO,
        TWO.replace("host", "name"),
        prelude=_with("main(host: str", "main(name: str"),
        fit="breaks",
    ),
    Change(
        "a parameter of another type",
        TWO,
        TWO,
        prelude=_with("main(host: str", "main(host: int").replace('host: int = "web1"', "host: int = 1"),
        fit="breaks",
    ),
    Change(
        "the clock of the machine",
        TWO,
        _body("import time", "time.time()  #!", "await drain(host)", "await cordon(host)", STOP),
        fit="breaks",
    ),
]

CHANGES = [*HARMLESS, *BREAKING, *BUGS]
