"""Completion scripts for bash, zsh and fish, made from the verbs as they are: their names, options and arguments.

Static where possible, so a TAB costs no process; only run ids are asked from `dwf __complete`, which starts no parser.
The generated scripts are checked in under completions/, and a test holds them to this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dwf.cli.app import load, program
from dwf.cli.catalog import VERBS, Verb
from dwf.cli.options import everywhere

# What may stand where an argument or an option's value is asked for, by the metavar in the help.
_RUNS, _FILES, _TOPICS, _SHELLS = "runs", "files", "topics", "shells"
_BY_METAVAR = {
    "RUN": _RUNS,
    "RUN...": _RUNS,
    "[RUN]": _RUNS,
    "SCRIPT[:WORKFLOW]": _FILES,
    "SCRIPT": _FILES,
    "[SCRIPT]": _FILES,
    "SCRIPT[:WORKFLOW]|RUN": _FILES,
    "[TOPIC | VERB]": _TOPICS,
    "bash|zsh|fish": _SHELLS,
    "DIR": _FILES,
    "JSON|@FILE|-": _FILES,
    "FILE": _FILES,
    "[FILE|-]": _FILES,
}
_EVERYWHERE_CHOICES = {
    "--output": ("table", "wide", "json", "jsonl", "name"),
    "--color": ("auto", "always", "never"),
    "--status": tuple(
        "running waiting blocked completed failed cancelled terminated moved imported corrupt newer".split()
    ),
}


@dataclass(frozen=True)
class Flag:
    """One option: its names, its words, whether a value follows, and what that may be."""

    names: tuple[str, ...]
    words: str
    valued: bool
    kind: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """What completion knows of a verb. `flags`: its own, not those of every verb. `first`: what its first argument is;
    `rest`: the ones after it."""

    verb: Verb
    flags: tuple[Flag, ...]
    first: str
    rest: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.verb.name, self.verb.alias) if name)


def shapes() -> list[Shape]:
    """All verbs. Loads every one of them."""
    return [_shape(verb) for verb in VERBS]


def script_for(shell: str) -> str:
    """The completion script of bash, zsh or fish."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](shapes())


def common_flags() -> list[Flag]:
    """The options of every verb, and of dwf itself."""
    return [_flag(option) for option in everywhere(hidden=False)] + [Flag(("-h", "--help"), "show help", False)]


def _shape(verb: Verb) -> Shape:
    command = load(verb)
    context = command.make_context(verb.name, [], resilient_parsing=True, parent=program().make_context("dwf", []))
    common = {name for flag in common_flags() for name in flag.names}
    options = [p for p in command.get_params(context) if p.param_type_name == "option" and p.opts[0] not in common]
    arguments = [p for p in command.get_params(context) if p.param_type_name == "argument"]
    kinds = [_BY_METAVAR.get(p.metavar or "", "") for p in arguments]
    repeats = bool(arguments) and arguments[0].nargs == -1
    first = kinds[0] if kinds else ""
    return Shape(verb, tuple(_flag(option) for option in options), first, first if repeats else "")


def _flag(option: Any) -> Flag:
    names = (*option.opts, *option.secondary_opts)
    valued = not option.is_flag and not option.count
    choices = _EVERYWHERE_CHOICES.get(names[-1], ()) or tuple(map(str, getattr(option.type, "choices", ())))
    kind = _BY_METAVAR.get(option.metavar or "", "") if valued else ""
    return Flag(names, (option.help or "").replace("'", ""), valued, kind, choices)


# -- bash -------------------------------------------------------------------------------------------------------

_HEAD = "made by `dwf completion {shell}`; do not edit"


