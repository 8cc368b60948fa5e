from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from dwf.cli import topics
from dwf.cli.app import load, program
from dwf.cli.catalog import BY_NAME, PANELS, VERBS, Verb
from dwf.cli.exits import MEANINGS
from dwf.cli.session import Session
from tests.cli.terminal import Terminal

TOPICS = [
    "activities",
    "approvals",
    "archiving",
    "auditing",
    "bounds",
    "callbacks",
    "checking",
    "children",
    "cleanup",
    "cron",
    "durability",
    "exit-codes",
    "file-format",
    "flow",
    "handlers",
    "health",
    "hosts",
    "many",
    "mending",
    "moving",
    "reference",
    "replaying",
    "security",
    "signals",
    "steps",
    "stuck",
    "tags",
    "telling",
    "testing",
    "time",
    "versioning",
    "writing",
]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_help_with_two_examples_in_eighty_columns(verb: Verb, dwf: Terminal) -> None:
    said = dwf(verb.name, "--help", COLUMNS="80")

    assert (said.code, said.err) == (0, "")
    for line, words in verb.examples:
        assert line in said.out and words in said.out
    assert "--home DIR" in said.out
    assert dwf("help", verb.name).out == said.out
    for line in said.out.splitlines():
        assert len(line) <= 80 or line.strip() in {example for example, _ in verb.examples}, line


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_is_a_function_in_its_module_and_in_a_panel(verb: Verb) -> None:
    assert callable(getattr(importlib.import_module(f"dwf.cli.verbs.{verb.module}"), verb.function))
    assert verb.panel in PANELS
    assert len(verb.summary) <= 80


@pytest.mark.parametrize(("verb", "line"), [(v, line) for v in VERBS for line, _ in v.examples], ids=str)
def test_every_example_parses(verb: Verb, line: str) -> None:
    """As the shell would cut it, up to what the shell does with its output."""
    words = shlex.split(re.split(r"[|>&()]|\* \* ", line.replace("* * * * * ", ""))[-1 if "|" in line else 0])
    words = words or shlex.split(line.split("(")[1].rstrip(")"))
    words = words[words.index("dwf") + 1 :] if "dwf" in words else words
    if words[:1] != [verb.name]:
        words = shlex.split(re.findall(rf"dwf ({verb.name}[^|>&)]*)", line)[0])
    session = Session({})
    with program().make_context("dwf", words, obj=session) as context:
        command = load(verb)
        command.make_context(verb.name, words[1:], parent=context)


def test_the_overview_shows_every_verb_and_topic(dwf: Terminal) -> None:
    for words in ((), ("--help",), ("help",)):
        said = dwf(*words)
        assert said.code == 0
        for verb in VERBS:
            assert re.search(rf"^  {verb.name} ", said.out, re.MULTILINE), verb.name
        for topic in TOPICS:
            assert topic in said.out
        assert all(len(line) <= 80 for line in said.out.splitlines())


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_plain_text_in_eighty_columns(topic: str, dwf: Terminal) -> None:
    said = dwf("help", topic)

    assert (said.code, said.err) == (0, "")
    assert said.out.isascii() and len(said.out) > 400
    assert max(len(line) for line in said.out.splitlines()) <= 80


def test_the_topics_are_the_files_that_are_shipped() -> None:
    assert topics.names() == TOPICS
    from dwf.cli.complete import _topics

    assert sorted(_topics()) == TOPICS


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_speaks_only_of_verbs_and_options_that_there_are(topic: str) -> None:
    text = topics.text_of(topic)
    for name in re.findall(r"(?:`|\$ )dwf ([a-z-]+)", text):
        assert name in BY_NAME, name
    for name in re.findall(r"dwf help ([a-z-]+)", text):
        assert name in TOPICS, name


def test_the_exit_codes_are_told_from_the_one_table() -> None:
    text = topics.text_of("exit-codes")
    for code, words in MEANINGS.items():
        assert re.search(rf"^ +{int(code)}  {re.escape(words.split(' ')[0])}", text, re.MULTILINE)
        assert words in " ".join(text.split())
    assert "128+n" in text


# What may follow the name of the program in a sentence, and is no command line. No word of these may become a verb.
PROSE = set(
    "can cannot could did died dies does for had has is itself knows may must never or promises refuses runs sees "
    "state stops touches was were will works would writes wrote".split()
)


def test_what_is_said_anywhere_names_only_verbs_and_topics_that_there_are() -> None:
    assert not PROSE & set(BY_NAME)
    here = Path(__file__).parents[2] / "dwf"
    said = {path: text for path in here.rglob("*.py") for text in [" | ".join(_said_to_people(path))]}
    said |= {path: path.read_text(encoding="utf-8") for path in here.rglob("*.md")}
    for path, text in said.items():
        for name in re.findall(r"\bdwf ([a-z]+(?:-[a-z]+)*)\b", text):
            assert name in PROSE or name in BY_NAME, (path.name, name)
        for name in re.findall(r"\bdwf help ([a-z-]+)", text):
            assert name in {*TOPICS, *BY_NAME, "lists"}, (path.name, name)


def _said_to_people(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
