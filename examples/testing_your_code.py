"""Tests of code that asks a model, without a model: `FakeServer` speaks the wires, and fails when told to.

    python3 -m pytest testing_your_code.py

`headline` is the code under test. It takes its model as an argument, so that a test can bring one; no
function is patched, and what goes over the wire is real.
"""

from __future__ import annotations

import time

import pytest

from majordomo import MajordomoError, Registry
from majordomo.testing import FakeServer, Reply, Status, hang


def headline(model, article: str, timeout: float = 20) -> str:
    """A headline for an article; its first words if no model has one in time."""
    try:
        text = model.generate(article, system="Write a headline.", max_tokens=60, timeout=timeout).text
    except MajordomoError:
        text = ""
    return text.strip().strip('"') or article[:30].rstrip() + "..."


ARTICLE = "The city council met on Monday to discuss the new tram line."


@pytest.fixture
def server():
    with FakeServer() as running:
        yield running


@pytest.fixture
def model(server):
    """A model behind the fake server, in a registry without a memory of other tests and without random waits."""
    return Registry({"LLM_BOX": server.dsn()}, random=lambda: 0.0).parse("box/any")


def test_the_models_headline_is_used(server, model):
    """The quotes that models like to put around it are dropped."""
    server.add(Reply('"Tram line divides council"\n'))
    assert headline(model, ARTICLE) == "Tram line divides council"


def test_what_is_sent(server, model):
    """The article, the system prompt and a bound on the answer."""
    headline(model, ARTICLE)
    [seen] = server.requests
    assert seen.json["max_tokens"] == 60
    assert [(m["role"], m["content"]) for m in seen.json["messages"]] == [
        ("system", "Write a headline."),
        ("user", ARTICLE),
    ]


def test_a_busy_server_is_asked_again(server, model):
    """One that is overloaded for a moment costs nobody the headline."""
    server.add(Status(503, "busy"), Reply("Tram line"))
    assert headline(model, ARTICLE) == "Tram line"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "step", [Status(401), Status(429, headers={"Retry-After": "3600"}), Reply("", stop_reason="stop")]
)
def test_there_is_a_headline_in_any_case(server, model, step):
    """Whatever the server says."""
    server.default = step
    assert headline(model, ARTICLE) == "The city council met on Monday..."


def test_a_server_that_hangs_is_not_waited_for(server, model):
    """The reader gets the first words when the time is over."""
    server.default = hang()
    started = time.monotonic()
    assert headline(model, ARTICLE, timeout=0.3).endswith("...")
    assert time.monotonic() - started < 5
