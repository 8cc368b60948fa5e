"""The corpus: what 1 000 random programs did on the oldest supported Python, as one hash each.

    python3.11 -m tests.core.make_corpus            write it anew: only with a new history format
    python -m tests.core.make_corpus 0 50           print the hashes of programs 0 to 49 instead

Every supported Python must come to the same hashes, whatever its hash seed.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

from tests.core.gambler import Game

FILE = Path(__file__).parent / "corpus" / "programs.json"
SIZE = 1000


def digest(number: int) -> str:
    """Of openings, values and outcome of one program of the corpus."""
    return Game(f"corpus {number}", plain=True).play().digest()[:16]


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps([digest(number) for number in range(int(sys.argv[1]), int(sys.argv[2]))]))
        return
    corpus = {"made by": f"Python {platform.python_version()}", "digests": [digest(number) for number in range(SIZE)]}
    FILE.write_text(json.dumps(corpus, indent=0) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
