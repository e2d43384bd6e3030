"""Modules that are imported when they are first needed, and forks that come at that moment.

Python holds a lock for each module that is being imported. A child that is forked while
another thread imports one has that lock for ever, and no thread that could let it go: the
child's first call would hang where no timeout reaches. So what a first call imports is
imported under one lock of ours, and a fork waits for it.
"""

from __future__ import annotations

import os
from _thread import RLock  # `threading` is a module more to import

__all__ = ["loading"]

loading = RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=loading.acquire, after_in_parent=loading.release, after_in_child=loading.release)
