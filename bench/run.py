"""All figures, as one table: `python3 bench/run.py`."""

from __future__ import annotations

import platform

import _measure
import call
import pictures
import process
import scale
import sdks

if __name__ == "__main__":
    print(f"Python {platform.python_version()}, CPU time, medians of runs that took turns\n")
    _measure.row("what", "figure", "goal")
    for module in (process, call, scale, pictures, sdks):
        module.main()
