"""All figures, as one table: `python3 bench/run.py`; with `BENCH_SDKS=DIR` the vendors' SDKs too."""

from __future__ import annotations

import os
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
    for module in (process, call, scale, pictures):
        module.main()
    if os.environ.get("BENCH_SDKS"):  # which are fetched from the network
        sdks.main()
