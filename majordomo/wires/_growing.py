"""An answer as it grows: parts put together from the pieces of a stream, whichever wire they come over.

A wire says what a piece is; here it gets its place, and the reader his delta.
"""

from __future__ import annotations

from .. import _json
from ..errors import ProtocolError
from ..llm import Image, Text, Thinking, ToolCall
from ..model import TextDelta, ThinkingDelta, ToolCallDelta
from ._shared import MOST_CALLS, ThinkSplitter, fresh_id, json_text, too_many_calls, tool_call, with_unique_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..llm import Part
    from ..model import Delta

LONGEST_NAME = 1000  # characters; servers take 64 to 256


class Growing:
    """An answer as its pieces come; each that is taken gives its deltas.

    Parts stand in the order in which they began. A piece goes on with the part of its
    `key` (a server's own number for it, say); without one, with the last part if that is of
    its kind and not signed. tags: the server may think in a leading `<think>` block, see
    `ThinkSplitter`. named: a call's id is settled with its first piece.
    """

    def __init__(self, tags: bool = False, named: bool = False) -> None:
        self.calls = ToolCalls()
        self._named = named
        self._tags = tags
        self._splitter = ThinkSplitter() if tags else None
        self._parts: list[_Piece] = []
        self._by_key: dict[Any, _Piece] = {}
        self._said: list[str] = []

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._said)

    def say(self, text: str, key: Any = None) -> list[Delta]:
        """The answer goes on with this text."""
        if self._splitter is None:
            return self._said_more(text, key)
        thought, said = self._splitter.feed(text)
        if said:  # from here on all is text
            self._splitter = None
        return self._thought_more(thought, key) + self._said_more(said, key)

    def think(self, text: str, key: Any = None) -> list[Delta]:
        """The thinking, which has a field of its own here, goes on with this text; tags are text from now on."""
        if not text:
            return []
        return self._thought_more(text, key) + self.close(key)

    def close(self, key: Any = None) -> list[Delta]:
        """What was held back because it might have been a tag."""
        splitter, self._splitter = self._splitter, None
        if splitter is None:
            return []
        thought, said = splitter.close()
        return self._thought_more(thought, key) + self._said_more(said, key)

    def _said_more(self, text: str, key: Any) -> list[Delta]:
        if not text:
            return []
        self._part(Text, key).pieces.append(text)
        self._said.append(text)
        return [TextDelta(text)]

    def _thought_more(self, text: str, key: Any) -> list[Delta]:
        if not text:
            return []
        self._part(Thinking, key).pieces.append(text)
        return [ThinkingDelta(text)]

    def begin(self, kind: type, key: Any) -> None:
        """A part takes its place, before its first piece comes."""
        self._part(kind, key)

    def sign(self, kind: type, signature: str, key: Any = None) -> None:
        """Opaque data of the part of this key; of the last part of its kind without one. Later ones win."""
        self._part(kind, key, signed=True).signature = signature

    def show(self, image: Image) -> None:
        """A picture, which comes whole; no delta tells of it."""
        shown = _Piece(Image)
        shown.pieces.append(image)
        self._parts.append(shown)

    def call(
        self, index: Any, id: Any, name: Any, arguments: Any, *, signature: str | None = None, told: bool = True
    ) -> list[Delta]:
        """A tool call begins or goes on; `told` is False for what the reader knows already."""
        position = self.calls.add(index, id, name, arguments)
        if ("call", position) not in self._by_key:
            self._by_key["call", position] = made = _Piece(ToolCall)
            self._parts.append(made)
        if signature is not None:
            self._by_key["call", position].signature = signature
        if arguments is not None and not isinstance(arguments, str):
            arguments = json_text(arguments)
        if not told:
            return []
        known, called = self.calls.named(position) if self._named else self.calls.name(position)
        return [ToolCallDelta(position, known, called, arguments or "")]

    def _part(self, kind: type, key: Any, signed: bool = False) -> _Piece:
        if key is None:
            found = self._parts[-1] if self._parts else None
            if found is not None and found.signature is not None and not signed:
                found = None  # it is closed
        else:
            found = self._by_key.get((kind, key))
        if found is None or found.kind is not kind:
            found = _Piece(kind)
            self._parts.append(found)
            if key is not None:
                self._by_key[kind, key] = found
        return found

    def parts(self) -> list[Part]:
        """The parts as they are now, with their signatures; those of nothing are left out."""
        calls = iter(self.calls.finished())
        found: list[Part] = []
        for piece in self._parts:
            if piece.kind is ToolCall:
                call = next(calls)
                signed = ToolCall(call.id, call.name, call.arguments, piece.signature, call.malformed)
                found.append(call if piece.signature is None else signed)
            elif piece.kind is Image:
                found.append(piece.pieces[0])
            elif piece.pieces or piece.signature is not None:
                text = "".join(piece.pieces)
                trimmed = self._tags and piece.kind is Thinking  # of the line end in front of `</think>`
                found.append(piece.kind(text.rstrip("\n") if trimmed else text, piece.signature))
        return found


