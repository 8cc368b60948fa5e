# bash completion for dwf, made by `dwf completion bash`; do not edit
_dwf() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local verb='' options='--version' first=verbs rest=- kind='' i word skip='' places=0
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
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
      kind="$options --home -o --output --json --color --utc -q --quiet -v --verbose --no-input --debug -h --help"
    elif [[ $places -eq 0 ]]; then
      kind=$first
    else
      kind=$rest
    fi
  fi
  case $kind in
    -) ;;
    verbs) COMPREPLY=($(compgen -W 'start run tick worker list ls count show status history logs query wait timers locks limits versions routes result inbox approve reject signal update complete cancel terminate retry undo step timer reset fork pause resume unblock repair upgrade export import tree plan test patches replay stack check verify init archive adopt audit doctor hooks whoami completion help version' -- "$cur")) ;;
    runs) COMPREPLY=($(compgen -W "$(dwf __complete runs "$cur" 2>/dev/null)" -- "$cur")) ;;
    topics) COMPREPLY=($(compgen -W "$(dwf __complete topics "$cur" 2>/dev/null)" -- "$cur")) ;;
    shells) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur")) ;;
    files) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$kind" -- "$cur")) ;;
  esac
}
_dwf_verb() {
  case $1 in
    start) options='--id --input --tag --memo --header --at --in --deadline --priority --step --if-exists --code --live -m --reason --each --tick --wait --timeout'; first=files; rest=- ;;
    run) options='--id --input --tag --memo --header --deadline --priority --if-exists --code --live -m --reason'; first=files; rest=- ;;
    tick) options='--jobs --max-seconds --witness --queue'; first=-; rest=- ;;
    worker) options='--jobs --queue'; first=-; rest=- ;;
    list|ls) options='--open --workflow --status --tag --where --archived -n --limit --csv'; first=-; rest=- ;;
    count) options='--open --workflow --status --tag --where --by'; first=-; rest=- ;;
    show|status) options='--exit-status -l --last'; first=runs; rest=- ;;
    history) options='-f --follow -n --limit -r --reverse --type --detailed --instance -l --last'; first=runs; rest=- ;;
    logs) options='--attempt --tail -l --last'; first=runs; rest=- ;;
    query) options='--input -l --last'; first=runs; rest=- ;;
    wait) options='--until --timeout -l --last'; first=runs; rest=runs ;;
    timers) options='--due-before -n --limit'; first=-; rest=- ;;
    locks) options=''; first=-; rest=- ;;
    limits) options='-m --reason'; first=-; rest=- ;;
    versions) options='--open'; first=files; rest=- ;;
    routes) options='--code --ramp -m --reason'; first=-; rest=- ;;
    result) options='-l --last'; first=runs; rest=- ;;
    inbox) options=''; first=-; rest=- ;;
    approve) options='-m --reason --if-hash --tick -l --last'; first=runs; rest=- ;;
    reject) options='-m --reason --if-hash --tick -l --last'; first=runs; rest=- ;;
    signal) options='-m --reason --key --start --arg --input --tick --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=- ;;
    update) options='--input --until --timeout -m --reason --key --tick -l --last'; first=runs; rest=- ;;
    complete) options='--result --fail --heartbeat --tick'; first=-; rest=- ;;
    cancel) options='-m --reason --tick --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=- ;;
    terminate) options='-m --reason --tick --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=- ;;
    retry) options='--failed-items --script -m --reason --tick --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=- ;;
    undo) options='-m --reason --unknown --instance -y --yes --tick -l --last'; first=runs; rest=- ;;
    step) options='--result --evidence --keep -m --reason --tick -l --last'; first=-; rest=- ;;
    timer) options='--at --in -m --reason --tick -l --last'; first=-; rest=- ;;
    reset) options='--from --line --set --ask-again --no-signals --script -m --reason --tick -l --last'; first=runs; rest=- ;;
    fork) options='--id --from --line --set --ask-again --no-signals --script -m --reason --tick -l --last'; first=runs; rest=- ;;
    pause) options='-m --reason --everything --tick --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=- ;;
    resume) options='-m --reason --everything --tick --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=- ;;
    unblock) options='-m --reason --tick --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=- ;;
    repair) options='--truncate-at --i-know -m --reason -l --last'; first=runs; rest=- ;;
    upgrade) options='--to -m --reason --workflow --status --tag --where --dry-run -y --yes -l --last'; first=runs; rest=runs ;;
    export) options='--move -m --reason -l --last'; first=runs; rest=- ;;
    import) options='--resume -m --reason'; first=files; rest=- ;;
    tree) options='-l --last'; first=runs; rest=- ;;
    plan) options='--set --assume'; first=-; rest=- ;;
    test) options='--set --paranoid --crash-everywhere --coverage'; first=files; rest=- ;;
    patches) options=''; first=files; rest=- ;;
    replay) options='--all --against --stop-at --pdb -l --last'; first=runs; rest=- ;;
    stack) options='-l --last'; first=runs; rest=- ;;
    check) options='--runs --history --format --explain'; first=-; rest=- ;;
    verify) options='--witness -l --last'; first=runs; rest=- ;;
    init) options='--shared --group --catalogue --cron --systemd'; first=-; rest=- ;;
    archive) options='--older-than --dry-run -m --reason -y --yes'; first=-; rest=- ;;
    adopt) options='-y --yes'; first=-; rest=- ;;
    audit) options='--since -l --last'; first=runs; rest=- ;;
    doctor) options='--fix --rebuild-index'; first=-; rest=- ;;
    hooks) options='--try --again'; first=-; rest=- ;;
    whoami) options=''; first=-; rest=- ;;
    completion) options=''; first=shells; rest=- ;;
    help) options=''; first=topics; rest=- ;;
    version) options=''; first=-; rest=- ;;
  esac
}
_dwf_value() {
  case $1 in
    --home) kind=files ;;
    -o|--output) kind='table wide json jsonl name' ;;
    --color) kind='auto always never' ;;
    --input) kind=files ;;
    --if-exists) kind='fail use new terminate' ;;
    --status) kind='running waiting blocked completed failed cancelled terminated moved imported corrupt newer' ;;
    --start) kind=files ;;
    --result) kind=files ;;
    --script) kind=files ;;
    --evidence) kind=files ;;
    --to) kind=files ;;
    --assume) kind='yes no timeout failure' ;;
    --against) kind=files ;;
    --history) kind=files ;;
    --catalogue) kind=files ;;
    --id|--tag|--memo|--header|--at|--in|--deadline|--priority|--code|-m|--reason|--each|--timeout|--jobs|--max-seconds|--witness|--queue|--workflow|--where|-n|--limit|--by|--type|--instance|--attempt|--tail|--until|--due-before|--ramp|--if-hash|--key|--arg|--fail|--from|--line|--set|--truncate-at|--stop-at|--runs|--format|--explain|--group|--older-than|--since|--try) kind=- ;;
  esac
}
complete -F _dwf dwf
