"""Connections under threads, and the small things a chain does before it asks anybody."""

from __future__ import annotations

import concurrent.futures

import _measure

from majordomo import Model, Registry, Response, TransportError, assistant
from majordomo.testing import FakeServer

THREADS = 16
CALLS = 400


class Dead(Model):
    """A target that is down."""

    name = "dead/m"

    def complete(self, request, deadline):
        raise TransportError("down")


class Alive(Model):
    """A target that answers at once."""

    name = "alive/m"

    def complete(self, request, deadline):
        return Response(assistant("yes"))


class One:
    """A provider of one model."""

    def __init__(self, model):
        self.model = lambda id: model


def main() -> None:
    with FakeServer() as server:
        model = Registry({"LLM_BOX": server.dsn()}).parse("box/m")
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            texts = set(pool.map(lambda _: model.generate("Hi").text, range(CALLS)))
        assert len(texts) == 1
        assert len(server.requests) == CALLS
    _measure.row(f"connections of {CALLS} calls from {THREADS} threads", str(server.connections), "at most 20")

    registry = Registry({}, retries=0)
    registry.register_provider("dead", One(Dead()))
    registry.register_provider("alive", One(Alive()))
    alone, behind = registry.parse("alive/m"), registry.parse("dead/m, alive/m")

    def skipping() -> float:
        registry.health.reset()
        behind.generate("Hi")  # the dead one cools down for a second; the rounds are shorter
        return _measure.cpu(lambda: behind.generate("Hi"), 2000)

    found = _measure.in_turns(9, alone=lambda: _measure.cpu(lambda: alone.generate("Hi"), 2000), behind=skipping)
    _measure.row(
        "a target skipped because it cools down", f"{(found['behind'] - found['alone']) * 1e6:.1f} us", "under 5 us"
    )

    registry = Registry({"LLM_BOX": "llama-swap://t@box:8080", "OPENAI_API_KEY": "k", "LLM_BIG": "box/qwen3:30b"})
    spec = "box/qwen3:14b, openai/gpt-5-mini, big"
    registry.parse(spec)
    found = _measure.in_turns(9, parse=lambda: _measure.cpu(lambda: registry.parse(spec), 5000))
    _measure.row("parse of a known spec", f"{found['parse'] * 1e6:.1f} us", "under 20 us")


if __name__ == "__main__":
    main()
