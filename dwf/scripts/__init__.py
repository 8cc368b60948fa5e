"""Scripts: from a path, or from stored bytes, to a loaded runbook.

This room reads the author's files and runs their top level. It knows nothing of the state directory, runs or histories.
Stored code is compiled in memory from the bytes it is given: no `.pyc`, no import path, nothing shared by versions.

    collect.py   which files belong to a script: itself and the local modules it imports
    load.py      from those files to modules, and to the workflows in them
    packages.py  which installed distributions it imports, and in which versions
    cut.py       ending a piece of a script that does not come to its end
"""
