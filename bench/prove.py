"""What must hold however long it goes on and whatever comes in: `python3 bench/prove.py [--short]`.

Runs the scripts that look for a broken promise, one after the other; each says in its own
words what it does, and takes more arguments. Exits with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from pathlib import Path

# Script -> the arguments of a short run; a whole one takes none.
SCRIPTS = {
    "endurance.py": ("--calls=2000", "--streams=500"),
    "forks.py": ("--forks=18", "--starts=6"),
    "processes.py": ("--processes=80",),
    "random_input.py": ("--rounds=500",),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="a minute instead of five")
    brief = parser.parse_args().short
    print(f"Python {platform.python_version()}")
    broken = []
    for script, short in SCRIPTS.items():
        print(f"\n{script}", flush=True)
        command = [sys.executable, str(Path(__file__).with_name(script)), *(short if brief else ())]
        if subprocess.run(command).returncode:
            broken.append(script)
    print("\nbroken promises: " + (", ".join(broken) or "none"))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
