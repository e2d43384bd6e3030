"""One conversation over two wires: begun on one, carried on over another when that fails, kept as JSON in between.

A picture, thinking, a tool call and a result with a picture are in it. Each server reads
what it is sent as strictly as the vendor's would (`readers`).
"""

from __future__ import annotations

import itertools
import json

import pytest
from readers import READERS

from majordomo import Image, Message, Registry, Tool, ToolCall, tool_result, user
from majordomo.testing import RED, FakeServer, Reply, Status

WIRES = ("openai", "openai-responses", "anthropic", "google", "ollama")
PAIRS = list(itertools.permutations(WIRES, 2))
OTHER = Image(RED + b"\x00")
TOOLS = (Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}}), Tool("listen"))
CALLS = (ToolCall("call_1", "look", {"at": "sea"}), ToolCall("call_2", "listen"))
BEGUN = Reply("Let me see.", thinking="A sea, perhaps.", tool_calls=CALLS)
WENT_ON = Reply("The sea is calm.", thinking="Calm it is.")
QUESTION = user("What is this?", Image(RED))


@pytest.fixture(scope="module")
def servers():
    """Two fake servers, whichever wires are spoken to them."""
    with FakeServer() as first, FakeServer() as second:
        yield first, second


def kept(messages):
    """A conversation as it comes back from a file."""
    return [Message.from_dict(data) for data in json.loads(json.dumps([message.to_dict() for message in messages]))]


def opaque(message):
    """What the giver of a message signed."""
    return [part.signature for part in message.parts if getattr(part, "signature", None)]


def ask(chain, how, messages):
    if how == "generate":
        return chain.generate(messages, tools=TOOLS)
    with chain.stream(messages, tools=TOOLS) as stream:
        list(stream)
    return stream.response


@pytest.mark.parametrize("how", ["generate", "stream"])
@pytest.mark.parametrize(("one", "two"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_conversation_moves(servers, one, two, how):
    """Whoever answers next reads all that was said; what a server signed goes back to it and to nobody else."""
    first, second = servers
    first.reset(), second.reset()
    registry = Registry({"LLM_ONE": first.dsn(one), "LLM_TWO": second.dsn(two)}, retries=0)
    chain = registry.parse("one/m, two/m")

    first.add(BEGUN)
    begun = ask(chain, how, [QUESTION])
    assert (begun.model, begun.thinking, begun.text) == ("one/m", "A sea, perhaps.", "Let me see.")
    results = [
        tool_result(begun.tool_calls[0], "water", OTHER),
        tool_result(begun.tool_calls[1], "gone", is_error=True),
    ]
    talk = kept([QUESTION, begun.message, *results])

    first.add(Status(503, {"error": "busy"}))
    second.add(WENT_ON)
    went_on = ask(chain, how, talk)
    assert (went_on.model, went_on.text, went_on.thinking) == ("two/m", "The sea is calm.", "Calm it is.")
    sent = READERS[two](second.requests[-1])
    assert [turn.role for turn in sent.turns][:4] == ["user", "assistant", "tool", "tool"]
    assert [turn.text for turn in sent.turns[:2]] == ["What is this?", "Let me see."]
    assert [(name, arguments) for _, name, arguments in sent.turns[1].calls] == [(c.name, c.arguments) for c in CALLS]
    assert [turn.answers for turn in sent.turns[2:4]] == [id for id, _, _ in sent.turns[1].calls]
    assert "water" in sent.turns[2].text
    assert "gone" in sent.turns[3].text
    assert [data for turn in sent.turns for data in turn.pictures] == [RED, OTHER.data]
    assert b"perhaps" not in second.requests[-1].body

    registry.health.reset()
    talk = kept([*talk, went_on.message, user("And now?")])
    first.add(Reply("Still calm."))
    again = ask(chain, how, talk)
    assert (again.model, again.text) == ("one/m", "Still calm.")
    sent = READERS[one](first.requests[-1])
    assert [turn.text for turn in sent.turns if turn.role == "assistant"] == ["Let me see.", "The sea is calm."]
    assert sent.turns[-1].text.endswith("And now?")
    body = first.requests[-1].body
    for signature in opaque(went_on.message):
        assert signature.encode() not in body
    for text in SIGNED[one](opaque(begun.message)):
        assert text.encode() in body


def nothing(signatures):
    """These wires sign nothing."""
    assert signatures == []
    return []


def raw(signatures):
    """Signatures as they stand on the wire."""
    assert signatures
    return signatures


def wrapped(signatures):
    """Reasoning items and phases: a signature holds what is sent back of them."""
    held = [value for signature in signatures for value in json.loads(signature).values()]
    assert any(len(value) > 20 for value in held)
    return held


SIGNED = {"openai": nothing, "ollama": nothing, "anthropic": raw, "google": raw, "openai-responses": wrapped}
