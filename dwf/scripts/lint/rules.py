"""The rules, in one table: what each finds, why that is wrong in a runbook, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """file: a name of Sources.files. line from 1, column from 1. what: a sentence; cure: what to write instead."""

    code: str
    file: str
    line: int
    column: int
    what: str
    cure: str


@dataclass(frozen=True)
class Rule:
    """title: in a few words. why: for `--explain`, with an example of what is wrong and of what is right."""

    title: str
    why: str
    wrong: str
    right: str


_AGAIN = """A workflow is run again from its beginning over its history whenever it is taken up. What it decides must
come out the same each time, so it may depend on nothing but what it was given and what is recorded."""

RULES: dict[str, Rule] = {
    "DWF101": Rule(
        "the clock of the machine",
        f"{_AGAIN} The clock says something else each time; dwf.now() is when the last thing happened.",
        "if time.time() > limit: ...",
        "if dwf.now().timestamp() > limit: ...",
    ),
    "DWF102": Rule(
        "chance",
        f"{_AGAIN} dwf.random() and dwf.uuid4() are drawn from the id of the run: the same in every replay.",
        "host = random.choice(hosts)",
        "host = dwf.random().choice(hosts)",
    ),
    "DWF103": Rule(
        "the environment of the process",
        f"{_AGAIN} cron, a terminal and a worker have other variables and directories.",
        'region = os.environ["REGION"]',
        "async def rollout(region: str): ...   # dwf start rollout.py region=$REGION",
    ),
    "DWF104": Rule(
        "files, and what else the system keeps",
        f"{_AGAIN} A file may have changed by then. What a step has read is recorded.",
        "hosts = open(path).read().split()",
        "hosts = await read_hosts(path)        # @dwf.activity def read_hosts(path: str) -> list[str]",
    ),
    "DWF105": Rule(
        "the network",
        f"{_AGAIN} A request would be made in each replay, and nothing would be known of it after a crash.",
        "requests.post(url, json=plan)",
        "await announce(url, plan)             # @dwf.activity",
    ),
    "DWF106": Rule(
        "other processes",
        f"{_AGAIN} A command would be run in each replay; as a step it is run once, with time limits and retries.",
        'subprocess.run(["systemctl", "reload", "nginx"])',
        'await dwf.sh("systemctl", "reload", "nginx", timeout="30s")',
    ),
    "DWF107": Rule(
        "threads",
        f"{_AGAIN} Threads do not take turns in an order that a replay could repeat.",
        "await asyncio.to_thread(drain, host)",
        "await asyncio.gather(*[drain(host) for host in hosts])",
    ),
    "DWF108": Rule(
        "a call that blocks",
        "While workflow code waits by itself nothing else of the run moves, and the wait is not durable: after a reboot"
        " it would begin anew. dwf.sleep() needs no process while it waits.",
        "time.sleep(600)",
        'await dwf.sleep("10m")',
    ),
    "DWF201": Rule(
        "the order of a set",
        f"{_AGAIN} The order of a set of text is another one in every process.",
        "for host in {a.host, b.host}: await drain(host)",
        "for host in sorted({a.host, b.host}): await drain(host)",
    ),
    "DWF202": Rule(
        "state that outlives a replay",
        "Runs of one script share its modules while they are in one process, and share nothing when they are not. What"
        " a workflow keeps at the top of a module is somebody else's, or lost.",
        "DONE.append(host)",
        "done = []   # in the workflow\ndone.append(host)",
    ),
    "DWF301": Rule(
        "never awaited",
        "Calling it makes something that can be awaited, and does nothing else: the step is not made. It may be kept"
        " in a name and awaited later, or be handed to asyncio.gather(); it has no result before it is awaited.",
        "drain(host)",
        "await drain(host)",
    ),
    "DWF302": Rule(
        "an except that takes cancellation",
        "`dwf cancel` and time limits reach a workflow as asyncio.CancelledError, a BaseException. Whoever catches that"
        " and goes on cannot be cancelled. `finally:` or dwf.cleanup() is where to clean up.",
        "try: await drain(host)\nexcept: ...",
        "try: await drain(host)\nexcept dwf.ActivityError: ...",
    ),
    "DWF303": Rule(
        "an except that takes mistakes for failures",
        "A mistake in the script (a NameError, say) blocks the run until it is mended. Caught as Exception it"
        " looks like a step that failed, and starts a cleanup that nothing called for. Raise it again, or name"
        " what is meant.",
        "except Exception: await undo(host)",
        "except dwf.ActivityError: await undo(host)",
    ),
    "DWF304": Rule(
        "a loop that never waits",
        "Nothing that happens outside reaches a workflow before it awaits: the loop would never see it change. After 10"
        " seconds it is cut off, and the run is blocked. What computes in C (a sum over a huge range, a pattern that"
        " takes for ever) cannot be: after 120 seconds of processor time the process ends with all that is in it,"
        " and after five such deaths the run is set aside.",
        "while not ready: pass",
        "await dwf.wait_until(lambda: ready)",
    ),
    "DWF401": Rule(
        "a type that cannot be stored",
        "What workflows and steps are given and return is recorded as JSON. Numbers, text, lists, dicts, dataclasses,"
        " enums, dates, Path, bytes and the like can be; what is bound to a process cannot.",
        "def connect(host: str) -> socket.socket: ...",
        "def probe(host: str) -> bool: ...",
    ),
}
