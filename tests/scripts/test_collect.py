"""Collecting a script: every file of it and no other, and a clear answer at once for what is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dwf.errors import DwfError, NotFound, NotPermitted, ScriptRefused
from dwf.scripts.collect import SOURCE_LIMIT, collect
from tests.scripts.conftest import Write

ROOT = Path(__file__).parents[2]


def names(path: str) -> list[str]:
    return sorted(collect(path).files)


def test_a_script_alone(write: Write, tmp_path: Path) -> None:
    path = write("import os, dwf\n")
    found = collect(path)
    assert found.main == "book.py" and found.origin == str(tmp_path) and found.owner == os.getuid()
    assert found.files == {"book.py": b"import os, dwf\n"}


def test_local_modules_are_found_wherever_they_are_imported_and_also_what_those_import(write: Write) -> None:
    write("import second\n", "first.py")
    write("def f():\n    from third import x\n", "second.py")
    write("try:\n    import fourth\nexcept ImportError:\n    pass\nx = 1\n", "third.py")
    write("import first\n", "fourth.py")
    write("never = 1\n", "fifth.py")
    assert names(write("import first, json\n")) == ["book.py", "first.py", "fourth.py", "second.py", "third.py"]


def test_packages_and_relative_imports(write: Write) -> None:
    write("from . import tools\n", "pkg/__init__.py")
    write("from .deep import leaf\nfrom .deep.other import thing\n", "pkg/tools.py")
    write("", "pkg/deep/__init__.py")
    write("from ... import up\nfrom .. import beside\n", "pkg/deep/leaf.py")
    write("thing = 1\n", "pkg/deep/other.py")
    write("", "pkg/beside.py")
    write("", "pkg/unused.py")
    write("", "bare/module.py")
    found = names(write("import pkg.tools\nimport bare.module\nfrom pkg import deep\n"))
    assert found == [
        "bare/module.py",
        "book.py",
        "pkg/__init__.py",
        "pkg/beside.py",
        "pkg/deep/__init__.py",
        "pkg/deep/leaf.py",
        "pkg/deep/other.py",
        "pkg/tools.py",
    ]


def test_dwf_itself_is_never_part_of_a_script(write: Write) -> None:
    write("", "dwf/__init__.py")
    write("", "dwf/core.py")
    assert names(write("import dwf, dwf.core\nfrom dwf import core\n")) == ["book.py"]


def test_a_relative_path_means_the_same_script(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write("import helper\n")
    write("", "helper.py")
    monkeypatch.chdir(tmp_path)
    assert collect("book.py") == collect(str(tmp_path / "book.py")) == collect("./x/../book.py")


# -- what is no script -------------------------------------------------------------------------------------------


def test_a_missing_script_is_not_found_and_a_close_name_is_offered(write: Write, tmp_path: Path) -> None:
    write("", "rotate.py")
    with pytest.raises(NotFound) as error:
        collect(str(tmp_path / "rotat.py"))
    assert error.value.exit_code == 4 and error.value.hint == f"did you mean {tmp_path / 'rotate.py'}?"
    with pytest.raises(NotFound) as error:
        collect(str(tmp_path / "rotate"))
    assert error.value.hint == f"did you mean {tmp_path / 'rotate.py'}?"
    with pytest.raises(NotFound):
        collect(str(tmp_path / "no" / "such" / "dir.py"))


def test_a_missing_script_is_answered_with_what_lies_there(write: Write, tmp_path: Path) -> None:
    def hint() -> str | None:
        with pytest.raises(NotFound) as error:
            collect(str(tmp_path / "nosuch.py"))
        return error.value.hint

    assert hint() == f"there is no .py file in {tmp_path}"
    for number in range(8):
        write("", f"rotate_{number}.py")
        if number == 1:
            assert hint() == f"in {tmp_path} there is rotate_0.py, rotate_1.py"
    assert (hint() or "").endswith("rotate_5.py and 2 more")


@pytest.mark.parametrize("what", ["directory", "fifo", "device", "link to a directory", "through a file"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, what: str) -> None:
    path = tmp_path / "book.py"
    match what:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "link to a directory":
            path.symlink_to(tmp_path)
        case "through a file":
            (tmp_path / "file").touch()
            path = tmp_path / "file" / "book.py"
    began = time.monotonic()
    with pytest.raises(DwfError) as error:
        collect(str(path))
    assert error.value.exit_code in (2, 4) and time.monotonic() - began < 1
    assert isinstance(error.value, ScriptRefused) or what == "through a file"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.py"
    with open(path, "wb") as file:
        file.truncate(SOURCE_LIMIT + 1)
    with pytest.raises(ScriptRefused, match="larger than"):
        collect(str(path))


def test_an_unreadable_script_is_not_permitted(write: Write) -> None:
    path = write("", "secret.py")
    os.chmod(path, 0)  # noqa: PTH101
    if os.getuid():
        with pytest.raises(NotPermitted) as error:
            collect(path)
        assert error.value.exit_code == 77
        return
    if not shutil.which("setpriv"):
        pytest.skip("as root everything can be read, and there is no setpriv here to be somebody else")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101
        path = shutil.copy(path, directory)
        code = f"""if True:
            import sys
            sys.path.insert(0, {str(ROOT)!r})
            from dwf.errors import NotPermitted
            from dwf.scripts.collect import collect
            try:
                collect({path!r})
            except NotPermitted as error:
                sys.exit(error.exit_code)
        """
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code]
        found = subprocess.run(nobody, capture_output=True, text=True, check=False)
        if "ModuleNotFoundError" in found.stderr:
            pytest.skip("nobody else may read dwf here")
        assert found.returncode == 77, found.stderr


def test_a_syntax_error_is_told_with_file_and_line(write: Write) -> None:
    path = write("x = 1\ny = = 2\n")
    with pytest.raises(ScriptRefused) as error:
        collect(path)
    assert f"{path}:2" in error.value.message and error.value.exit_code == 2


def test_a_syntax_error_in_a_helper_is_told_with_that_file(write: Write) -> None:
    write("\n\ndef (:\n", "helper.py")
    with pytest.raises(ScriptRefused, match=r"helper\.py:3"):
        collect(write("import helper\n"))


@pytest.mark.parametrize("data", [b"\0", b"x = '\xff\xfe'", b"# coding: nonsense\n", b"(" * 5000])
def test_bytes_that_are_no_python_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "book.py"
    path.write_bytes(data)
    with pytest.raises(ScriptRefused):
        collect(str(path))
