# The far side of a step over ssh, for any POSIX sh. remote.py puts the values of `d` and the others before it.
#
# A step has a directory of its own there. In it: `run`, what is done; `pid`, who does it (process, its start, boot);
# `out` and `err`, what it printed; `code`, how it ended. It is started once, in a session of its own, whoever
# asks however often, and never again; whoever asks follows it from where he stands, and takes the directory away when he knows the end.
# So a connection that is lost, or a near side that dies, costs the step nothing.
#
# Said on stdout, each on a line: "hello", "o N" and "e N" before N bytes of output, "b N" before its checkpoint: it has
# given a sign of life; "x CODE" the end, "gone": it was ended and nobody saw how it went, "none": nothing to be ended. Read on stdin: "done", the end was heard.

umask 077
base=${XDG_STATE_HOME:-$HOME/.local/state}/dwf-steps
d=$base/$name

start_of() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null; }

whose() { # p: the process that does it, if it is the one that was noted and still there
    p= s= b=
    [ -r "$d/pid" ] && read -r p s b <"$d/pid"
    [ -n "$p" ] && [ "$b" = "$(boot)" ] && [ "$s" = "$(start_of "$p")" ]
}

all() { # a signal to everything in its session and group
    kill "-$1" -- "-$p" 2>/dev/null
    pkill "-$1" -s "$p" 2>/dev/null
    return 0
}

left() { kill -0 -- "-$p" 2>/dev/null || pgrep -s "$p" >/dev/null 2>&1; }

nap() { sleep "$1" 2>/dev/null || sleep 1; }

begin() {
    mkdir -p "$base" 2>/dev/null
    if ! mkdir "$d" 2>/dev/null; then
        [ -d "$d" ] && wait_for_pid && return 0
        why="$d cannot be made on this host"
        printf 'e %s\n%s\nx 126\n' $((${#why} + 1)) "$why"
        return 1
    fi
    printf '%s' "$text" >"$d/run"
    [ -n "$mark" ] && printf '%s' "$mark" >"$d/checkpoint"
    : >"$d/seen"
    : >"$d/out"
    : >"$d/err"
    far='d=$1
        s=$(sed "s/^.*) //" "/proc/$$/stat" 2>/dev/null | cut -d" " -f20)
        echo "$$ $s $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" >"$d/pid.part"
        mv "$d/pid.part" "$d/pid" || exit 1
        (eval "$DWF_EXPORTS"; unset DWF_EXPORTS
            export DWF_HEARTBEAT_FILE="$d/beat" DWF_CHECKPOINT_FILE="$d/checkpoint"; exec sh "$d/run") >"$d/out" 2>"$d/err"
        echo $? >"$d/code.part"
        mv "$d/code.part" "$d/code"'
    # Environment and stdin may hold secrets: they are handed over, and stand in no file.
    if command -v setsid >/dev/null; then
        printf '%s' "$given" | DWF_EXPORTS=$exports setsid sh -c "$far" sh "$d" >/dev/null 2>&1 &
    else
        set -m
        printf '%s' "$given" | DWF_EXPORTS=$exports nohup sh -c "$far" sh "$d" >/dev/null 2>&1 &
        set +m
    fi
    # Nothing of the step runs before it is noted who does it.
    wait_for_pid
}

wait_for_pid() { # which is there at once, or never: then who begins it was killed, and it cannot begin any more
    i=0
    until [ -e "$d/pid" ] || [ $i -gt 250 ]; do nap 0.02; i=$((i + 1)); done
}

pump() { # FILE KIND FROM: what is new in it, at most 64 KiB; `sent` bytes
    sent=$(($(wc -c <"$1") - $3))
    [ "$sent" -gt 65536 ] && sent=65536
    [ "$sent" -gt 0 ] || { sent=0; return 0; }
    printf '%s %s\n' "$2" "$sent"
    tail -c "+$(($3 + 1))" "$1" | head -c "$sent"
}

pump_all() {
    while :; do
        pump "$d/out" o "$o"; o=$((o + sent)); moved=$sent
        pump "$d/err" e "$e"; e=$((e + sent)); moved=$((moved + sent))
        [ "$moved" -gt 0 ] || return 0
    done
}

beat() { # it has touched one of its two files since the last look
    [ "$d/beat" -nt "$d/seen" ] || [ "$d/checkpoint" -nt "$d/seen" ] || return 0
    : >"$d/seen"
    sent=0
    [ -e "$d/checkpoint" ] && sent=$(($(wc -c <"$d/checkpoint")))
    [ "$sent" -gt 65536 ] && sent=65536
    printf 'b %s\n' "$sent"
    [ "$sent" -gt 0 ] && head -c "$sent" "$d/checkpoint"
    return 0
}

follow() {
    pause=0.02
    while [ ! -e "$d/code" ]; do
        if ! whose; then
            nap 0.1
            [ -e "$d/code" ] && break
            # Killed unseen, or ended over another connection, which has taken its directory away.
            [ -d "$d" ] && pump_all
            echo gone
            return 0
        fi
        pump_all
        beat
        nap $pause
        case $pause in 0.02) pause=0.05 ;; 0.05) pause=0.1 ;; 0.1) pause=0.25 ;; esac
    done
    pump_all
    beat
    echo "x $(cat "$d/code")"
}

end() {
    if [ ! -e "$d/pid" ]; then rm -rf "$d"; echo none; return 0; fi
    if whose; then
        all TERM
        all CONT
        # By the clock: on a busy host each look takes its time.
        until=$(($(date +%s) + grace))
        while left && [ "$(date +%s)" -le "$until" ]; do nap 0.1; done
        i=0
        while left && [ $i -lt 50 ]; do all KILL; nap 0.1; i=$((i + 1)); done
    fi
    echo gone
}

echo "$hello"
case $act in
run) begin && follow ;;
end) end ;;
esac
read -r ack && [ "$ack" = "done" ] && rm -rf "$d"
exit 0
