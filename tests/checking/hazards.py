# ruff: noqa: E501 - a program is easier to read in one piece
"""Workflow code that is wrong, each with who sees it: the reader of `dwf check`, the guard when it is run, or both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tests.checking.innocents import TOP


class Seen(StrEnum):
    """By whom."""

    CHECK = "check"
    GUARD = "guard"
    BOTH = "both"


@dataclass(frozen=True)
class Hazard:
    """body: of a workflow. code: of the finding, "" if there is none. line: of the body. top: what is before."""

    name: str
    body: str
    seen: Seen
    code: str = ""
    line: int = 1
    top: str = ""

    @property
    def script(self) -> str:
        lines = "".join(f"    {line}\n" for line in self.body.splitlines())
        return (
            f"{TOP}{self.top}\n@dwf.workflow\nasync def main(host: str = 'web1', path: Path = Path('/etc')):\n{lines}"
        )

    @property
    def at(self) -> int:
        """The line of the script."""
        return len(self.script[: self.script.index("async def main(")].splitlines()) + 1 + self.line


CHECK, GUARD, BOTH = Seen

_CLASS = """class Fleet:
    def __init__(self, host: str):
        self.host = host
    async def all(self):
        return await drain(self.host)
    async def twice(self):
        {twice}
    @staticmethod
    @dwf.activity
    def check(host: str) -> bool:
        return True
"""
FLEET, CALM = _CLASS.format(twice="self.all()"), _CLASS.format(twice="await self.all()")
OTHER = "@dwf.workflow\nasync def other():\n    await dwf.wait_signal('go', timeout=1, default=0)\n"
GIVES = """@dwf.activity
def hosts() -> set[str]:
    return {'a', 'b'}
def some() -> frozenset[str]:
    return frozenset({'a', 'b'})
