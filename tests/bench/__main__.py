"""`python -m tests.bench [NAME ...]`: figures beside limits of this machine. Exit 1 if a target was missed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import as_json, as_lines, compared, machine
from tests.bench.measures import MEASURES
from tests.bench.place import Place, compile_as_installed


def main() -> int:
    """Take the figures that were asked for, all without a name, and print them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(MEASURES)}; default: all")
    parser.add_argument("--json", action="store_true", help="one JSON document with every round")
    parser.add_argument(
        "--dir", type=Path, help="a directory on the disk that counts; default: the temporary directory"
    )
    parser.add_argument(
        "--scale", type=int, default=1, metavar="N", help="an N-th of the work; such figures do not count"
    )
    parser.add_argument("--compare", type=Path, metavar="OLD.JSON", help="what became of each since then")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(MEASURES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")

    compile_as_installed()
    figures = []
    for name in asked.names or MEASURES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="dwf-bench-", dir=asked.dir) as where:
            figures.append(MEASURES[name](Place(Path(where), asked.scale)))
    if asked.json:
        print(as_json(figures))
    else:
        print(", ".join(f"{key} {value}" for key, value in machine().items()))
        print("\n".join(as_lines(figures)))
    if asked.compare:
        print("\n".join(["", *compared(json.loads(asked.compare.read_text()), figures)]), file=sys.stderr)
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