def _bash(verbs: list[Shape]) -> str:
    cases = []
    for shape in verbs:
        words = " ".join(name for flag in shape.flags for name in flag.names)
        cases.append(
            f"    {'|'.join(shape.names)}) options='{words}'; first={shape.first or '-'}; rest={shape.rest or '-'} ;;"
        )
    names = " ".join(name for shape in verbs for name in shape.names)
    common = " ".join(name for flag in common_flags() for name in flag.names)
    return _BASH.format(
        head=_HEAD.format(shell="bash"), verbs=names, common=common, cases="\n".join(cases), values=_bash_values(verbs)
    )


def _bash_values(verbs: list[Shape]) -> str:
    lines = []
    plain: list[str] = []
    for flag in _all_flags(verbs):
        if not flag.valued:
            continue
        names = "|".join(flag.names)
        if flag.choices:
            lines.append(f"    {names}) kind='{' '.join(flag.choices)}' ;;")
        elif flag.kind:
            lines.append(f"    {names}) kind={flag.kind} ;;")
        else:
            plain.extend(flag.names)
    return "\n".join([*lines, f"    {'|'.join(plain)}) kind=- ;;"])


def _all_flags(verbs: list[Shape]) -> list[Flag]:
    """Every option once; an option has the same value in every verb that takes it (a test says so)."""
    found: dict[tuple[str, ...], Flag] = {}
    for flag in [*common_flags(), *(flag for shape in verbs for flag in shape.flags)]:
        found.setdefault(flag.names, flag)
    return list(found.values())


_BASH = r"""# bash completion for dwf, {head}
_dwf() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
  local verb='' options='--version' first=verbs rest=- kind='' i word skip='' places=0
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${{COMP_WORDS[i]}}
    if [[ -n $skip ]]; then skip=''; continue; fi
    if [[ $word == -* ]]; then
      _dwf_value "$word"
      [[ -n $kind ]] && skip=yes
      kind=''
      [[ $word == -l || $word == --last ]] && ((places++))
    elif [[ -z $verb ]]; then
      verb=$word
    else
      ((places++))
    fi
  done
  _dwf_value "$prev"
  if [[ -z $kind ]]; then
    [[ -n $verb ]] && _dwf_verb "$verb"
    if [[ $cur == -* ]]; then
      kind="$options {common}"
    elif [[ $places -eq 0 ]]; then
      kind=$first
    else
      kind=$rest
    fi
  fi
  case $kind in
    -) ;;
    verbs) COMPREPLY=($(compgen -W '{verbs}' -- "$cur")) ;;
    runs) COMPREPLY=($(compgen -W "$(dwf __complete runs "$cur" 2>/dev/null)" -- "$cur")) ;;
    topics) COMPREPLY=($(compgen -W "$(dwf __complete topics "$cur" 2>/dev/null)" -- "$cur")) ;;
    shells) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur")) ;;
    files) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$kind" -- "$cur")) ;;
  esac
}}
_dwf_verb() {{
  case $1 in
{cases}
  esac
}}
_dwf_value() {{
  case $1 in
{values}
  esac
}}
complete -F _dwf dwf
"""

# -- zsh --------------------------------------------------------------------------------------------------------


def _zsh(verbs: list[Shape]) -> str:
    listed = "\n".join(f"    '{name}:{_zsh_words(shape.verb.summary)}'" for shape in verbs for name in shape.names)
    cases = "\n".join(_zsh_case(shape) for shape in verbs)
    common = "\n".join(f"    {_zsh_flag(flag)}" for flag in common_flags())
    return _ZSH.format(head=_HEAD.format(shell="zsh"), verbs=listed, cases=cases, common=common)


def _zsh_case(shape: Shape) -> str:
    parts = [_zsh_flag(flag) for flag in shape.flags]
    if shape.first:
        parts.append(f"'{'*' if shape.rest else '1'}:{shape.first}:{_ZSH_KINDS[shape.first]}'")
    lines = " \\\n        ".join(parts)
    own = f" \\\n        {lines}" if parts else ""
    return f"      {'|'.join(shape.names)})\n      _arguments -s $common{own} ;;"