"""

HAZARDS = [
    Hazard("the time", "return time.time()", BOTH, "DWF101"),
    Hazard("a clock that counts", "return time.monotonic()", BOTH, "DWF101"),
    Hazard("now", "return str(datetime.now())", BOTH, "DWF101"),
    Hazard("now of a module", "import datetime as dt\nreturn str(dt.datetime.now(dt.UTC))", BOTH, "DWF101", 2),
    Hazard("today", "return str(date.today())", BOTH, "DWF101"),
    Hazard("the time as text", "return time.strftime('%Y')", BOTH, "DWF101"),
    Hazard(
        "a helper that asks the clock", "return later()", BOTH, "DWF101", -3, "def later():\n    return time.time()\n"
    ),
    Hazard("a random number", "return random.random()", BOTH, "DWF102"),
    Hazard("a choice", "from random import choice\nreturn choice('ab')", BOTH, "DWF102", 2),
    Hazard("a uuid", "return str(uuid.uuid4())", BOTH, "DWF102"),
    Hazard("a token", "import secrets\nreturn secrets.token_hex(4)", BOTH, "DWF102", 2),
    Hazard("bytes of the system", "return os.urandom(4).hex()", BOTH, "DWF102"),
    Hazard("a generator without a seed", "return random.Random().random()", BOTH, "DWF102"),
    Hazard("the environment", "return os.environ['PATH']", BOTH, "DWF103"),
    Hazard("a variable", "return os.getenv('PATH')", BOTH, "DWF103"),
    Hazard("the directory", "return os.getcwd()", BOTH, "DWF103"),
    Hazard("a file", "return open('/etc/hostname').read()", BOTH, "DWF104"),
    Hazard("a file by its path", "return Path('/etc/hostname').read_text()", BOTH, "DWF104"),
    Hazard("a file that is written", "path.joinpath('no such', 'x').write_text('x')", BOTH, "DWF104"),
    Hazard("whether a file is there", "return path.exists()", BOTH, "DWF104"),
    Hazard("where a path leads", "return str(path.resolve())", BOTH, "DWF104"),
    Hazard("the home", "return str(Path.home())", BOTH, "DWF104"),
    Hazard("a program that is looked for", "import shutil\nreturn shutil.which('ls')", BOTH, "DWF104", 2),
    Hazard(
        "a file of nobody knows what",
        "return unknown().stat().st_size",
        GUARD,
        top="def unknown():\n    return Path('/etc')\n",
    ),
    Hazard("who it is", "import getpass\nreturn getpass.getuser()", BOTH, "DWF103", 2),
    Hazard("what machine it is", "import platform\nreturn platform.node()", BOTH, "DWF103", 2),
    Hazard("the date of a letter", "import email.utils\nreturn email.utils.formatdate()", BOTH, "DWF101", 2),
    Hazard("a pipe that is read", "import sys\nreturn sys.stdin.readline()", BOTH, "DWF108", 2),
    Hazard("an alarm", "import signal\nsignal.alarm(1)", BOTH, "DWF108", 2),
    Hazard("an end of everything", "os._exit(1)", BOTH, "DWF106"),
    Hazard("a wait for a signal", "import signal\nsignal.pause()", BOTH, "DWF108", 2),
    Hazard("a wait for files", "import select\nselect.select([], [], [], 1)", BOTH, "DWF108", 2),
    Hazard("a thread by hand", "import _thread\n_thread.start_new_thread(print, ())", BOTH, "DWF107", 2),
    Hazard("what a directory has", "return os.listdir('/')", BOTH, "DWF104"),
    Hazard("a tree that is removed", "import shutil\nshutil.rmtree('/no/such')", BOTH, "DWF104", 2),
    Hazard("a process id", "return os.getpid()", BOTH, "DWF104"),
    Hazard("a socket", "import socket\nsocket.create_connection(('localhost', 1))", BOTH, "DWF105", 2),
    Hazard("a request", "import urllib.request\nurllib.request.urlopen('http://localhost:1')", BOTH, "DWF105", 2),
    Hazard("a stream", "await asyncio.open_connection('localhost', 1)", BOTH, "DWF105"),
    Hazard("a name that is looked up", "import socket\nreturn socket.gethostbyname('localhost')", BOTH, "DWF105", 2),
    Hazard("a command", "import subprocess\nsubprocess.run(['true'])", BOTH, "DWF106", 2),
    Hazard("a shell", "os.system('true')", BOTH, "DWF106"),
    Hazard("a process of asyncio", "await asyncio.create_subprocess_exec('true')", BOTH, "DWF106"),
    Hazard("a thread", "import threading\nthreading.Thread(target=print).start()", BOTH, "DWF107", 2),
    Hazard("a call in a thread", "await asyncio.to_thread(sum, [1])", BOTH, "DWF107"),
    Hazard(
        "a pool",
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    pool.submit(sum, [1])",
        BOTH,
        "DWF107",
        2,
    ),
    Hazard("an executor", "await asyncio.get_running_loop().run_in_executor(None, sum, [1])", BOTH, "DWF107"),
    Hazard("a sleep that blocks", "time.sleep(0)", BOTH, "DWF108"),
    Hazard("a question at the terminal", "return input()", BOTH, "DWF108"),
    Hazard("a loop over a set", "for one in {'a', 'b'}:\n    await drain(one)", CHECK, "DWF201"),
    Hazard(
        "a list of a set",
        "found = set(['a', 'b']) | {'c'}\nreturn [await drain(one) for one in found]",
        CHECK,
        "DWF201",
        2,
    ),
    Hazard("one of a set", "return await drain({'a', 'b'}.pop())", CHECK, "DWF201"),
    Hazard("a text of a set", "return ','.join({'a', 'b'} - {'c'})", CHECK, "DWF201"),
    Hazard(
        "a gather over a set",
        "hosts = frozenset(('a', 'b'))\nawait asyncio.gather(*map(drain, hosts))",
        CHECK,
        "DWF201",
        2,
    ),
    Hazard(
        "a set of the module", "for one in HOSTS:\n    await drain(one)", CHECK, "DWF201", 1, "HOSTS = {'a', 'b'}\n"
    ),
    Hazard(
        "a text of a set of the module", "return ','.join(HOSTS)", CHECK, "DWF201", 1, "HOSTS = frozenset(['a', 'b'])\n"
    ),
    Hazard("a set of two of the module", "return list(HOSTS)", CHECK, "DWF201", 1, "HOSTS = {'a'} | {'b'}\n"),
    Hazard("a set that a step gives", "for one in await hosts():\n    await drain(one)", CHECK, "DWF201", 1, GIVES),
    Hazard("a set that a step has given", "found = await hosts()\nreturn list(found)", CHECK, "DWF201", 2, GIVES),
    Hazard("a set that a helper gives", "return [one for one in some()]", CHECK, "DWF201", 1, GIVES),
    Hazard(
        "a set that a function gives as a step", "return list(await dwf.step('some', some))", CHECK, "DWF201", 1, GIVES
    ),
    Hazard(
        "a set that a helper is given",
        "return both({'a'})",
        CHECK,
        "DWF201",
        -3,
        "def both(hosts: 'frozenset[str] | None' = None):\n    return list(hosts)\n",
    ),
    Hazard("a generator at the top", "return RNG.random()", CHECK, "DWF102", 1, "RNG = random.Random()\n"),
    Hazard("a seeded generator at the top", "return RNG.choice('ab')", CHECK, "DWF102", 1, "RNG = random.Random(7)\n"),
    Hazard("a generator of the system", "return RNG.random()", CHECK, "DWF102", 1, "RNG = random.SystemRandom()\n"),
    Hazard("a hash of a text", "return hash('x') % 7", CHECK, "DWF102"),
    Hazard("a hash of a parameter", "return hash((1, host)) % 7", CHECK, "DWF102"),
    Hazard("a queue of threads", "import queue\nreturn queue.Queue().get()", BOTH, "DWF108", 2),
    Hazard("an event that is waited for a while", "import threading\nthreading.Event().wait(2)", BOTH, "DWF108", 2),
    Hazard("an event of threads", "import threading\ngo = threading.Event()\ngo.wait()", BOTH, "DWF108", 3),
    Hazard(
        "a lock that is taken",
        "LOCK.acquire()",
        BOTH,
        "DWF108",
        1,
        "import threading\nLOCK = threading.Lock()\nLOCK.acquire()\n",
    ),
    Hazard("a list of the module", "DONE.append(host)", CHECK, "DWF202", 1, "DONE = []\n"),
    Hazard("a counter of the module", "global N\nN += 1", CHECK, "DWF202", 2, "N = 0\n"),
    Hazard(
        "a count that goes on",
        "import itertools\nreturn next(COUNT)",
        CHECK,
        "DWF202",
        2,
        "import itertools\nCOUNT = itertools.count()\n",
    ),
    Hazard("a step that is not awaited", "drain(host)", CHECK, "DWF301"),
    Hazard("a wait that is not awaited", "dwf.sleep('1h')", CHECK, "DWF301"),
    Hazard("a sleep of asyncio that is not awaited", "asyncio.sleep(1)", CHECK, "DWF301"),
    Hazard("a next instance that is not returned", "dwf.continue_as_new(host=host)", CHECK, "DWF301"),
    Hazard("a step that is kept and forgotten", "left = drain(host)", CHECK, "DWF301"),
    Hazard(
        "a helper that is not awaited",
        "both(host)",
        CHECK,
        "DWF301",
        1,
        "async def both(host):\n    await drain(host)\n",
    ),
    Hazard("a method that is not awaited", "await Fleet(host).twice()", CHECK, "DWF301", -7, FLEET),
    Hazard(
        "a method of what a name holds", "fleet = Fleet(host)\nfleet.all()\nawait fleet.all()", CHECK, "DWF301", 2, CALM
    ),
    Hazard(
        "a method of a base",
        "big = Big(host)\nawait big.some()",
        CHECK,
        "DWF301",
        -3,
        f"{CALM}class Big(Fleet):\n    async def some(self):\n        self.all()\n",
    ),
    Hazard("a step that is a method", "Fleet.check(host)", CHECK, "DWF301", 1, CALM),
    Hazard(
        "a step that is a method of an object",
        "fleet = Fleet(host)\nleft = fleet.check(host)",
        CHECK,
        "DWF301",
        2,
        CALM,
    ),
    Hazard(
        "a step of a saga",
        "async with dwf.saga() as saga:\n    saga.step(drain(host), undo=drain('back'))",
        CHECK,
        "DWF301",
        2,
    ),
    Hazard(
        "a message to a child", "kid = dwf.start_child(other)\nkid.signal('go')\nawait kid", CHECK, "DWF301", 2, OTHER
    ),
    Hazard("options that are kept", "quick = drain.options(title='soon')\nquick(host)", CHECK, "DWF301", 2),
    Hazard("options at the top", "quick(host)", CHECK, "DWF301", 1, "quick = drain.options(title='soon')\n"),
    Hazard("another name of a step", "step = drain\nstep(host)", CHECK, "DWF301", 2),
    Hazard("a step that is asked in a condition", "if drain(host):\n    return 1", CHECK, "DWF301"),
    Hazard("a step whose result is negated", "ready = not drain(host)", CHECK, "DWF301"),
    Hazard("a step whose result is compared", "return drain(host) == 3", CHECK, "DWF301"),
    Hazard("a step whose result is taken apart", "return dwf.sh('true').out", BOTH, "DWF301"),
    Hazard("a step that is told", "print('left:', drain(host))", CHECK, "DWF301"),
    Hazard("a step in a text", "return f'left: {drain(host)}'", CHECK, "DWF301"),
    Hazard("a step that is looped over", "for one in drain(host):\n    pass", BOTH, "DWF301"),
    Hazard("a step that is added", "left = 0\nleft += drain(host)", BOTH, "DWF301", 2),
    Hazard("a step that is returned", "return drain(host)", BOTH, "DWF301"),
    Hazard("a step that is kept and compared", "left = drain(host)\nif left > 2:\n    return 1", BOTH, "DWF301"),
    Hazard(
        "a step that is kept and told",
        "left = drain(host)\ndwf.log.info('left %s', left)\nreturn f'{left}'",
        CHECK,
        "DWF301",
    ),
    Hazard(
        "a command that is kept and taken apart",
        "found: object = dwf.sh('true')\nreturn found.out.strip()",
        BOTH,
        "DWF301",
    ),
    Hazard("a lock that is not entered", "dwf.lock('db')\nawait drain(host)", CHECK, "DWF301"),
    Hazard("everything is caught", "try:\n    await drain(host)\nexcept:\n    pass", CHECK, "DWF302", 3),
    Hazard(
        "a cancellation is caught",
        "try:\n    await drain(host)\nexcept asyncio.CancelledError:\n    return 1",
        CHECK,
        "DWF302",
        3,
    ),
    Hazard(
        "mistakes are caught",
        "try:\n    await drain(host)\nexcept Exception:\n    await drain('undo')",
        CHECK,
        "DWF303",
        3,
    ),
    Hazard("a loop for ever", "while True:\n    host = host.strip()", BOTH, "DWF304"),
    Hazard("a loop that waits for nothing", "ready = False\nwhile not ready:\n    pass", BOTH, "DWF304", 2),
    Hazard(
        "a step that gives a socket",
        "pass",
        CHECK,
        "DWF401",
        -5,
        "import socket\n@dwf.activity\ndef connect(host: str) -> socket.socket:\n    ...\n\n",
    ),
    Hazard(
        "a step that takes a function",
        "pass",
        CHECK,
        "DWF401",
        -5,
        "from collections.abc import Callable\n@dwf.activity\ndef call(function: Callable[[], int]) -> int:\n    ...\n\n",
    ),
    Hazard(
        "a step that gives an object",
        "pass",
        CHECK,
        "DWF401",
        -4,
        "class Conn:\n    pass\n@dwf.activity\ndef connect(host: str) -> Conn | None:\n    ...\n",
    ),
    Hazard(
        "a workflow that takes an object",
        "pass",
        CHECK,
        "DWF401",
        -4,
        "class Conn:\n    pass\n@dwf.workflow\nasync def other(conn: Conn):\n    return 1\n",
    ),
    Hazard(
        "a path of an own class's method",
        "return path.read_text()",
        BOTH,
        "DWF104",
        1,
        "class Box:\n    def read_text(self): ...\n",
    ),
    Hazard("a name that is put together", "return getattr(time, 'ti' + 'me')()", GUARD),
    Hazard(
        "a library that asks for itself",
        "import configparser\nconfigparser.ConfigParser().read('/etc/hostname')",
        GUARD,
    ),
]
