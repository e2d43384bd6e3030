"""`python3 -m majordomo`, under whatever name the package is known here."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from .cli import main

        status = main(prog=f"python3 -m {__package__}")
    except KeyboardInterrupt:  # while all this was being loaded
        status = 130
    sys.exit(status)
