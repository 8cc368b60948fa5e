"""Code that is changed, moved, deleted or damaged under a run: never silently other code, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.test_bad_inputs.terminal import Terminal, tree

OLD = """
    import dwf

    @dwf.activity
    def drain(host: str) -> str:
        return "old"

    @dwf.activity
    def cordon(host: str) -> str:
        return "old"

    @dwf.workflow
    async def book(host: str = "web1") -> str:
        first = await drain(host)
        await dwf.wait_signal("go")
        return first + await cordon(host)
"""
OTHER_STEP = OLD.replace("await drain(host)", "await cordon(host)")
OTHER_ARGUMENT = OLD.replace("await drain(host)", 'await drain("web2")')
OTHER_ORDER = OLD.replace(
    'first = await drain(host)\n        await dwf.wait_signal("go")',
    'await dwf.wait_signal("go")\n        first = await drain(host)',
)
LESS = OLD.replace('await dwf.wait_signal("go")', "pass").replace("first = await drain(host)", 'first = ""')
FITS = OLD.replace('return "old"', 'return "new"')


def test_a_changed_file_does_not_change_what_an_open_run_does(dwf: Terminal) -> None:
    dwf.driven(OLD, "one")
    for text in (FITS, OTHER_STEP, "syntax error ("):
        dwf.script(text, "one.py")
        assert dwf.tick().err == ""
    dwf.typed("signal", "one", "go")
    (dwf.scripts / "one.py").unlink()
    dwf.tick()
    assert dwf.typed("result", "one").out == '"oldold"\n'


CHANGES = [
    ("another step", OTHER_STEP, ["drain", "cordon"]),
    ("another argument", OTHER_ARGUMENT, ["drain", "web2"]),
    ("another order", OTHER_ORDER, ["drain", "go"]),
    ("less", LESS, ["drain"]),
]


@pytest.mark.parametrize(("text", "said"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_code_that_no_longer_fits_is_refused_by_upgrade_and_nothing_is_changed(
    dwf: Terminal, text: str, said: list[str]
) -> None:
    dwf.driven(OLD, "one")
    new = dwf.script(text, "new.py")
    before = dwf.history("one").read_bytes()
    answer = dwf.refuses(65, "upgrade", "one", "--to", new)
    assert all(word in answer.error for word in said), answer
    assert dwf.history("one").read_bytes() == before
    dwf.typed("signal", "one", "go")
    dwf.tick()
    assert dwf.typed("result", "one").out == '"oldold"\n'


@pytest.mark.parametrize(("text", "said"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_live_file_that_no_longer_fits_blocks_the_run_until_it_fits_again(
    dwf: Terminal, text: str, said: list[str]
) -> None:
    dwf.driven(OLD, "one", "--live")
    dwf.script(text, "one.py")
    dwf.typed("signal", "one", "go")
    news = dwf.tick(code=1).err
    assert "blocked" in news and all(word in news for word in said), news
    assert dwf.tick().err == "", "the same news twice"
    assert dwf.status("one") == "blocked"
    page = dwf.typed("show", "one").is_clean().out
    assert all(word in page for word in said) and "one.py" in page, page
    assert not dwf.events("one", "WorkflowFailed", "WorkflowCompleted")
    dwf.script(FITS, "one.py")
    dwf.tick()
    assert dwf.typed("result", "one").out == '"oldnew"\n'
    assert len(dwf.events("one", "RunBlocked")) == 1


GONE = [
    ("deleted", lambda path: path.unlink()),
    ("moved", lambda path: path.rename(path.with_name("moved.py"))),
    ("a directory", lambda path: (path.unlink(), path.mkdir())),
    ("dangling", lambda path: (path.unlink(), path.symlink_to("/nonexistent/x.py"))),
    ("broken", lambda path: path.write_text("def f(:\n")),
    ("empty", lambda path: path.write_text("")),
    ("without its workflow", lambda path: path.write_text("import dwf\n@dwf.workflow\nasync def other(): ...\n")),
    ("raising", lambda path: path.write_text("raise SystemExit(0)\n")),
]  # fmt: skip


@pytest.mark.parametrize("change", [case[1] for case in GONE], ids=[case[0] for case in GONE])
def test_a_live_file_that_is_gone_or_broken_blocks_the_run_until_it_is_back(dwf: Terminal, change: object) -> None:
    assert callable(change)
    dwf.driven(OLD, "one", "--live")
    path = dwf.scripts / "one.py"
    change(path)
    dwf.typed("signal", "one", "go")
    news = dwf.tick(code=1).err
    assert news.startswith("one is blocked") and "one.py" in news and news.count("\n") == 1, news
    assert dwf.tick().err == ""
    assert dwf.status("one") == "blocked"
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    dwf.script(OLD, "one.py")
    dwf.tick()
    assert dwf.typed("result", "one").out == '"oldold"\n'


def _stored(dwf: Terminal) -> list[bytes]:
    return [path.read_bytes() for path in sorted((dwf.home / "code").rglob("*")) if path.is_file()]


@pytest.mark.parametrize("damage", ["deleted", "changed", "emptied", "directory", "half"])
def test_stored_code_that_is_not_what_it_was_blocks_the_run_until_it_is_back(dwf: Terminal, damage: str) -> None:
    dwf.driven(OLD, "one")
    dwf.typed("signal", "one", "go")
    files = {path: path.read_bytes() for path in (dwf.home / "code").rglob("*") if path.is_file()}
    assert files
    for path, data in files.items():
        path.chmod(0o600)
        if damage == "changed":
            path.write_bytes(data.replace(b'return "old"', b'return "bad"').replace(b"dwf.code/1", b"dwf.code/2"))
        elif damage == "emptied":
            path.write_bytes(b"")
        elif damage == "half":
            path.write_bytes(data[: len(data) // 2])
        else:
            path.unlink()
        if damage == "directory":
            path.mkdir()
    news = dwf.tick(code=1).err
    assert news.startswith("one is blocked"), news
    assert dwf.tick().err == ""
    assert dwf.status("one") == "blocked"
    assert dwf.typed("show", "one").is_clean().code == 0
    for path, data in files.items():
        if path.is_dir():
            path.rmdir()
        path.write_bytes(data)
    dwf.typed("signal", "one", "again")
    dwf.tick()
    assert dwf.typed("result", "one").out == '"oldold"\n'


def test_a_blocked_run_goes_on_when_it_is_moved_to_mended_code(dwf: Terminal) -> None:
    broken = OLD.replace("return first +", "{}['typo']; return first +")
    dwf.driven(broken, "one")
    dwf.typed("signal", "one", "go")
    dwf.tick(code=1)
    assert dwf.status("one") == "blocked"
    answer = dwf.typed("upgrade", "one", "--to", dwf.script(FITS, "mended.py"), "-m", "a typo").is_clean()
    assert answer.code == 0
    dwf.tick()
    assert dwf.typed("result", "one").out == '"oldnew"\n'
    assert dwf.events("one", "CodeUpgraded")[0]["reason"] == "a typo"


def test_upgrade_to_what_is_no_script_is_refused(dwf: Terminal) -> None:
    dwf.driven(OLD, "one")
    dwf.script("import dwf\n@dwf.workflow\nasync def other(): ...\n", "other.py")
    for code, path in [(4, "none.py"), (65, "."), (65, "other.py")]:
        dwf.refuses(code, "upgrade", "one", "--to", dwf.scripts / path)
    dwf.refuses(2, "upgrade", "one")
    dwf.refuses(4, "upgrade", "none", "--to", dwf.scripts / "one.py")
    before = tree(dwf.home / "runs")
    dwf.typed("cancel", "one", "-m", "why")
    dwf.tick()
    assert tree(dwf.home / "runs") != before
    dwf.refuses(7, "upgrade", "one", "--to", dwf.scripts / "one.py")
