"""Loading a script: any version beside any other, and whatever goes wrong in it is told with file and line."""

from __future__ import annotations

import asyncio
import linecache
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

from dwf.errors import NotFound, ScriptRefused
from dwf.scripts.collect import collect
from dwf.scripts.load import Script, load
from dwf.store.code import bundle_hash
from tests.cli.terminal import ROOT
from tests.scripts.conftest import Write

FLOW = "\nimport dwf\n@dwf.workflow\nasync def main():\n    return 1\n"


def loaded(path: str, **more: float) -> Script:
    sources = collect(path)
    return load(sources.files, sources.main, bundle_hash(dict(sources.files), sources.main), sources.origin, **more)


def refused(path: str, **more: float) -> str:
    before = set(sys.modules)
    with pytest.raises(ScriptRefused) as error:
        loaded(path, **more)
    left = {name for name in set(sys.modules) - before if "@" in name}
    assert not left, "a script that was refused leaves nothing loaded"
    assert error.value.exit_code == 2
    return error.value.message


def value(script: Script, name: str) -> object:
    return getattr(script.main, name)


# -- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nimport no_such_module\n", "book.py:2"),
        ("\n\nraise KeyError('k')\n", "book.py:3"),
        ("def f():\n    1 / 0\nf()\n", "book.py:2"),
        ("import sys\nsys.exit(3)\n", "sys.exit"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("def f(): f()\nf()\n", "RecursionError"),
        ("import asyncio, dwf\nasyncio.run(dwf.sleep(1))\n", "book.py"),
        ("input('name? ')\n", "book.py:1"),
    ],
)
def test_what_goes_wrong_at_the_top_level_is_told_with_its_line(
    write: Write, text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: SIM115
    assert told in refused(write(text + FLOW))
    sys.stdin.close()


def test_what_goes_wrong_in_a_helper_is_told_with_the_helper_s_line(write: Write) -> None:
    write("x = 1\nx.nothing\n", "helper.py")
    assert "helper.py:2" in refused(write("import helper\n" + FLOW))


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import time\ntime.sleep(1000)",
        "import threading\nthreading.Event().wait()",
    ],
    ids=["endless", "endless and stubborn", "asleep", "waiting"],
)
def test_a_top_level_that_does_not_end_is_cut(write: Write, loop: str) -> None:
    began = time.monotonic()
    told = refused(write(loop + FLOW), limit_seconds=0.2)
    assert "still runs after 0.2 s" in told and "book.py" in told
    assert time.monotonic() - began < 3


def test_being_cut_leaves_no_exception_for_later(write: Write) -> None:
    path, cut = write("import time\ntime.sleep(0.01)" + FLOW), 0
    for _ in range(30):
        try:
            loaded(path, limit_seconds=0.0102)
        except ScriptRefused:
            cut += 1
    assert cut  # most often; whatever was raised too late would be reported as an error of its thread


def test_a_script_that_loads_in_time_is_left_alone_afterwards(write: Write) -> None:
    loaded(write(FLOW), limit_seconds=0.3)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass


# -- workflows --------------------------------------------------------------------------------------------------


def test_a_script_needs_a_workflow(write: Write) -> None:
    assert "no workflow" in refused(write("x = 1\n"))


def test_the_only_workflow_needs_no_name_and_several_do(write: Write) -> None:
    one = loaded(write(FLOW))
    assert one.workflow(None).name == "main" and list(one.workflows) == ["main"]
    two = loaded(write(FLOW + "\n@dwf.workflow\nasync def other(): pass\n", "two.py"))
    with pytest.raises(ScriptRefused, match="main, other"):
        two.workflow(None)
    assert two.workflow("other").name == "other"
    with pytest.raises(NotFound) as error:
        two.workflow("othr")
    assert "did you mean other" in (error.value.hint or "")


@pytest.mark.parametrize(
    "head",
    ["def main():", "async def main():\n    yield 1\ndef rest():", "async def main(*args):", "async def main(x, /):"],
)
def test_a_workflow_is_an_async_function_with_named_parameters(write: Write, head: str) -> None:
    assert "main" in refused(write(f"import dwf\n@dwf.workflow\n{head}\n    pass\n"))


# -- modules ----------------------------------------------------------------------------------------------------


def test_two_versions_of_a_script_and_its_helper_live_side_by_side(write: Write) -> None:
    scripts = []
    for version in (1, 2):
        write(f"VERSION = {version}\ndef tell(): return VERSION\n", "helper.py")
        scripts.append(loaded(write("import helper\nfrom helper import tell\n" + FLOW)))
    assert [value(script, "tell")() for script in scripts] == [1, 2]  # type: ignore[operator]
    assert [value(script, "helper").VERSION for script in scripts] == [1, 2]  # type: ignore[attr-defined]
    assert "helper" not in sys.modules and "book" not in sys.modules


def test_imports_inside_functions_are_served_from_the_stored_files(write: Write) -> None:
    write("VERSION = 1\n", "helper.py")
    script = loaded(write("def tell():\n    import helper\n    return helper.VERSION\n" + FLOW))
    write("VERSION = 2\n", "helper.py")
    assert value(script, "tell")() == 1  # type: ignore[operator]


