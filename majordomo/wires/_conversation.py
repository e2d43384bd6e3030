"""A conversation as servers take it, whatever order it was kept in.

What servers refuse is put right here, once for all wires: two messages of one role in a
row, texts of nothing, results that come late, twice or without their call, calls that
nobody answered, ids that come twice or are too odd. Thinking and signatures are left out
unless the receiver gave them. The caller's messages stay as they are.
"""

from __future__ import annotations

from ..errors import UnsupportedError
from ..llm import Image, Text, Thinking, ToolCall, ToolResult
from ._shared import sendable_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from dataclasses import dataclass, field

    from ..llm import Message, Part, Request

    Place = tuple[int, int]  # of a part: its message, its position there
else:
    from .._frozen import dataclass, field

UNANSWERED = "There is no result: the call was not carried out."
NO_OUTPUT = "(no output)"
SEE_IMAGES = "The result is in the images that follow."


@dataclass(frozen=True)
class Answer:
    """What a tool gave. id, name: of its call, as sent. parts: texts that are not empty, and images."""

    id: str
    name: str
    parts: tuple[Text | Image, ...] = ()
    is_error: bool = False

    @property
    def text(self) -> str:
        """The texts, joined."""
        return "".join([part.text for part in self.parts if isinstance(part, Text)])

    @property
    def images(self) -> list[Image]:
        """The pictures among the parts."""
        return [part for part in self.parts if isinstance(part, Image)]


@dataclass(frozen=True)
class Turn:
    """What one side says at a stretch; its lists grow, and a wire may take parts out of them.

    role: `user` or `assistant`; neighbours differ, save where answers stand between.
    parts: none of them an empty text, save one that is signed, or a turn of nothing else.
    answers: to the calls among an assistant's parts, in their order, one for each; they
    come before whatever else follows.
    """

    role: str
    parts: list[Part] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The texts, joined."""
        return "".join([part.text for part in self.parts if isinstance(part, Text)])

    @property
    def thinking(self) -> str:
        """The thinking, joined."""
        return "".join([part.text for part in self.parts if isinstance(part, Thinking)])

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls among the parts."""
        return [part for part in self.parts if isinstance(part, ToolCall)]


def arranged(request: Request, target: str, *, drawn: bool = False) -> list[Turn]:
    """The turns of a conversation for a receiver, whose name tells what is its own.

    drawn: whether the wire has a place for an assistant's images. Raises UnsupportedError
    where it has none, and for a call or thinking that stands in a user's message.
    """
    first = request.messages[0] if len(request.messages) == 1 else None
    if first is not None and first.role == "user" and [type(part) for part in first.parts] == [Text]:
        return [Turn("user", list(first.parts))]  # as most are
    found: list[Turn] = []
    results, lost = _matched(request.messages)
    names = _Names(tool.name for tool in request.tools)
    answered = False  # whether results came since the last turn began
    for m, message in enumerate(request.messages):
        if message.role == "assistant":
            if not drawn and any(isinstance(part, Image) for part in message.parts):
                raise UnsupportedError(f"message {m}: an assistant's images cannot be sent back on this wire")
            parts, answers = _spoken(m, message, message.origin == target, results, names)
            if parts:
                _add(found, Turn("assistant", parts, answers), answered)
                answered = False
        heard = _heard(m, message, lost)
        if heard:
            _add(found, Turn("user", heard), False)
        answered = answered or any(isinstance(part, ToolResult) for part in message.parts)
    return _united(found) or [Turn("user", [Text("")])]


def _matched(messages: Sequence[Message]) -> tuple[dict[Place, list[ToolResult]], set[Place]]:
    """The results of each call, by the call's place, and the places of results without one.

    A result belongs to the last call of its id before it; where one message has several
    of that id, each has a result of its own, in their order.
    """
    results: dict[Place, list[ToolResult]] = {}
    lost: set[Place] = set()
    waiting: dict[str, list[Place]] = {}  # calls by id, those of one message, the next to be answered last
    for m, message in enumerate(messages):
        here: dict[str, list[Place]] = {}
        for p, part in enumerate(message.parts):
            if isinstance(part, ToolCall):
                here.setdefault(part.id, []).append((m, p))
        waiting.update({id: places[::-1] for id, places in here.items()})
        for p, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                places = waiting.get(part.call_id)
                if places is None:
                    lost.add((m, p))
                else:
                    results.setdefault(places.pop() if len(places) > 1 else places[0], []).append(part)
    return results, lost


