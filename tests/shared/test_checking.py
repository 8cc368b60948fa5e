"""dwf check in a shared directory: a member may ask what an edit would strand, with code that he can trust."""

from __future__ import annotations

import os

from tests.shared.people import ALICE, BOB, STRANGER, Place


def test_a_member_checks_an_edit_of_the_catalogue_against_the_runs_of_all(place: Place) -> None:
    place.start("waits", "r1")
    book = place.catalogue / "book.py"
    said = place.do(BOB, "check", str(book))
    assert (said.code, said.out) == (0, "r1  safe\n"), said.err
    book.write_text(book.read_text().replace('return await dwf.wait_signal("go")\n', "return await double(1)\n", 1))
    said = place.do(BOB, "check", str(book))
    assert said.code == 1 and said.out.startswith("r1  diverges at book.py:"), said.err
    # The stored code, with which the old lines would be known, is not for members to read.
    assert "if dwf.patched" not in said.out and "hint: " in said.out
    assert "if dwf.patched" in place.tick_("check", str(book)).out


def test_a_file_of_another_member_is_not_run_and_a_stranger_sees_no_runs(place: Place) -> None:
    place.start("waits", "r1")
    mine = place.base / "mine.py"
    mine.write_text((place.catalogue / "book.py").read_text())
    os.chown(mine, ALICE, ALICE)
    assert place.do(ALICE, "check", str(mine)).code == 0
    refused = place.do(BOB, "check", str(mine))
    assert refused.code == 77 and f"belongs to uid {ALICE}" in refused.error
    assert place.do(BOB, "check", str(mine), "--runs", "none").code == 0
    assert place.do(STRANGER, "check", str(place.catalogue / "book.py")).code == 77