def test_packages_relative_imports_and_parts_of_packages(write: Write) -> None:
    write("NAME = __name__.partition('@')[0]\nfrom .deep.leaf import LEAF\n", "pkg/__init__.py")
    write("", "pkg/deep/__init__.py")
    write("from .. import NAME\nfrom ..tools import TOOL\nLEAF = NAME + TOOL\n", "pkg/deep/leaf.py")
    write("TOOL = '-tool'\n", "pkg/tools.py")
    write("HERE = 'bare'\n", "bare/module.py")
    script = loaded(
        write(
            """
            import pkg.deep.leaf
            import pkg.tools as tools
            from pkg import deep
            import bare.module
            FOUND = [pkg.LEAF, tools.TOOL, deep.leaf.LEAF, bare.module.HERE]
            """
            + FLOW.replace("\n", "\n            ")
        )
    )
    assert value(script, "FOUND") == ["pkg-tool", "-tool", "pkg-tool", "bare"]


def test_a_helper_that_fails_once_is_not_found_half_made_the_second_time(write: Write) -> None:
    write("BEFORE = 1\nraise ImportError('no')\n", "helper.py")
    script = loaded(
        write(
            """
            found = []
            for _ in range(2):
                try:
                    import helper
                    found.append(helper)
                except ImportError:
                    found.append(None)
            """
            + FLOW.replace("\n", "\n            ")
        )
    )
    assert value(script, "found") == [None, None]


def test_modules_that_import_each_other(write: Write) -> None:
    write("import second\nONE = 1\ndef two(): return second.TWO\n", "first.py")
    write("import first\nTWO = 2\ndef one(): return first.ONE\n", "second.py")
    script = loaded(write("import first, second\nFOUND = [first.two(), second.one()]\n" + FLOW))
    assert value(script, "FOUND") == [2, 1]


def test_a_local_module_hides_an_installed_one_only_for_the_script(write: Write) -> None:
    import json

    write("MINE = True\n", "json.py")
    script = loaded(write("import json\n" + FLOW))
    assert value(script, "json").MINE is True  # type: ignore[attr-defined]
    assert sys.modules["json"] is json


def test_a_module_that_is_missing_in_a_package_is_an_import_error(write: Write) -> None:
    write("", "pkg/__init__.py")
    assert "pkg.nothing" in refused(write("import pkg.nothing\n" + FLOW))
    assert "nothing" in refused(write("from pkg import nothing\n" + FLOW))


def test_dataclasses_enums_and_typing_work_in_scripts(write: Write) -> None:
    script = loaded(
        write(
            """
            from __future__ import annotations
            import dataclasses, enum, typing
            from dataclasses import dataclass, field

            class Colour(enum.Enum):
                RED = "red"

            @dataclass
            class Host:
                name: str
                colours: list[Colour] = field(default_factory=list)
                kind: typing.ClassVar[str] = "host"

            class Pair(typing.NamedTuple):
                a: int
                b: Host

            class Given(typing.TypedDict, total=False):
                host: Host

            HINTS = typing.get_type_hints(Host)
            FIELDS = [f.name for f in dataclasses.fields(Host)]
            """
            + FLOW.replace("\n", "\n            ")
        )
    )
    assert value(script, "FIELDS") == ["name", "colours"]
    assert value(script, "HINTS")["colours"] == list[value(script, "Colour")]  # type: ignore[index,misc]


def test_type_names_under_type_checking_are_refused_with_the_cure(write: Write) -> None:
    script = loaded(
        write(
            """
            from __future__ import annotations
            from typing import TYPE_CHECKING
            import dwf
            if TYPE_CHECKING:
                from decimal import Decimal
            @dwf.workflow
            async def main(n: Decimal): pass
            """
        )
    )
    with pytest.raises(Exception, match="Decimal"):
        _ = script.workflow(None).parameters


def test_tracebacks_show_the_lines_that_were_stored(write: Write) -> None:
    path = write("def f():\n    raise ValueError('here')  # the stored line\n" + FLOW)
    script = loaded(path)
    Path(path).write_text("something else entirely\n" * 5)
    linecache.clearcache()
    try:
        value(script, "f")()  # type: ignore[operator]
    except ValueError:
        told = traceback.format_exc()
    assert "raise ValueError('here')  # the stored line" in told
    assert "book.py@" in told


def test_a_line_of_a_script_is_known_as_its_own(write: Write) -> None:
    script = loaded(write("def f(): pass\n" + FLOW))
    function = value(script, "f")
    assert script.is_script(function.__code__.co_filename)  # type: ignore[attr-defined]
    assert not script.is_script(asyncio.sleep.__code__.co_filename)


def test_the_usual_names_of_a_module_are_there(write: Write) -> None:
    script = loaded(write("FOUND = [__name__.partition('@')[0], __file__, __package__]\n" + FLOW))
    assert value(script, "FOUND") == ["book", str(Path(script.main.__file__ or "")), ""]


def test_the_same_script_is_loaded_in_many_threads_at_once(write: Write) -> None:
    write("VERSION = 1\n", "helper.py")
    path, found = write("import helper\n" + FLOW), []

    def go() -> None:
        found.append(loaded(path).workflow(None).name)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["main"] * 8


def test_no_bytecode_is_written_beside_a_script(write: Write, tmp_path: Path) -> None:
    write("", "helper.py")
    loaded(write("import helper\n" + FLOW))
    assert not list(tmp_path.rglob("*.pyc"))


LEFT_BEHIND = """
import os, sys
from dwf.scripts.cut import Aside, Cut

code = compile("import time; time.sleep(1000)", "book.py@1234567", "exec")
assert Aside(lambda: exec(code, {}), Cut).ended_within(0.05) is not None
sys.settrace(lambda *_: None)
for number in range(10_000):
    (lambda: number)()
sys.settrace(None)
print("on", flush=True)
os._exit(0)
"""


def test_a_thread_that_is_left_behind_leaves_nothing_for_the_others() -> None:
    """Fails when Python is left looking for what was raised: what is traced (by a debugger) then hangs for ever."""
    said = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert said.stdout == "on\n"
