"""The engine: what happens between a message, a clock and a history. It decides nothing that a script decides.

    post.py      what people post: signal, approve, cancel, terminate
    start.py     create a run
    tick.py      find what is due and drive it, several runs at a time
    drive.py     one run under its lock: read, replay, deliver, act, record
    arrivals.py  what is ready to be delivered: mail, finished steps, timers
    steps.py     attempts: start, end, try again
    attempts.py  what an attempt is told of itself, and what it leaves; beats.py tells people of it
    deciding.py  a person's word on a step
    drivers.py   the threads in which runs are driven
    kept.py      what a worker keeps replayed between two drives
    lanes.py     the threads in which steps run
    watchdog.py  ends workflow code that does not come to a wait
    summary.py   a state in the words of `list` and `inbox`
    runs.py      reading, for people
    identity.py  who is who, and who may answer
    waiting.py   wait until a run is done
    versions.py  which code runs are on
    upgrade.py   move a run to other code
    newer.py     move runs that follow their file
    moving.py    move a run to another machine, or copy it
    stuck.py     runs that nothing can move on
    doctor/      what is wrong, and what to type
    witness.py   heads of histories, kept elsewhere
    audit.py     who did what, and who was refused
    patches.py   which old branches of a script may go
    replaying.py a history over code, up to a line
    stack.py     where a run's coroutines wait

Nothing in here prints, parses arguments, or touches the state directory but through the store.
"""
