# ruff: noqa: E501 - a program is easier to read in one piece
"""Workflow code that is right, and uses what ordinary programs use: nobody may have a word to say about it."""

from __future__ import annotations

TOP = """\
import asyncio, os, random, time, uuid
from datetime import date, datetime, timedelta
from pathlib import Path
import dwf

@dwf.activity
def drain(host: str) -> int:
    return 3
"""
BESIDE = """
import threading
from dataclasses import dataclass
from enum import Enum

HOSTS = {'b', 'a'}
NUMBERS = {2, 1}
LOCK = threading.Lock()

class Color(Enum):
    RED = 1

@dataclass
class Plan:
    host: str

class Box:
    def open(self):
        return self
    def touch(self):
        return 'x'
    def read_text(self):
        return self.touch()
    def exists(self):
        return True
    def is_file(self):
        return True

@dwf.activity
def hosts() -> set[str]:
    return {'a', 'b'}

@dwf.activity
def ports() -> set[int]:
    return {1, 2}

@dwf.activity
def names() -> list[str]:
    return ['a', 'b']

@dwf.activity
def plan(one: Plan) -> Plan:
    return one

@dwf.activity
def color(one: Color) -> Color:
    return one
"""

INNOCENTS = {
    "a step": "return await drain(host)",
    "json": "import json\nreturn json.loads(json.dumps({'a': [1, host]}))",
    "re": "import re\nreturn re.sub(r'\\d+', 'x', host)",
    "a pattern": "import re\nfound = re.compile('w(eb)').match(host)\nreturn found[1] if found else ''",
    "logging": "import logging\nlogging.getLogger('book').info('host %s', host)",
    "dwf.log": "dwf.log.warning('soon %s', host)",
    "print": "print('at', host)",
    "dataclasses": "from dataclasses import dataclass, replace\n@dataclass\nclass At:\n    host: str\n    n: int = 0\nreturn replace(At(host), n=2).n",
    "enum": "from enum import Enum\nclass Color(Enum):\n    RED = 1\nreturn Color(1).name",
    "arithmetic of paths": "return str((Path('/srv') / host).with_suffix('.conf').parent)",
    "names of paths": "return [Path('/a/b.py').name, os.path.join('a', 'b'), os.path.basename('/a/b')]",
    "arithmetic of times": "return str(dwf.now() + timedelta(hours=2) - timedelta(days=1))",
    "a time that is given": "return datetime(2026, 1, 1).isoformat() + date(2026, 1, 2).isoformat()",
    "a time that is read": "return datetime.fromisoformat('2026-01-01').timestamp() > datetime.strptime('2026', '%Y').timestamp()",
    "a time that is converted": "return time.strftime('%Y', time.gmtime(0))",
    "a time with its zone": "from zoneinfo import ZoneInfo\nreturn str(dwf.now().astimezone(ZoneInfo('UTC')))",
    "a set in order": "for one in sorted({'b', 'a'}):\n    await drain(one)",
    "a set that is asked": "known = {'a', 'b'}\nreturn host in known or len(known & {'a'})",
    "a set that is counted": "return sum(len(one) for one in {'a', 'bb'}) + max({1, 2})",
    "a set of a set": "return sorted({one.upper() for one in {'a', 'b'}})",
    "comprehensions over dicts": "sizes = {'a': 1, 'b': 2}\nreturn {name: n + 1 for name, n in sizes.items() if n}",
    "a loop over a dict": "for name in {'a': 1, 'b': 2}:\n    await drain(name)",
    "f-strings": "return f'{host!r:>10} {3.14159:.2f} {len(host):03d}'",
    "functools": "import functools\nreturn functools.reduce(lambda a, b: a + b, [1, 2]) + functools.partial(pow, 2)(3)",
    "itertools": "import itertools\nreturn [list(pair) for pair in itertools.pairwise([1, 2, 3])] + list(itertools.chain('a', 'b'))",
    "a count of its own": "import itertools\ncount = itertools.count(1)\nreturn [next(count), next(count)]",
    "collections": "from collections import Counter, defaultdict, deque\nseen = defaultdict(list)\nseen['a'].append(1)\nreturn [Counter('aab')['a'], deque([1, 2]).popleft(), seen]",
    "Decimal": "from decimal import Decimal\nreturn str(Decimal('1.10') + 1)",
    "fractions": "from fractions import Fraction\nreturn str(Fraction(1, 3) + 1)",
    "math and statistics": "import math, statistics\nreturn math.ceil(statistics.mean([1, 2]))",
    "textwrap": "import textwrap\nreturn textwrap.dedent('  a\\n  b')",
    "string templates": "import string\nreturn string.Template('$a').substitute(a=host)",
    "hashes": "import hashlib\nreturn hashlib.sha256(host.encode()).hexdigest()",
    "base64": "import base64\nreturn base64.b64encode(b'a').decode()",
    "shlex": "import shlex\nreturn shlex.join(['a b', 'c'])",
    "urls": "from urllib.parse import urlsplit, quote\nreturn urlsplit('http://a/b').netloc + quote('a b')",
    "addresses": "import ipaddress\nreturn str(ipaddress.ip_network('10.0.0.0/30')[1])",
    "csv of a text": "import csv, io\nreturn list(csv.reader(io.StringIO('a,b')))",
    "copies": "import copy\nreturn copy.deepcopy({'a': [1]})",
    "bisect and heapq": "import bisect, heapq\nheap = [3, 1]\nheapq.heapify(heap)\nreturn [bisect.bisect([1, 2], 1), heapq.heappop(heap)]",
    "chance that is seeded": "return random.Random(7).random() + dwf.random().random()",
    "ids of the run": "return str(dwf.uuid4()) + str(uuid.uuid5(uuid.NAMESPACE_DNS, host)) + str(uuid.UUID(int=1))",
    "a value computed once": "return dwf.once(lambda: os.getpid() > 0)",
    "a function as a step": "return await dwf.step('look', lambda: os.path.exists('/'))",
    "a gather": "return await asyncio.gather(*[drain(one) for one in ('a', 'b')])",
    "a task": "task = asyncio.create_task(drain(host))\nreturn await task",
    "a set of tasks": "tasks = {asyncio.create_task(drain(one)) for one in 'ab'}\nreturn [await task for task in tasks]",
    "tasks that are added to a set": "tasks = set()\ntasks.add(asyncio.create_task(drain(host)))\nfor task in tasks:\n    await task",
    "what asyncio has done": "done, left = await asyncio.wait([asyncio.create_task(drain(host))])\nfor task in done:\n    await task",
    "a queue and a lock": "queue = asyncio.Queue()\nasync with asyncio.Lock():\n    await queue.put(1)\nreturn await queue.get()",
    "a timeout": "async with asyncio.timeout(3600):\n    return await drain(host)",
    "a failure that is meant": "try:\n    await drain(host)\nexcept dwf.ActivityError as error:\n    raise dwf.Failure('no') from error",
    "an except that raises again": "try:\n    await drain(host)\nexcept Exception:\n    dwf.log.info('no')\n    raise",
    "an except around no await": "try:\n    n = int(host)\nexcept Exception:\n    n = 0\nreturn n",
    "a finally": "try:\n    await drain(host)\nfinally:\n    done = True",
    "a loop that is left": "n = 0\nwhile True:\n    n += 1\n    if n > 3:\n        break\nreturn n",
    "a loop that waits": "while await drain(host) > 5:\n    pass",
    "a coroutine that is awaited later": "waiting = drain(host)\nreturn await waiting",
    "a coroutine that is handed on": "both = drain(host)\nreturn await asyncio.wait_for(both, 5)",
    "coroutines in a list": "work = [drain(one) for one in 'ab']\nwork += [drain('c')]\nreturn await asyncio.gather(*work)",
    "coroutines by name": "work = {'a': drain('a')}\nreturn await work['a']",
    "a coroutine that is given back": "def later():\n    return drain(host)\nreturn await later()",
    "a coroutine that may be there": "work = None\nif host:\n    work = drain(host)\nif work is not None:\n    return await work",
    "a coroutine that is there": "work = drain(host)\nif work is not None and work != host:\n    return await work",
    "a coroutine that is closed": "work = drain(host)\nwork.close()",
    "one of two coroutines": "return await (drain('a') if host else drain('b'))",
    "the last of what is asked": "return await (host and drain(host))",
    "a step by another name": "step = drain if host else None\nreturn await step(host)",
    "options that are kept": "quick = drain.options(title='soon')\nreturn await quick(host)",
    "a result that is compared": "if (left := await drain(host)) > 2:\n    return f'{left} {await drain(host)}'",
    "a lambda that makes steps": "return (await dwf.map(lambda one: drain(one), ['a', 'b'])).values",
    "a lambda that is called": "make = lambda: drain(host)\nreturn await make()",
    "a method that does not wait": "class Plan:\n    def step(self):\n        return self\n    def run(self):\n        self.step()\n        return 1\nplan = Plan()\nplan.step()\nreturn plan.run()",
    "an async generator": "async def hosts():\n    yield await drain('a')\nreturn [one async for one in hosts()]",
    "an async context": "from contextlib import asynccontextmanager\n@asynccontextmanager\nasync def out(name):\n    yield await drain(name)\nasync with out(host) as left:\n    return left",
    "what a decorator has made": "def now(function):\n    def call():\n        return asyncio.create_task(function())\n    return call\n@now\nasync def work():\n    await drain(host)\nwork()\nawait asyncio.sleep(1)",
    "a lock that is kept": "lock = dwf.lock('db')\nasync with lock:\n    return await drain(host)",
    "a saga": "async with dwf.saga() as saga:\n    await saga.step(drain(host), undo=drain('back'))\n    saga.add(undo=drain('b'), of='b')\n    saga.keep()",
    "steps of a saga in a gather": "async with dwf.saga() as saga:\n    await asyncio.gather(*[saga.step(drain(one), undo=drain('x')) for one in 'ab'])",
    "a step in an assertion": "assert await drain(host) == 3\nreturn -await drain(host)",
    "the date of a letter that is given": "from email.utils import formatdate\nreturn formatdate(0) + formatdate(timeval=0)",
    "the release of Python": "import platform, sys\nreturn [platform.python_version(), sys.maxsize > 0, sys.platform]",
    "the name of a signal": "import signal\nreturn signal.SIGTERM.name",
    "a path that is whole": "return str(Path('/etc').joinpath(host).absolute().relative_to('/etc'))",
    "sets of the module": "for one in sorted(HOSTS):\n    await drain(one)\nreturn [host in HOSTS, len(HOSTS), max(HOSTS), ','.join(sorted(HOSTS | {host}))]",
    "a set of numbers": "for one in NUMBERS:\n    await drain(str(one))\nreturn list({1, 2}) + list(set(range(3)))",
    "a set that a step gives in order": "found = await hosts()\nreturn sorted(found) + sorted(await hosts()) + [len(found), 'a' in found]",
    "numbers that a step gives": "return [one for one in await ports()]",
    "a list that a step gives": "return list(await names())",
    "a name that is a set elsewhere": "HOSTS = ['a', 'b']\nreturn [await drain(one) for one in HOSTS]",
    "chance that is seeded here": "rng = random.Random(f'{host}-1')\nreturn rng.choice('abc') + str(dwf.random().random())",
    "a hash of a number": "return hash(5) + hash((1, 2))",
    "an own hash": "class At:\n    def __init__(self, n):\n        self.n = n\n    def __hash__(self):\n        return hash(('at', self.n))\nreturn len({At(1)})",
    "methods of an own class": "box = Box()\nbox = Box()\nreturn [box.read_text(), box.exists(), Box().is_file(), box.open().touch()]",
    "what is stored": "return [(await plan(Plan(host))).host, (await color(Color.RED)).value]",
    "a queue of asyncio": "go = asyncio.Event()\ngo.set()\nawait go.wait()\nqueue = asyncio.Queue()\nqueue.put_nowait(1)\nreturn await queue.get()",
    "a queue of threads that is not waited for": "import queue\nfound = queue.Queue()\nfound.put(1)\nreturn [found.get_nowait(), found.qsize()]",
    "a lock of threads that nobody has": "with LOCK:\n    return LOCK.acquire(blocking=False)",
    "get of a dict": "event = {'wait': 1}\nreturn event.get('wait')",
    "what is meant so": "return os.path.join('a') + str(os.sep)",
    "string methods that paths have, too": "return host.replace('w', 'v') + '/'.join(['a', 'b'])",
}
"""Bodies of a workflow with a parameter `host`."""


def script(body: str) -> str:
    """The whole script."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{TOP}{BESIDE}\n@dwf.workflow\nasync def main(host: str = 'web1'):\n{lines}"
