"""What dwf promises, each promise with the tests that hold it, and each test with the rule that it was seen to miss.

    invariants.py      INV: what holds at any moment, whatever dies, fails or comes twice
    protocol.py        P: how files, locks, index and mailbox are used so that it holds
    threats.py         THR: what others may try, and what it comes to
    bad_inputs.py      BAD: what a person may type or leave lying about, and what dwf says to it
    absent.py          promises of features that are not there yet

A row names its tests, and for each the rule that it holds: a piece of dwf's source, and what stands there when the rule
is taken out. That is not only said:

    python -m pytest tests/promises                       each test is there and says "Fails when ..."; each rule too
    python -m pytest -n 2 -m long tests/promises          takes out each rule in a copy of dwf: its test must fail
    python -m pytest -m long tests/promises -k INV-7      the same for one promise

When code moves and a rule is not found any more: write down where it stands now, and run the last of these.
"""