class _Piece:
    """A part that grows."""

    __slots__ = ("kind", "pieces", "signature")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.pieces: list[Any] = []
        self.signature: str | None = None


class ToolCalls:
    """Tool calls put together from the pieces of a stream.

    Pieces belong together by `index`; a server that sends none, or always the same one,
    starts a new call with a new id or a new name. Ids and names may be repeated in each
    piece, names also grow.
    """

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._by_index: dict[Any, int] = {}
        self._own: set[str] = set()

    def add(self, index: Any, id: Any, name: Any, arguments: Any) -> int:
        """Take a piece; gives the position of its call."""
        id = id if isinstance(id, str) else ""
        name = name if isinstance(name, str) else ""
        position = self._by_index.get(index) if isinstance(index, int) else len(self._calls) - 1
        if position is None or position < 0 or self._is_new(self._calls[position], id, name):
            position = len(self._calls)
            if position >= MOST_CALLS:
                raise too_many_calls()
            self._calls.append({"id": "", "own": "", "name": "", "arguments": []})
        if isinstance(index, int):
            self._by_index[index] = position
        call = self._calls[position]
        call["id"] = call["id"] or id
        if name.startswith(call["name"]):
            call["name"] = name
        elif name:
            call["name"] += name
        if len(call["name"]) > LONGEST_NAME:  # it is told anew with each of its pieces
            raise ProtocolError(f"the name of a tool call is longer than {LONGEST_NAME} characters")
        if isinstance(arguments, str):
            if arguments:
                call["arguments"].append(arguments)
        elif arguments is not None:
            call["arguments"] = [json_text(arguments)]
        return position

    @staticmethod
    def _is_new(call: dict[str, Any], id: str, name: str) -> bool:
        if id and call["id"] and id != call["id"]:
            return True
        if id or not name:
            return False
        if not call["arguments"] or name != call["name"]:
            return bool(call["arguments"])
        return not call["id"] and _is_whole(call["arguments"])

    def name(self, position: int) -> tuple[str, str]:
        """What is known of a call: its id and its name."""
        call = self._calls[position]
        return call["id"], call["name"]

    def named(self, position: int) -> tuple[str, str]:
        """The id and the name of a call for good: an id of ours if there is none by now, or another call has it."""
        call = self._calls[position]
        if not call["own"]:
            call["own"] = call["id"] if call["id"] and call["id"] not in self._own else fresh_id()
            self._own.add(call["own"])
        return call["own"], call["name"]

    def finished(self) -> list[ToolCall]:
        """All calls, their arguments read."""
        found = [tool_call(call["own"] or call["id"], call["name"], "".join(call["arguments"])) for call in self._calls]
        return with_unique_ids(found)


def _is_whole(pieces: list[str]) -> bool:
    """Whether arguments need no further piece; those that are many or long are not read again for each."""
    if len(pieces) > 50 or sum(map(len, pieces)) > 10_000 or not pieces[-1].rstrip().endswith("}"):
        return False
    try:
        return isinstance(_json.loads("".join(pieces)), dict)
    except ProtocolError:
        return False
