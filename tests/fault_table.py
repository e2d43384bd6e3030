"""The table of `docs/faults.md`: what was observed of each fault, in words, wires that are alike as one."""

from __future__ import annotations

from typing import Any, Callable

from faults import PHASES, WIRES, Fault

from majordomo._connection import CONNECT_TIMEOUT
from majordomo._failures import ERROR_TIME
from majordomo.providers._base import AFTER_FINISH

Outcomes = dict  # (fault, wire, way) -> how it ended

INTRODUCTION = f"""\
# What happens when a server misbehaves

Each row is something a server can do instead of answering, and what a program sees of it.
The tests do all of it to every wire (Chat Completions, at OpenAI and llama-swap; Responses;
Anthropic; Google; Ollama; the two that draw), asked for a whole answer and for a stream,
alone and in a chain, and write this page from what they observed: do not edit it, but run
`python3 -m pytest tests/test_faults.py`. Where wires differ, the row says so.

- **One call**, **A stream**: what the caller gets when the target stands alone. With *words
  kept* a stream had said something before; that is in `.partial`, and was handed out.
- **Kind**: what the error means for a chain, as in the README under Failover. A limit that ran
  out is *deadline* where it was the call's own, as here alone, and *transient* where it was the
  target's, as here in a chain.
- **Ends**: *at once* without any time limit; *at the limit* when the call's `timeout` has run
  out, or that of the target; *soon* after some seconds: what a finished answer waits for its
  end marker ({AFTER_FINISH:g} s), a status for its words ({ERROR_TIME:g} s), and connecting takes at most
  ({CONNECT_TIMEOUT:g} s).
- **Next target**: whether the next target of a chain is asked, which then answers. A stream
  that has begun to speak is never begun anew by another.
- **Cooldown**: how long the target is passed over after its first failure, seen in a chain. The
  end of a call's own `timeout` earns none.

Every error is a `MajordomoError`. After all of these calls the process holds no more
descriptors, threads or temporary files than before, no token stands in an error, an attempt,
a log line or a pickle, or was sent to another server, and a server that has read the question
and is well again answers the next one.
"""


def page(outcomes: Outcomes) -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for phase, faults in PHASES.items():
        lines = [f"\n## {phase}\n", "| The server | One call | A stream | Kind | Ends | Next target | Cooldown |"]
        lines.append("|---|---|---|---|---|---|---|")
        alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for fault in faults:
            alike.setdefault((fault.name, _columns(fault, outcomes)), []).append(fault.variant)
        for (name, columns), variants in alike.items():
            lines.append(f"| {' | '.join((name.format(', '.join(variants)), *columns))} |")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def _columns(fault: Fault, outcomes: Outcomes) -> tuple[str, ...]:
    """What the columns behind the fault's name say."""

    def seen(way: str) -> dict[str, Any]:
        return {wire: outcomes[key] for wire in WIRES if (key := (fault.title, wire, way)) in outcomes}

    whole, stream = seen("generate"), seen("stream")
    chained = seen("generate in a chain"), seen("stream in a chain")
    return (
        _on_wires(whole, _end) or "—",
        _on_wires(stream, _end) or "—",
        _kinds(_both(whole, stream, _kind), _both(*chained, _kind)),
        _both(whole, stream, lambda one: _ENDS[one.ends]),
        _both(*chained, lambda one: "yes" if one.next else "no" if one.kind else "—"),
        _both(*chained, lambda one: _seconds(one.cooldown) if one.kind else "—"),
    )


def _kind(outcome: Any) -> str:
    return outcome.kind.replace("_", " ") or "—"


def _kinds(alone: str, chained: str) -> str:
    """What an error means, alone and in a chain."""
    return alone if alone == chained else f"{alone}; in a chain: {chained}"


def _both(whole: dict[str, Any], stream: dict[str, Any], word: Callable[[Any], str]) -> str:
    """A column for whole answers and streams in one."""
    said, streamed = _on_wires(whole, word), _on_wires(stream, word)
    if not said or not streamed or {word(one) for one in (*whole.values(), *stream.values())} == {said}:
        return said or streamed
    return f"{said}; a stream: {streamed}"


def _on_wires(outcomes: dict[str, Any], word: Callable[[Any], str]) -> str:
    """A column's word, those of most wires first."""
    words: dict[str, list[str]] = {}
    for wire, outcome in outcomes.items():
        words.setdefault(word(outcome), []).append(wire)
    most, *others = sorted(words, key=lambda said: -len(words[said])) or [""]
    return "; ".join([most, *(f"{', '.join(words[said])}: {said}" for said in others)])


def _end(outcome: Any) -> str:
    if not outcome.error:
        return "the answer"
    return f"`{outcome.error}`" + (", words kept" if outcome.partial else "")


_ENDS = {"at once": "at once", "at the limit": "at the limit", "after a moment": "soon"}


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "none"
    size, unit = next((row for row in ((3600, "h"), (60, "min")) if seconds >= row[0]), (1, "s"))
    return f"{seconds / size:g} {unit}"
