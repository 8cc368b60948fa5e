"""The verbs: one table. The overview, the lazy loader, the completions and `did you mean` are all made from it.

A verb is a function in a module of dwf/cli/verbs; its parameters and its help are there, and only loaded when it is
called. Adding a verb is one line here and one function there.
"""

from __future__ import annotations

from typing import NamedTuple

PANELS = ("Run", "Watch", "Answer", "Repair", "Author", "Admin")


class Verb(NamedTuple):
    """`module` in dwf/cli/verbs; `examples`: two command lines with what they do."""

    name: str
    panel: str
    module: str
    summary: str
    examples: tuple[tuple[str, str], tuple[str, str]]
    alias: str = ""

    @property
    def function(self) -> str:
        """The name of its function: `list_` where Python has taken the word."""
        return f"{self.name}_" if self.name in ("list", "help", "import") else self.name


VERBS: tuple[Verb, ...] = (
    Verb(
        "start", "Run", "starting", "start a run durably and print its id",
        (("dwf start rotate.py host=web1 days=30", "typed parameters come from the script"),
         ("dwf start rotate.py host=web1 --id rotate-web1 --at 'tomorrow 03:00'", "an id and a time of your own")),
    ),
    Verb(
        "run", "Run", "starting", "start a run and drive it here, asking its questions at the prompt",
        (("dwf run rotate.py host=web1", "Ctrl-C leaves it to the next tick, it does not end it"),
         ("dwf run deploy.py:rollback version=41 && echo undone", "the exit code is the outcome")),
    ),
    Verb(
        "tick", "Run", "starting", "drive everything that is due, then end; silent when nothing is",
        (("* * * * * dwf tick", "a line for crontab: that is the whole installation"),
         ("dwf tick --jobs 4 --max-seconds 50", "at most four steps at a time, and end within the minute")),
    ),
    Verb(
        "worker", "Run", "working", "keep driving what becomes due, until it is stopped",
        (("dwf worker", "beside or instead of cron: answers within milliseconds"),
         ("dwf worker --jobs 4", "at most four steps at a time")),
    ),
    Verb(
        "list", "Watch", "listing", "what there is, where it is, and what it waits for",
        (("dwf list --open", "leave out what has ended"),
         ("dwf list --where \"tag.env = 'prod' AND NOT open\" -o name", "only their ids; dwf help tags")),
        "ls",
    ),
    Verb(
        "count", "Watch", "listing", "how many runs there are, by status and workflow",
        (("dwf count", "all of them"),
         ("dwf count --status failed --workflow rotate -o name", "just the number, for a script")),
    ),
    Verb(
        "show", "Watch", "watching", "one run on one screen: where, since when, who must act, what to type",
        (("dwf show rotate-web1", "a unique beginning of the id is enough"),
         ("dwf show rotate-web1 --exit-status", "5 if it waits for a person, 3 if it is not finished")),
        "status",
    ),
    Verb(
        "history", "Watch", "watching", "every event of a run, a line each",
        (("dwf history rotate-web1 -f", "go on as it grows, until the run ends"),
         ("dwf history rotate-web1 -o jsonl | jq .type", "the stored lines as they are")),
    ),
    Verb(
        "logs", "Watch", "watching", "what the steps of a run printed",
        (("dwf logs rotate-web1", "all of it, step by step"),
         ("dwf logs rotate-web1 'verify chain' --tail 20", "the end of what one step printed")),
    ),
    Verb(
        "query", "Watch", "asking", "ask a run something that its script can answer",
        (("dwf query rollout left", "its answer, as JSON; also when the run is over"),
         ("dwf query rollout", "what it takes: queries, updates, signals")),
    ),
    Verb(
        "wait", "Watch", "waiting", "wait until runs are done, or until one waits for a person",
        (("dwf wait rotate-web1 --timeout 2h", "124 if the time runs out"),
         ("dwf wait rotate-web1 --until step:drain", "until that step is done")),
    ),
    Verb(
        "timers", "Watch", "timing", "what waits for its time: the timers of open runs, the first due first",
        (("dwf timers", "all of them"),
         ("dwf timers --due-before 'tomorrow 06:00'", "what fires in the night; -o name for a script")),
    ),
    Verb(
        "locks", "Watch", "holding", "who holds which lock between runs, and who waits for it",
        (("dwf locks", "holders first, then who waits, the next one first"),
         ("dwf locks --json", "the same for a program")),
    ),
    Verb(
        "limits", "Watch", "limiting", "limits that steps share: what runs under them, what waits; set or unset one",
        (("dwf limits", "how many run and began, and who waits"),
         ("dwf limits set api=10/min -m 'the vendor asked'", "for all runs, whatever scripts say")),
    ),
    Verb(
        "versions", "Watch", "versioning", "which code runs are on, and what of it nobody needs any more",
        (("dwf versions rotate.py", "open and closed runs of each version of one script"),
         ("dwf versions rotate.py -o name", "open runs that are not on the code of today")),
    ),
    Verb(
        "routes", "Watch", "routing", "which code new starts of a script take; keep some for them",
        (("dwf routes set rotate.py --code pinned -m 'deploy 4711'", "new starts stay on what the file holds now"),
         ("dwf routes set rotate.py --ramp 10 -m 'some of them'", "of 100 new starts 10 take the file as it is then")),
    ),
    Verb(
        "result", "Watch", "waiting", "print what a run returned, as JSON",
        (("dwf result rotate-web1", "3 if it is not finished, 1 if it failed"),
         ("dwf result rotate-web1 | jq -r .serial", "one field of it")),
    ),
    Verb(
        "inbox", "Answer", "answering", "everything that needs a person",
        (("dwf inbox", "questions to answer, runs to mend"),
         ("dwf inbox --json", "the same for a program")),
    ),
    Verb(
        "approve", "Answer", "answering", "say yes to a question of a run",
        (("dwf approve rotate-web1 -m 'checked the chain'", "the only open question"),
         ("dwf approve rotate-web1 'Switch web1?' --tick", "one of several, and go on here at once")),
    ),
    Verb(
        "reject", "Answer", "answering", "say no to a question of a run",
        (("dwf reject rotate-web1 -m 'wrong serial'", "the reason is recorded with your name"),
         ("dwf reject rotate-web1 7", "a question by its number in dwf show")),
    ),
    Verb(
        "signal", "Answer", "signalling", "send a run a named message",
        (("dwf signal rotate-web1 replaced serial=3A:91", "words become a JSON object"),
         ("jq -c . plan.json | dwf signal rotate-web1 plan -", "any JSON from a pipe")),
    ),
    Verb(
        "update", "Answer", "asking", "ask a run to do something, and wait for its answer",
        (("dwf update rollout limit to=5", "waits for the next tick; prints what it returns"),
         ("dwf update rollout limit to=5 --key change-4711 --tick", "once only, and here at once")),
    ),
    Verb(
        "complete", "Answer", "completing", "end a callback of a run by its token, or keep it alive",
        (("dwf complete - --result '{\"size\": 5}'", "the token comes from stdin, where no ps shows it"),
         ("dwf complete --heartbeat", "with the token in $DWF_TOKEN: still at work")),
    ),
    Verb(
        "cancel", "Repair", "ending", "ask a run to end; it cleans up first",
        (("dwf cancel rotate-web1 -m 'wrong host'", "its finally: blocks run"),
         ("dwf cancel --where \"tag.env = 'test'\" -m 'host is gone'", "all that fit; asks first")),
    ),
    Verb(
        "terminate", "Repair", "ending", "end a run now, without any cleanup",
        (("dwf terminate rotate-web1 -m 'script is lost'", "asks; says what stays undone"),
         ("dwf terminate rotate-web1 -y -m 'host is gone'", "for scripts, without the question")),
    ),
    Verb(
        "retry", "Repair", "undoing", "go on from what failed in a run that has ended",
        (("dwf retry rotate-web1 -m 'disk is free again'", "from the step that failed last; what was done stays done"),
         ("dwf retry fleet-7f3k9 --failed-items -m 'again'", "of many items those that failed, in a run of their own")),
    ),
    Verb(
        "undo", "Repair", "undoing", "take back what a run did that has ended",
        (("dwf undo rotate-web1 -m 'wrong certificate'", "asks; a run of its own works through the ledger"),
         ("dwf undo rotate-web1 -y -m 'drill' --tick", "without the question, and drive it here at once")),
    ),
    Verb(
        "step", "Repair", "repairing", "say what became of a step, or how it goes on",
        (("dwf step complete failover 4 --result '{\"code\": 0}' -m 'the address has moved'", "as if it had said so"),
         ("dwf step retry failover -m 'nothing had happened'", "once more, and at once")),
    ),
    Verb(
        "timer", "Repair", "timing", "let a timer fire now, or at another time",
        (("dwf timer fire rotate-web1 -m 'the window is open'", "the only timer of that run; do not wait for it"),
         ("dwf timer move rotate-web1 7 --at 22:00 -m 'not in office hours'", "one of several, by its number")),
    ),
    Verb(
        "reset", "Repair", "branching", "go on from an earlier place of a run that is over",
        (("dwf reset rotate-web1 --from drain -m 'it was not drained'", "that step and what follows is done again"),
         ("dwf reset rotate-web1 --from last-ok --script rotate.py -m '4711'", "from the failure, with mended code")),
    ),
    Verb(
        "fork", "Repair", "branching", "make another run that goes on from a place of this one",
        (("dwf fork rotate-web1 --id trial --set drain=3 -m 'what if'", "a step has another result there"),
         ("dwf fork rotate-web1 --id trial --line 12 -m 'what if'", "it keeps the first 12 lines")),
    ),
    Verb(
        "pause", "Repair", "pausing", "let nothing more of a run begin, until it is resumed",
        (("dwf pause deploy-7 -m 'change freeze'", "what runs comes to its end, and is recorded"),
         ("dwf pause --workflow deploy -m 'change freeze'", "all open runs of one workflow; asks first")),
    ),
    Verb(
        "resume", "Repair", "pausing", "let a paused run go on",
        (("dwf resume deploy-7 -m 'freeze is over'", "its script is told what has happened meanwhile"),
         ("dwf resume --status paused -m 'freeze is over' -y", "all of them, without a question")),
    ),
    Verb(
        "unblock", "Repair", "repairing", "let a run go on that was set aside",
        (("dwf unblock rotate-web1 -m 'more memory'", "after dwf died over it again and again"),
         ("dwf unblock rotate-web1 -m 'mount is back' --tick", "and drive it here at once")),
    ),
    Verb(
        "repair", "Repair", "repairing", "go on with a damaged history as far as it is sound",
        (("dwf repair rotate-web1", "what would be lost; changes nothing"),
         ("dwf repair rotate-web1 --truncate-at 40 --i-know -m 'no backup'", "give up line 40 and all behind it")),
    ),
    Verb(
        "upgrade", "Repair", "ending", "move runs to a mended script, if their history fits it",
        (("dwf upgrade rotate-web1 --to rotate.py", "refused if it would diverge; nothing is changed then"),
         ("dwf upgrade web1 web2 --to rotate.py -m 'bug 4711'", "several at once")),
    ),
    Verb(
        "export", "Admin", "moving", "write a run into one file, to look into or to go on elsewhere",
        (("dwf export rotate-web1 rotate-web1.dwf", "a copy; the run goes on here"),
         ("dwf export rotate-web1 rotate-web1.dwf --move -m 'new bastion'", "it goes no further here")),
    ),
    Verb(
        "import", "Admin", "moving", "take in a run from such a file",
        (("dwf import rotate-web1.dwf", "a copy to look into; nothing drives it"),
         ("dwf import rotate-web1.dwf --resume", "it was moved: it goes on here")),
    ),
    Verb(
        "tree", "Watch", "family", "a run and its child runs, and theirs: where each is",
        (("dwf tree fleet-0912", "what each waits for"),
         ("dwf tree fleet-0912 -o name", "only ids, parents before children")),
    ),
    Verb(
        "plan", "Author", "planning", "how a run may go, and what comes next: nothing is really done",
        (("dwf plan rotate.py host=web1", "steps, waits and questions in order, with times"),
         ("dwf plan rotate-web1", "of an open run: on yes, on no, on timeout, on failure")),
    ),
    Verb(
        "test", "Author", "planning", "play a script through on several ways, and on harder ones",
        (("dwf test rotate.py host=web1 --coverage", "and what no way of it comes through"),
         ("dwf test rotate.py host=web1 --paranoid --crash-everywhere", "replayed and dying all the time")),
    ),
    Verb(
        "patches", "Author", "versioning", "which patches of a script may go, and which runs still need the others",
        (("dwf patches rotate.py", "before an old branch is taken out"),
         ("dwf patches rotate.py -o name", "only those that can be deprecated or removed")),
    ),
    Verb(
        "replay", "Author", "replaying", "replay the history of a run, and say where its script stands",
        (("dwf replay rotate-web1 --stop-at 12", "each task's line and variables when line 12 had been told"),
         ("dwf replay --all --against rotate.py", "which runs would part from an edited script, for CI; 65 if one")),
    ),
    Verb(
        "stack", "Author", "watching", "where in the script each task of a run waits",
        (("dwf stack rotate-web1", "file, line and source"),
         ("dwf stack rotate-web1 --json", "the same for a program")),
    ),
    Verb(
        "check", "Author", "checking", "before a deploy: mistakes in a script, and the runs that it would strand",
        (("dwf check rotate.py", "every open run of it is replayed over the file; 1 if one would not fit"),
         ("dwf check --runs none runbooks/*.py --format github", "for CI, where there are no runs")),
    ),
    Verb(
        "verify", "Admin", "verifying", "check histories line by line: hashes, chain, order",
        (("dwf verify", "all runs"),
         ("dwf verify --witness /mnt/log/dwf.witness", "also against what a witness has kept (dwf help security)")),
    ),
    Verb(
        "init", "Admin", "settling", "make a state directory knowingly; print what makes it tick",
        (("dwf init --cron", "a line for crontab, with whole paths"),
         ("dwf init --shared --group ops --catalogue /srv/dwf/workflows", "one user drives, a group answers")),
    ),
    Verb(
        "archive", "Admin", "archiving", "put closed runs out of the way; they can still be shown",
        (("dwf archive --older-than 30d --dry-run", "what ended a month ago and longer"),
         ("dwf archive --older-than 90d -y", "for crontab: without a question; dwf help archiving")),
    ),
    Verb(
        "adopt", "Admin", "admin", "bind a state directory that was moved or restored to this machine",
        (("dwf adopt", "asks first: is it really used nowhere else?"),
         ("dwf adopt --home /srv/dwf --yes", "for a restore script, without the question")),
    ),
    Verb(
        "audit", "Admin", "auditing", "who did what, when and why, and who was refused",
        (("dwf audit rotate-web1", "everything that people did to one run"),
         ("dwf audit --since yesterday -o jsonl", "for an archive, a line each")),
    ),
    Verb(
        "doctor", "Admin", "health", "find what is wrong, and say what to type",
        (("dwf doctor", "the directory, the disk, the clock, cron, histories, stuck runs"),
         ("dwf doctor --fix", "mend what is safe to mend, and keep the evidence")),
    ),
    Verb(
        "hooks", "Admin", "hooking", "the programs that are told what becomes of runs, and whether they were",
        (("dwf hooks", "what each is told, what failed, what is not called and why"),
         ("dwf hooks --try failed.page", "call it once, with a moment that did not happen")),
    ),
    Verb(
        "whoami", "Admin", "admin", "as whom dwf would record you",
        (("dwf whoami", "uid, login, and what else is known"),
         ("sudo dwf whoami", "the user behind a sudo is kept")),
    ),
    Verb(
        "completion", "Admin", "admin", "print the completion for bash, zsh or fish",
        (("dwf completion bash > ~/.local/share/bash-completion/completions/dwf", "for your next shell"),
         ("source <(dwf completion zsh)", "for this shell")),
    ),
    Verb(
        "help", "Admin", "admin", "explain a topic or a verb",
        (("dwf help stuck", "nothing happens: what do I type?"),
         ("dwf help exit-codes", "what a script can rely on")),
    ),
    Verb(
        "version", "Admin", "admin", "print the version",
        (("dwf version", "just the number"),
         ("dwf version --json", "with Python's, and where the state is")),
    ),
)  # fmt: skip

BY_NAME: dict[str, Verb] = {name: verb for verb in VERBS for name in (verb.name, verb.alias) if name}


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant."""
    from difflib import get_close_matches

    found = get_close_matches(word, known, n=1)
    return found[0] if found else None
