"""Tags and memo at the terminal: given at the start, typed, and shown in words."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal


def test_words_become_numbers_and_yes_or_no_where_nothing_of_their_writing_is_lost(dwf: Terminal) -> None:
    given = ["env=prod", "hosts=12", "load=0.5", "canary=true", "version=1.10", 'build="7"', "none=null"]
    dwf("start", f"{dwf.script}:quick", "--id", "a", *(f"--tag={word}" for word in given))

    tags = dwf("show", "a", "--json").json["tags"]
    assert tags == {
        "env": "prod",
        "hosts": 12,
        "load": 0.5,
        "canary": True,
        "version": "1.10",
        "build": "7",
        "none": "null",
    }
    assert tags["canary"] is True


def test_a_memo_is_text_or_json_and_show_has_it(dwf: Terminal) -> None:
    dwf("start", f"{dwf.script}:quick", "--id", "a", "--memo", "why=disk is full", "--memo", 'plan={"n": [1, 2]}')

    assert dwf("show", "a", "--json").json["memo"] == {"why": "disk is full", "plan": {"n": [1, 2]}}
    shown = dwf("show", "a").out
    assert 'memo     why: "disk is full"' in shown and 'plan: {"n": [1, 2]}' in shown


def test_show_and_history_have_what_the_script_has_marked(dwf: Terminal) -> None:
    run = dwf.driven("marks", "--tag", "old=1", "--tag", "team=web")

    assert "tags     team=web  env=prod  hosts=3" in dwf("show", run).out
    told = dwf("history", run).out
    assert "env=prod  hosts=3  old taken away" in told and "plan=[1,2]" in told


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (("--tag", "a b=1"), "'a b=1' is not a tag"),
        (("--tag", "prod"), "'prod' is not a tag"),
        (("--tag", "list=[1]"), "the tag list: it must be text, a number"),
        (("--tag", f"a={'x' * 300}"), "300 characters long; the limit is 255"),
        (("--memo", f"a={'x' * 20_000}"), "the limit is 16,384"),
    ],
)
def test_what_cannot_be_one_is_refused_before_anything_is_made(
    dwf: Terminal, option: tuple[str, str], why: str
) -> None:
    said = dwf("start", f"{dwf.script}:quick", *option)

    assert said.code == 2 and why in said.err and "hint:" in said.err
    assert not dwf.home.exists()
