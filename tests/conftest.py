"""A fake server for whoever has no wishes of its own: one a module, at rest for each test."""

from __future__ import annotations

import pytest

from majordomo.testing import FakeServer

pytest.register_assert_rewrite("contract", "readers", "samples")


@pytest.fixture(scope="module")
def shared():
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def server(shared):
    """A server that nobody has asked anything."""
    shared.reset()
    return shared
