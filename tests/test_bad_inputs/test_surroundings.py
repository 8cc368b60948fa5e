"""What a process is born with: streams that are closed, no home, no name, no room. It works, or says why it cannot."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from tests.test_bad_inputs.terminal import PLAIN, Answer, Terminal, powerless, until

UMLAUTS = """
    import dwf

    @dwf.workflow
    async def grüße(wer: str = "wörld \u2713") -> str:
        dwf.status("läuft \u2603")
        await dwf.approve("Schöne Grüße an \u202e wörld?")
        return wer
"""


def shell(text: str) -> list[str]:
    """Start what follows through a line of shell, as its "$@"."""
    return ["/bin/sh", "-c", text, "sh"]


@pytest.mark.parametrize(
    "through",
    [
        shell('exec "$@" <&-'),
        shell('exec "$@" 2>&-'),
        shell('exec "$@" <&- 2>&-'),
        shell('unset PATH; exec "$@"'),
        shell('mkdir -p "$DWF_HOME.gone"; cd "$DWF_HOME.gone"; rmdir "$DWF_HOME.gone"; exec "$@"'),
        shell('LC_ALL=C LANG=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 exec "$@"'),
        shell('LC_ALL=xx_YY.nonsense TERM=nonsense COLUMNS=-3 LINES=x TZ=Nowhere/Land exec "$@"'),
        ["unshare", "--user", "--map-user=54321", "--map-group=54321"],
    ],
    ids=["no stdin", "no stderr", "stdout alone", "no PATH", "no cwd", "LANG=C", "odd locale", "no passwd entry"],
)
def test_a_run_can_be_started_and_driven(dwf: Terminal, through: list[str]) -> None:
    if subprocess.run([*through, "true"], capture_output=True, env=dwf.process_environ()).returncode != 0:
        pytest.skip("this machine does not let us be nobody in particular")
    script = dwf.script(PLAIN)
    environ = {name: value for name, value in dwf.process_environ().items() if name not in ("HOME", "USER", "LOGNAME")}
    started = dwf.process("start", script, "--id", "one", "--tick", through=through, env=environ)
    assert (started.code, started.out) == (0, "one\n"), started
    assert "Traceback" not in started.err
    result = dwf.process("result", "one", through=through, env=environ)
    assert (result.code, result.out) == (0, "42\n"), result


def test_without_home_and_name_there_is_no_default_place(dwf: Terminal) -> None:
    from dwf.errors import BadConfiguration
    from dwf.store.layout import home_path

    with pytest.raises(BadConfiguration) as refused:
        home_path({}, 54321)
    assert "DWF_HOME" in str(refused.value.hint)


def test_a_relative_home_in_a_directory_that_is_gone_is_refused(dwf: Terminal) -> None:
    through = shell('mkdir "$DWF_HOME.gone"; cd "$DWF_HOME.gone"; rmdir "$DWF_HOME.gone"; DWF_HOME=here exec "$@"')
    for words in [("tick",), ("list",)]:
        dwf.refuses_process(78, *words, through=through)


def test_everything_is_told_in_ascii_where_nothing_else_is_understood(dwf: Terminal) -> None:
    dwf.start(UMLAUTS, "one")
    dwf.tick()
    environ = dwf.process_environ(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    for words in [("show", "one"), ("history", "one"), ("inbox",)]:
        answer = dwf.process(*words, env=environ).is_clean()
        assert answer.code == 0
        assert answer.out.isascii() and answer.err.isascii(), answer
    assert "Sch\\xf6ne" in answer.out


# -- nobody listens ---------------------------------------------------------------------------------------------


def test_a_pipe_that_nobody_reads_ends_the_command_quietly(dwf: Terminal) -> None:
    dwf.start(PLAIN, "one")
    for words in [("show", "one"), ("history", "one", "--detailed"), ("--help",)]:
        read, write = os.pipe()
        os.close(read)
        process = dwf.spawn(*words, stdout=write)
        os.close(write)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (141, b""), words


def test_a_pipe_that_is_closed_early_ends_the_command_quietly(dwf: Terminal) -> None:
    dwf.start(PLAIN, "one")
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" | head -c 20; exit 0', "sh", *dwf.line("--help")],
        env=dwf.process_environ(), cwd="/", capture_output=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 20, b"")


def test_a_start_whose_words_nobody_reads_has_started_all_the_same(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    for number, stream in enumerate(["stdout", "stderr"]):
        read, write = os.pipe()
        os.close(read)
        process = dwf.spawn("start", script, "--id", f"run{number}", **{stream: write})
        os.close(write)
        process.communicate(timeout=30)
        assert process.returncode in (0, 141)
        assert dwf.status(f"run{number}") == "running"


def test_a_full_stdout_is_an_error_of_the_disk(dwf: Terminal) -> None:
    dwf.start(PLAIN, "one")
    with open("/dev/full", "wb") as full:
        process = dwf.spawn("show", "one", stdout=full)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 74
    assert b"Traceback" not in err


@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
def test_with_closed_streams_nothing_is_written_into_the_state(dwf: Terminal, closed: str) -> None:
    dwf.start(PLAIN, "one")
    close = " ".join(f"{number}>&-" if number != "0" else "0<&-" for number in closed.split())
    answer = dwf.process("tick", "-v", through=shell(f'exec "$@" {close}'))
    assert answer.code == 0, answer
    assert dwf.typed("result", "one").out == "42\n"
    assert dwf.typed("verify").code == 0
    assert dwf.process("show", "one", through=shell(f'exec "$@" {close}')).code in (0, 74)


# -- too little of everything -----------------------------------------------------------------------------------

BUSY = """
    import asyncio, dwf

    @dwf.activity
    def say(n: int) -> int:
        print("said", n)
        return n

    @dwf.workflow
    async def busy() -> int:
        await dwf.sh("echo", "hi")
        return sum(await asyncio.gather(say(1), say(2), say(3)))
