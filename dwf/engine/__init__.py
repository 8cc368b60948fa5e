"""The engine: what happens between a message, a clock and a history. It decides nothing that a script decides.

Driving: from what is due to a history that has gone on. Begin with drive.py, then tick.py.

    tick worker           find what is due and drive it, several runs at a time, once or for ever
    context drivers lanes
                          what the runs of one process share; the threads in which they are driven, and steps run
    drive                 one run under its lock: read, replay, deliver, act, record
    journal               a history, its fold and its replay, moving together
    incoming arrivals     its mail; and all that is ready to be delivered: mail, finished steps, timers
    updates callbacks family claims
                          what it asks of others, or others of it, and how that comes back
    steps attempts outcomes
                          attempts: planned, told of themselves, ended, tried again
    gate overrides quick around tokens
                          whether a step may begin, and what stands around it when it does
    deciding              a person's word on a step, as an event
    chain ending          its next instance; how it is left, and what comes too late (late.py)
    newer kept watchdog lastresort suspects
                          onto newer code; kept warm between two drives; computing for ever; killing its dwf
    hooks telling         programs that are told what became of it

Beginning and moving:

    start routing bulk beginning
                          one run, its code, many runs, a run that a signal begins
    requests wishes       what members of a shared directory ask for
    moving archiving      to another machine, out of the way

A person's word, from outside to a letter or a new history:

    post                  signal, approve, cancel, terminate
    stepping fitting timing pausing limiting keeping
                          on a step, a timer, a run or everything, a limit, which code new starts take
    upgrade branching again undo repair
                          other code; on from an earlier line; failed items; taken back; a damaged end given up
    identity owners rights notes
                          who is who, whose code it is, who may what, and what he was refused

Looking, which writes nothing:

    runs lists summary tree waiting beats queueing holding stuck
                          one run, many, in words; until it is done; what it waits behind
    versions patches checking cures verifying audit
                          which code, what of it may go, what an edit would strand; what was edited, who did what
    reading watched asking replaying stack
                          with a replay: a query, up to a line, where each coroutine waits
    witness doctor        heads of histories kept elsewhere; what is wrong, and what to type

Nothing in here prints, parses arguments, or touches the state directory but through the store.
"""
