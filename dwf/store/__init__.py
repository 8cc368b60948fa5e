"""The room of files: the only one that touches the state directory.

What it is for: to keep what was acknowledged, to find damage, and to let many processes share one directory without a
server. What may not be in it: decisions about runs (the engine's), words for people (the command line's), and anything
that would make a waiting run cost more than one small file.

Floors inside, from the ground; each imports only what stands before it:

    row        one row of the index, as data
    choice     which runs are meant: one filter for the index and for the files
    files      the system calls that change the disk; the seam where tests inject faults
    trust      who could change a file, or the directories above it
    mounts     which file system a path lies on
    sharing    a directory that a group may post to: its marker and its modes
    layout     where things lie; where the state directory is; whether it may be used
    tokens     one-time tokens of callbacks, from a key of the directory
    archive    closed runs out of the way, and where a history lies
    record     one line of a history: its form, its hash, its chain
    verify     which damage it is; what stands there that should not
    mend       cutting off a torn tail, without losing a byte of it
    reading    a history as its readers see it
    history    the writer of a run's history
    content    files named by the hash of what is in them
    blobs      large payloads; after them code (stored scripts) and outputs (what steps printed)
    code outputs
    locks      at most one process works on a run
    spares     files of locks that were given up, for the next
    lines      who holds what runs share, and who stands in line for it
    slots      steps that share a limit: how many run, and when the last began
    letters    a message as it lies on disk, checked
    refused    what was found in the mailbox and is no message
    followed   a directory whose names are kept in memory
    mailbox    posting and reading messages
    indexfile  the file of the index: tables, statements, and what SQLite's errors mean
    where      an expression over what people see of runs
    rebuild    the index made anew from the histories
    index      what `list` shows, and which runs are due; derived, may be deleted at any time
    unseen     the same for those who may not see it
    overlap    syncs of many files, several at a time
    creation   a run is there for good, or not at all
    longer     a moved run comes back, longer than it went
    auditlog   commands that were refused
    heads      lines that a witness keeps
    shelf      small things that operators set, by name: routes (which code starts take) and what is held
    routes held
    hooks      programs that are told what becomes of runs, and notes of what they were not told yet
    survey     who owns what in a state directory, and how much room is left
    room       all of these as one object, for the rooms above
    walk       a history of any length, checked and folded in little memory
    bundle     a run in one file: its form, and how it is made; after it unbundle, which takes it apart
    unbundle
    recorded   histories that lie anywhere, as files or in bundles, for whoever only reads them

Rules of the room:

* Acknowledge after fsync, and fsync what was found before believing it: a record left by a killed process may still
  be in the page cache only.
* A failed write or fsync is neither retried nor acknowledged: the kernel may have marked the page clean.
* Only a torn tail is repaired, under the run's lock, after a copy. Damage before the tail stops that run, untouched.
* Files are 0600 and directories 0700 by explicit mode, whatever the umask, but for what a shared directory shows to
  its group (sharing); links are not followed; what is opened must be a regular file and ours.
* A lock is never broken by age. Nobody works on a record that is not on disk.
* Paths are plain `str`, and what an idle tick needs imports errors only where it raises them: pathlib and typing
  cost 10 ms each, and an idle tick may cost no more than about twice the start of Python.
"""