"""


@pytest.mark.parametrize(
    "limit", ["-n 5", "-n 7", "-n 12", "-f 0", "-f 1", "-v 15500", "-v 25000", "-v 45000", "-v 57000"]
)
def test_with_too_little_room_it_says_so_and_later_goes_on_by_itself(dwf: Terminal, limit: str) -> None:
    through = shell(f'ulimit {limit} || exit 99; exec "$@"')
    started = dwf.process("start", dwf.script(BUSY), "--id", "one", through=through)
    _is_honest(started, lambda answer: answer.out == "one\n")
    if started.code != 0:
        dwf.typed("start", dwf.script(BUSY), "--id", "one", "--if-exists", "use")
    _is_honest(dwf.process("tick", through=through), lambda answer: answer.out == "")
    assert dwf.typed("verify").code == 0
    dwf.tick()
    assert dwf.typed("result", "one").out == "6\n"
    assert not list(dwf.home.glob("runs/.tmp/*")), "something is left behind"


def _is_honest(answer: Answer, right: Callable[[Answer], bool]) -> None:
    assert answer.code != 99, "the limit could not be set"
    if answer.code == 0:
        assert right(answer.is_clean())
    else:
        assert answer.code in (73, 74)
        answer.is_refusal(answer.code)


def test_a_disk_that_fills_up_while_a_step_prints_does_not_lose_the_step(dwf: Terminal) -> None:
    dwf.start(
        """
        import dwf

        @dwf.workflow
        async def loud() -> int:
            return len((await dwf.sh(script="head -c 3000000 /dev/zero | tr '\\\\0' x", max_output=100)).out)
    """,
        "one",
    )
    answer = dwf.process("tick", through=shell('ulimit -f 600; exec "$@"')).is_clean()
    dwf.tick(code=None if answer.code else 0)
    assert dwf.status("one") in ("completed", "failed")
    assert dwf.typed("verify").code == 0


def test_a_directory_that_may_not_be_written_is_refused_by_name(dwf: Terminal) -> None:
    dwf.start(PLAIN, "one")
    for name, words in [
        ("runs", ("start", dwf.script(PLAIN))),
        ("mail/new", ("signal", "one", "go")),
        ("locks", ("tick",)),
    ]:
        (dwf.home / name).chmod(0o500)
        answer = dwf.refuses_process(77, *words, **powerless())
        assert str(dwf.home / name.partition("/")[0]) in answer.error
        (dwf.home / name).chmod(0o700)
    assert dwf.typed("list", "-o", "name").out == "one\n"
    dwf.tick()
    assert dwf.status("one") == "completed"


def test_a_tick_that_is_born_deaf_to_signals_still_ends(dwf: Terminal) -> None:
    dwf.start(PLAIN, "one")
    assert dwf.process("tick", through=shell("trap '' HUP INT TERM PIPE XFSZ; exec \"$@\"")).code == 0
    assert until(lambda: dwf.status("one") == "completed")