class _Names:
    """What calls are called in one conversation: ids that none shares, names that servers take.

    known: the names of the tools that are offered, which stay as they are.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = set(known)
        self._ids: dict[str, int] = {}  # those that are taken, each with how often it was wanted

    def sent(self, call: ToolCall, own: bool) -> ToolCall:
        """A call as it is sent; what its server signed stays with it if the receiver is that server."""
        id, name = self._id(call.id), call.name
        if name not in self._known:  # nobody's tool, or one of before
            name = "".join([c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name[:64]])
            name = name if name[:1].isalpha() or name[:1] == "_" else f"_{name[:63]}"
        if (id, name) == (call.id, call.name) and (own or call.signature is None):
            return call
        return ToolCall(id, name, call.arguments, call.signature if own else None, call.malformed)

    def _id(self, id: str) -> str:
        wanted = found = sendable_id(id)
        while found in self._ids:
            self._ids[wanted] += 1
            found = sendable_id(f"{id} {self._ids[wanted]}")
        self._ids[found] = 1
        return found


def _spoken(
    m: int, message: Message, own: bool, results: dict[Place, list[ToolResult]], names: _Names
) -> tuple[list[Part], list[Answer]]:
    """What an assistant's message says to this receiver, and the answers to its calls."""
    parts: list[Part] = []
    answers: list[Answer] = []
    for p, part in enumerate(message.parts):
        if isinstance(part, ToolCall):
            call = names.sent(part, own)
            parts.append(call)
            answers.append(_answer(call, results.get((m, p), [])))
        elif isinstance(part, Thinking):
            if own:
                parts.append(part)
        elif isinstance(part, Text):
            kept = part if own or part.signature is None else Text(part.text)
            if kept.text or kept.signature is not None:
                parts.append(kept)
        elif isinstance(part, Image):
            parts.append(part)
    return parts, answers


def _answer(call: ToolCall, results: list[ToolResult]) -> Answer:
    if not results:
        return Answer(call.id, call.name, (Text(UNANSWERED),), True)
    parts: list[Text | Image] = []
    for result in results:
        found = [part for part in result.parts if isinstance(part, Image) or part.text]
        if parts and found and isinstance(found[0], Text) and isinstance(parts[-1], Text):
            found[0] = Text(f"\n{found[0].text}")  # another result of the same call
        parts += found
    return Answer(call.id, call.name, tuple(parts), any(result.is_error for result in results))


def _heard(m: int, message: Message, lost: set[Place]) -> list[Part]:
    """What a message tells the receiver as the user's words; a result without its call is told so."""
    parts: list[Part] = []
    for p, part in enumerate(message.parts):
        if isinstance(part, ToolResult):
            if (m, p) in lost:
                parts.append(Text("The result of a tool that was called before:\n"))
                parts += [inner for inner in part.parts if isinstance(inner, Image) or inner.text]
        elif message.role != "assistant":
            if isinstance(part, (ToolCall, Thinking)):
                raise UnsupportedError(f"message {m}: a {type(part).__name__} cannot stand in a user message")
            if not isinstance(part, Text) or part.text:
                parts.append(part)
    return parts


def _add(found: list[Turn], turn: Turn, apart: bool) -> None:
    """Put a turn behind the others; one of the same role goes on with the last, unless they are kept apart."""
    if not found or apart or found[-1].role != turn.role:
        found.append(turn)
        return
    last, parts = found[-1], list(turn.parts)
    first, before = parts[0], last.parts[-1]
    if isinstance(first, Text) and isinstance(before, Text) and not (first.signature or before.signature):
        parts[0] = _More(first.text)
    last.parts.extend(parts)
    last.answers.extend(turn.answers)


class _More(Text):
    """A text that goes on with the one before it, behind an empty line."""


def _united(turns: list[Turn]) -> list[Turn]:
    """The turns, with texts that go on with others put together, all at once."""
    for turn in turns:
        if any(type(part) is _More for part in turn.parts):
            found: list[list[Part]] = []
            for part in turn.parts:
                found[-1].append(part) if type(part) is _More else found.append([part])
            turn.parts[:] = [run[0] if len(run) == 1 else _one_text(run) for run in found]
    return turns


def _one_text(run: list[Part]) -> Text:
    return Text("\n\n".join([part.text for part in run if isinstance(part, Text)]))


def joined(turns: Iterable[Turn]) -> list[Turn]:
    """Turns of which some have lost parts: those of nothing are gone, and neighbours of one role are one."""
    found: list[Turn] = []
    for turn in turns:
        if turn.parts:
            _add(found, turn, bool(found and found[-1].answers))
    return _united(found)


def with_images_moved(turns: Iterable[Turn], only_errors: bool = False) -> list[Turn]:
    """The turns without pictures in answers: they open what the user says next, with a word on whose they are."""
    found: list[Turn] = []
    waiting: list[Part] = []
    for turn in turns:
        if waiting:
            if turn.role == "user":
                turn = Turn("user", [*waiting, *turn.parts])
            else:
                found.append(Turn("user", waiting))
            waiting = []
        if any(answer.images for answer in turn.answers):
            moved = [a if only_errors and not a.is_error else _without_images(a, waiting) for a in turn.answers]
            turn = Turn(turn.role, turn.parts, moved)
        found.append(turn)
    if waiting:
        found.append(Turn("user", waiting))
    return found


def _without_images(answer: Answer, waiting: list[Part]) -> Answer:
    images = answer.images
    if not images:
        return answer
    waiting.append(Text(f"Images returned by the tool {answer.name} ({answer.id}):"))
    waiting.extend(images)
    return Answer(answer.id, answer.name, (Text(answer.text or SEE_IMAGES),), answer.is_error)
