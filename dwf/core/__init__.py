"""The pure room: events, commands, replay and what follows from them.

Nothing in here opens a file, reads a clock, starts a thread or process, or touches the network; a test keeps it so.
Data comes in as events and goes out as commands. Floors inside, from the ground:
duration, length, values, messages < events < retry, state, banned < guard < standins, refused, tasks < loop,
waiting, sync < signals, outcome, matching < ledger, futures < commands < replay.
"""