def _zsh_flag(flag: Flag) -> str:
    value = ""
    if flag.valued:
        what = f"({' '.join(flag.choices)})" if flag.choices else _ZSH_KINDS.get(flag.kind, " ")
        value = f":value:{what}"
    words = f"[{_zsh_words(flag.words)}]{value}"
    if len(flag.names) == 1:
        return f"'*{flag.names[0]}{words}'"
    return f"'*'{{{','.join(flag.names)}}}'{words}'"


def _zsh_words(text: str) -> str:
    return text.replace("'", "").replace("[", "(").replace("]", ")").replace(":", "\\:")


_ZSH_KINDS = {_RUNS: "_dwf_runs", _FILES: "_files", _TOPICS: "_dwf_topics", _SHELLS: "(bash zsh fish)"}

_ZSH = r"""#compdef dwf
# zsh completion for dwf, {head}
_dwf_runs() {{
  local -a ids
  ids=(${{(f)"$(dwf __complete runs "$PREFIX" 2>/dev/null)"}})
  compadd -a ids
}}
_dwf_topics() {{
  local -a topics
  topics=(${{(f)"$(dwf __complete topics "$PREFIX" 2>/dev/null)"}})
  compadd -a topics
}}
_dwf_verbs() {{
  local -a verbs
  verbs=(
{verbs}
  )
  _describe verb verbs
}}
_dwf() {{
  local context state line curcontext=$curcontext
  local -a common
  common=(
{common}
  )
  _arguments -C -s $common \
    '*--version[print the version]' \
    '1:verb:_dwf_verbs' \
    '*::argument:->verb'
  if [[ $state == verb ]]; then
    case $line[1] in
{cases}
    esac
  fi
}}
if [[ $funcstack[1] == _dwf ]]; then _dwf "$@"; else compdef _dwf dwf; fi
"""

# -- fish -------------------------------------------------------------------------------------------------------


def _fish(verbs: list[Shape]) -> str:
    lines = [f"# fish completion for dwf, {_HEAD.format(shell='fish')}", _FISH]
    for shape in verbs:
        for name in shape.names:
            lines.append(f"complete -c dwf -n __dwf_no_verb -f -a {name} -d '{_fish_words(shape.verb.summary)}'")
    lines += [_fish_flag(flag) for flag in common_flags()]
    lines.append("complete -c dwf -n __dwf_no_verb -l version -d 'print the version'")
    for shape in verbs:
        test = f"'__dwf_verb {' '.join(shape.names)}'"
        if shape.first:
            lines.append(f"complete -c dwf -n {test} {_FISH_KINDS[shape.first]}")
        else:
            lines.append(f"complete -c dwf -n {test} -f")
        lines += [_fish_flag(flag, test) for flag in shape.flags]
    return "\n".join(lines) + "\n"


def _fish_flag(flag: Flag, test: str = "") -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names)
    value = ""
    if flag.valued:
        value = " -x" if flag.kind != _FILES else " -r"
        value += f" -a '{' '.join(flag.choices)}'" if flag.choices else ""
    where = f" -n {test}" if test else ""
    return f"complete -c dwf{where} {names}{value} -d '{_fish_words(flag.words)}'"


def _fish_words(text: str) -> str:
    return text.replace("'", "")


_FISH_KINDS = {
    _RUNS: "-f -a '(dwf __complete runs (commandline -ct) 2>/dev/null)'",
    _FILES: "-F",
    _TOPICS: "-f -a '(dwf __complete topics (commandline -ct) 2>/dev/null)'",
    _SHELLS: "-f -a 'bash zsh fish'",
}
_FISH = r"""function __dwf_words
    # the words that are no options, the command itself left out
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; or echo $word
    end
end
function __dwf_no_verb
    test (count (__dwf_words)) -eq 0
end
function __dwf_verb
    set -l words (__dwf_words)
    test (count $words) -gt 0; and contains -- $words[1] $argv
end"""
