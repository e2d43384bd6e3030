"""All figures: `python3 bench/run.py`; with `BENCH_SDKS=DIR` the vendors' SDKs have columns in the table.

The table of prices comes first (`price.py` prints it alone), then what has no floor by hand.
"""

from __future__ import annotations

import _measure
import batch
import health
import pictures
import price
import scale
import schemas

if __name__ == "__main__":
    price.main()
    _measure.row("what", "figure", "goal")
    for module in (scale, pictures, schemas, health, batch):
        module.main()
