"""The process that keeps a step for a dwf that may not be there at its end.

Run as a file by kept.py; nothing imports it. As in child.py, nothing happens until the whole request is here; if it
never comes, nothing ever does.
"""

from __future__ import annotations

import json
import os
import sys

NOTHING_TO_DO = 125


def main() -> None:
    header = sys.stdin.buffer.readline()
    if not header.endswith(b"\n"):
        os._exit(NOTHING_TO_DO)
    body = sys.stdin.buffer.read(int(header))
    request = json.loads(body)  # refuses half a request: dwf died while it wrote
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.path[:] = [os.fsdecode(entry.encode("latin-1")) for entry in request["path"]]
    from dwf.activities.kept import keep

    keep(body)
    os._exit(0)


if __name__ == "__main__":
    main()
