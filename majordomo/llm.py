"""The vocabulary: values that every wire encodes and decodes, and nothing else.

Whoever edits this file keeps two rules. Values are frozen and do not know who sends
them. What a server wants back unread (a signature of its thinking) rides on the part
it came with, and the message says who gave it, so that it goes back to nobody else.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error

from ._loading import loading
from .errors import ConfigError, ErrorKind, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from dataclasses import dataclass, field, replace
    from os import PathLike
    from typing import Any, Callable, Union

    Part = Union["Text", "Image", "Thinking", "ToolCall", "ToolResult"]
    Prompt = Union[str, "Message", "Request", Sequence[Union[str, "Message"]]]
else:
    from ._frozen import dataclass, field, replace

__all__ = [
    "Attempt",
    "Capabilities",
    "Image",
    "Message",
    "Request",
    "Response",
    "Text",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Usage",
    "assistant",
    "tool_result",
    "user",
]

ROLES = ("user", "assistant", "tool")
REASONING = ("off", "minimal", "low", "medium", "high", "max")
STOP_REASONS = ("stop", "length", "tool_calls", "content_filter", "refusal", "other")


@dataclass(frozen=True)
class Text:
    """A piece of text. signature: opaque data of the server that gave it, or `None`."""

    text: str
    signature: str | None = None

    def __post_init__(self) -> None:
        if type(self.text) is not str or self.signature is not None:  # most are, and have none
            _check_types(self, text=self.text)


@dataclass(frozen=True)
class Image:
    """A picture: its bytes as in a file, and their type (`"image/png"`).

    An empty `mime` is filled in from the bytes. `Image.from_file(path)`,
    `Image.from_bytes(data)` and `Image.from_base64(text)` make one.
    """

    data: bytes
    mime: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.data, (bytearray, memoryview)):
            self.__dict__["data"] = bytes(self.data)
        if not isinstance(self.data, bytes):
            raise ConfigError(f"an Image takes bytes, not {type(self.data).__name__}; see Image.from_file")
        if not self.mime:
            self.__dict__["mime"] = sniff(self.data)
        _check_types(self, mime=self.mime)

    @classmethod
    def from_bytes(cls, data: bytes) -> Image:
        """A picture from the bytes of a file; UnsupportedError if they are no picture."""
        return cls(data)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Image:
        """A picture from a file, its type told by the content and not by the name.

        Raises OSError as `open` does, UnsupportedError if the content is no picture.
        """
        with open(path, "rb") as file:
            return cls(file.read())

    @classmethod
    def from_base64(cls, text: str | bytes) -> Image:
        """A picture from base64, as it is or in a `data:` URL.

        Line breaks, missing padding and the URL-safe alphabet are fine; the type is told by
        the content. Raises UnsupportedError if the text is no base64, or no picture.
        """
        if not isinstance(text, (str, bytes, bytearray)):
            raise ConfigError(f"from_base64 takes text, not {type(text).__name__}")
        try:
            plain = text.encode("ascii") if isinstance(text, str) else bytes(text)
            if plain.lstrip()[:5].lower() == b"data:":
                head, comma, plain = plain.partition(b",")
                if not comma or not head.rstrip().lower().endswith(b";base64"):
                    raise UnsupportedError("this data: URL holds no base64")
                for code, char in _PERCENT:
                    plain = plain.replace(code, char)
            plain = plain.translate(_STANDARD, b" \t\r\n\v\f=")
            return cls(b64decode(plain + b"=" * (-len(plain) % 4), validate=True))
        except (UnicodeEncodeError, Base64Error) as exc:
            raise UnsupportedError("this is no base64 of a picture") from exc

    def __repr__(self) -> str:
        return f"Image({self.mime}, {len(self.data)} bytes)"


_PERCENT = tuple(
    (code, char)
    for written, char in ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%0A", b""), (b"%0D", b""), (b"%20", b""))
    for code in {written, written.lower()}
)
_STANDARD = bytes.maketrans(b"-_", b"+/")

# (offset, magic, type). Source: the formats' own specifications.
_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypheix", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypavif", "image/avif"),
)


# Magic that is short or stands late is not enough: a BMP's reserved bytes are zero.
_CONFIRMED: dict[str, Callable[[bytes], object]] = {
    "image/webp": lambda data: data.startswith(b"RIFF"),
    "image/bmp": lambda data: data[6:10] == bytes(4),
}


def sniff(data: bytes) -> str:
    """The type of a picture, read from its first bytes; UnsupportedError if it is none."""
    for offset, magic, mime in _MAGIC:
        if data.startswith(magic, offset) and _CONFIRMED.get(mime, bytes.__len__)(data):
            return mime
    raise UnsupportedError(f"these {len(data)} bytes are no picture (PNG, JPEG, GIF, WebP, BMP, TIFF, HEIC or AVIF)")


@dataclass(frozen=True)
class Thinking:
    """What a model thought before it spoke. signature: opaque data that proves it, or `None`."""

    text: str
    signature: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, text=self.text)


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool.

    arguments: always a dict; malformed: the text of arguments that were no JSON object
        (then `arguments` is empty), `None` if they were fine.
    """

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    signature: str | None = None
    malformed: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, id=self.id, name=self.name)
        if not isinstance(self.arguments, dict):
            raise ConfigError(f"a ToolCall's arguments are a dict, not {type(self.arguments).__name__}")


@dataclass(frozen=True)
class ToolResult:
    """Our answer to a tool call, tied to it by `call_id`; parts are text and images."""

    call_id: str
    parts: tuple[Text | Image, ...] = ()
    is_error: bool = False

    def __post_init__(self) -> None:
        _check_types(self, call_id=self.call_id)
        if not isinstance(self.is_error, bool):
            raise ConfigError(f"ToolResult.is_error is True or False, not {type(self.is_error).__name__}")
        self.__dict__["parts"] = _parts(self.parts, _RESULT_PARTS, "a tool result")

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join([part.text for part in self.parts if isinstance(part, Text)])


@dataclass(frozen=True)
class Message:
    """One turn: a role (`user`, `assistant` or `tool`) and its parts.

    A string among the parts is a `Text`, and a lone part need not be in a list.
    origin: the target that gave an assistant message; signatures go back only there.
    """

    role: str
    parts: tuple[Part, ...] = ()
    origin: str | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            hint = "; the system prompt is Request.system" if self.role in ("system", "developer") else ""
            raise ConfigError(f"a message's role is user, assistant or tool, not {self.role!r}{hint}")
        self.__dict__["parts"] = _parts(self.parts)

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join([part.text for part in self.parts if isinstance(part, Text)])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `Message.from_dict` reads them back."""
        found: dict[str, Any] = {"role": self.role, "parts": [_part_to_dict(part) for part in self.parts]}
        if self.origin is not None:
            found["origin"] = self.origin
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Message:
        """Read what `to_dict` wrote; ConfigError if it is something else."""
        with _reading("a message"):
            origin = data.get("origin")
            if origin is not None and not isinstance(origin, str):
                raise TypeError("origin is the name of a target")
            return cls(data["role"], tuple(_part_from_dict(part) for part in data["parts"]), origin)


def user(*parts: Part | str) -> Message:
    """A user message of these parts: `user("What is this?", Image.from_file("photo.png"))`."""
    return Message("user", parts)  # type: ignore[arg-type]


def assistant(*parts: Part | str) -> Message:
    """An assistant message of these parts."""
    return Message("assistant", parts)  # type: ignore[arg-type]


def tool_result(call: ToolCall | str, *parts: Text | Image | str, is_error: bool = False) -> Message:
    """A tool message that answers one call, given as the `ToolCall` or its id."""
    call_id = call if isinstance(call, str) else call.id
    return Message("tool", (ToolResult(call_id, parts, is_error),))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Tool:
    """A tool the model may call; `parameters` is a JSON Schema of its arguments.

    function: what answers the call, if somebody here does; never sent. See `from_function`.
    binding: how arguments become what the function takes; made by `from_function`.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = field(default=None, repr=False, compare=False)
    binding: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_types(self, name=self.name, description=self.description)
        if not self.name or not isinstance(self.parameters, dict):
            raise ConfigError("a Tool has a name, and its parameters are a JSON Schema as a dict")

    @classmethod
    def from_function(
        cls, function: Callable[..., Any], *, name: str | None = None, description: str | None = None
    ) -> Tool:
        """A tool that calls a function, described by its signature and its docstring.

        Types of parameters are those that `Request.schema` knows; one without an annotation
        takes anything. What the docstring says of a parameter (Google's, NumPy's or reST's
        style) is its description, what stands before is the tool's. Raises TypeError, which
        names the parameter, for a type that has no schema, and for a function that cannot be
        called with arguments by name (`*args`, `**kwargs`) or is a coroutine.
        """
        with loading:
            from copy import deepcopy

            from . import _signatures

        found = _signatures.Signature(function)
        if not (name or found.name):
            raise TypeError("a lambda has no name to call it by: say from_function(function, name=...)")
        told = found.description if description is None else description
        return cls(name or found.name, told, deepcopy(found.schema), function, found)

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """What the function gives for the arguments of a `ToolCall`.

        They are checked against `parameters`, and for a tool of `from_function` converted to
        the types of the signature. Raises ProtocolError (code
        `"schema_mismatch"`, with the place of every mismatch) if they do not fit, ConfigError
        for a tool without a function, and whatever the function raises.
        """
        if self.function is None:
            raise ConfigError(f"the tool {self.name} has no function")
        with loading:
            from . import _signatures

        return _signatures.call(self.function, self.parameters, arguments, self.binding)


@dataclass(frozen=True)
class Request:
    """What is asked of a model. `None` leaves a setting to the server.

    system: the system prompt. tools: `Tool`s, or functions (see `Tool.from_function`).
    tool_choice: `auto`, `none`, `required` or a tool's name. schema: what the answer must
    follow, a JSON Schema (dict) or a type that has one (a dataclass, TypedDict or enum; unions,
    lists and dicts of such): `Response.parsed` is then a value of that type. reasoning: `off`,
    `minimal`, `low`, `medium`, `high` or `max`. max_tokens: of output, reasoning included.
    stop: strings that end the answer.
    extra: merged into the body of the request as the provider takes it, objects into
    objects; it wins. schema_retries: how often a target whose answer does not follow the
    schema is asked again, and shown what is wrong; not for streams.
    Raises ConfigError for what no server could take, TypeError for a type without a schema.
    """

    messages: tuple[Message, ...] = ()
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    schema: Any = None
    reasoning: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    schema_retries: int = 0

    def __post_init__(self) -> None:
        mine = self.__dict__
        mine["messages"] = _messages(self.messages)
        mine["tools"] = _tools(self.tools)
        mine["stop"] = _settings("stop", (self.stop,) if isinstance(self.stop, str) else self.stop, str)
        for name, wanted in _REQUEST_TYPES:
            value = mine[name]
            if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
                raise ConfigError(f"{name} cannot be {type(value).__name__}")
        for name in ("tool_choice", "reasoning"):
            if isinstance(mine[name], str) and type(mine[name]) is not str:
                mine[name] = "".join(mine[name])  # an enum's member prints as something else
        if not isinstance(self.extra, dict):
            raise ConfigError(f"extra is a dict, not {type(self.extra).__name__}")
        if self.reasoning is not None and self.reasoning not in REASONING:
            raise ConfigError(f"reasoning is one of {', '.join(REASONING)}, not {self.reasoning!r}")
        if self.schema is not None and type(self.schema) is not dict:
            _check_schema(self.schema)
        if self.schema_retries is None or self.schema_retries < 0:
            raise ConfigError(f"schema_retries is a whole number from 0, not {self.schema_retries!r}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"max_tokens is at least 1, not {self.max_tokens}")
        if self.tool_choice not in ("auto", "none", "required"):
            names = [tool.name for tool in self.tools]
            if self.tool_choice not in names:
                known = ", ".join(["auto", "none", "required", *names])
                raise ConfigError(f"tool_choice is one of {known}, not {self.tool_choice!r}")

    @classmethod
    def of(cls, prompt: Prompt, options: Mapping[str, Any] | None = None) -> Request:
        """A prompt in any of its forms, with options laid over it.

        Raises ConfigError for an option that `Request` does not have.
        """
        for name in options or ():
            if name not in _OPTIONS:
                raise ConfigError(f"unknown option {name!r}; the options are timeout, {', '.join(_OPTIONS)}")
        if isinstance(prompt, Request):
            request = replace(prompt, **options) if options else prompt
        else:
            request = cls(prompt, **(options or {}))  # type: ignore[arg-type]
        if not request.messages:
            raise ConfigError("a prompt has at least one message")
        return request

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; a tool's function stays behind, and of a type its schema is kept."""
        found: dict[str, Any] = {"messages": [message.to_dict() for message in self.messages]}
        for name in _OPTIONS:
            value = self.__dict__[name]
            if value is None or value == () or (name in ("extra", "schema_retries") and not value):
                continue
            if name == "schema" and not isinstance(value, dict):
                value = _json_schema(value)
            if name == "tools":
                value = [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in value]
            found[name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Request:
        """Read what `to_dict` wrote; ConfigError if it is something else."""
        with _reading("a request"):
            given = {name: data[name] for name in _OPTIONS if name in data}
            given["tools"] = tuple(Tool(**tool) for tool in data.get("tools", ()))
            return cls(tuple(Message.from_dict(message) for message in data["messages"]), **given)


_OPTIONS = tuple(name for name in Request.__match_args__ if name != "messages")
_REQUEST_TYPES: tuple[tuple[str, Any], ...] = (
    ("system", str),
    ("tool_choice", str),
    ("max_tokens", int),
    ("temperature", (int, float)),
    ("top_p", (int, float)),
    ("seed", int),
    ("schema_retries", int),
)


@dataclass(frozen=True)
class Usage:
    """Tokens of one answered call; `None` where the server does not say.

    input_tokens: the whole prompt, cached tokens included.
    output_tokens: everything generated, reasoning included.
    cached_tokens: the part of the input that came from a cache.
    reasoning_tokens: the part of the output that was reasoning.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """The tokens of both; unknown where one of them is."""
        if not isinstance(other, Usage):
            return NotImplemented
        pairs = [(self.__dict__[name], other.__dict__[name]) for name in Usage.__match_args__]
        return Usage(*[None if a is None or b is None else a + b for a, b in pairs])


@dataclass(frozen=True)
class Attempt:
    """One try at one target.

    outcome: `answered`, `failed` or `skipped`. kind: an `ErrorKind`, `None` if answered.
    error: one line of text, `None` if answered. seconds: how long it took.
    """

    target: str
    outcome: str
    kind: ErrorKind | None = None
    error: str | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.outcome == "answered":
            return f"{self.target}: answered in {self.seconds:.2f} s"
        kind = f" ({self.kind.value})" if self.kind else ""
        after = f" after {self.seconds:.2f} s" if self.outcome == "failed" else ""
        return f"{self.target}: {self.outcome}{kind}{after}: {self.error}"


@dataclass(frozen=True)
class Response:
    """An answer.

    message: what the model said, as an assistant message that can be sent back.
    stop_reason: `stop`, `length`, `tool_calls`, `content_filter`, `refusal` or `other`.
    usage: tokens. model: the target that answered, as in the spec (`"box/qwen3:14b"`).
    attempts: the tries at all targets, oldest first. warnings: what was left out or
    renamed because the target does not take it, by the option's name here.
    raw: the server's answer as it came; `None` for a stream.
    parsed: the value of `schema`, `None` without one. refusal: the words in which the
    model declined, `""` if it did not. messages: of a tool loop, the whole conversation,
    the prompt and this answer included; `()` for a single answer.
    """

    message: Message
    stop_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    attempts: tuple[Attempt, ...] = ()
    warnings: tuple[str, ...] = ()
    raw: Any = field(default=None, repr=False)
    parsed: Any = None
    refusal: str = ""
    messages: tuple[Message, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        self.__dict__["attempts"] = tuple(self.attempts)
        self.__dict__["warnings"] = tuple(self.warnings)
        self.__dict__["messages"] = tuple(self.messages)

    @property
    def text(self) -> str:
        """What the model said, `""` if nothing."""
        return self.message.text

    @property
    def thinking(self) -> str:
        """What the model thought, `""` if nothing was shown."""
        return "".join([part.text for part in self.message.parts if isinstance(part, Thinking)])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools the model asks for."""
        return tuple([part for part in self.message.parts if isinstance(part, ToolCall)])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `Response.from_dict` reads them back, `parsed` as JSON."""
        return {
            "message": self.message.to_dict(),
            "stop_reason": self.stop_reason,
            "usage": {name: self.usage.__dict__[name] for name in Usage.__match_args__},
            "model": self.model,
            "attempts": [
                {**{n: a.__dict__[n] for n in Attempt.__match_args__}, "kind": a.kind.value if a.kind else None}
                for a in self.attempts
            ],
            "warnings": list(self.warnings),
            "raw": self.raw,
            "parsed": _plain(self.parsed),
            "refusal": self.refusal,
            "messages": [message.to_dict() for message in self.messages],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Response:
        """Read what `to_dict` wrote; ConfigError if it is something else."""
        with _reading("a response"):
            attempts = tuple(
                Attempt(**{**found, "kind": ErrorKind(found["kind"]) if found["kind"] else None})
                for found in data["attempts"]
            )
            return cls(
                Message.from_dict(data["message"]),
                data["stop_reason"],
                Usage(**data["usage"]),
                data["model"],
                attempts,
                tuple(data["warnings"]),
                data["raw"],
                data["parsed"],
                data["refusal"],
                tuple(Message.from_dict(message) for message in data.get("messages", ())),
            )


@dataclass(frozen=True)
class Capabilities:
    """What a target takes. `None` means that no limit, or no answer, is known.

    max_images_per_request: 0 means no image input. max_image_dimension: pixels of the
    longer side; many_image_dimension: the same in a request of more than `many_images`
    pictures. max_image_bytes, max_total_image_bytes: raw bytes, before base64.
    allowed_image_mime: types such as `"image/png"`; `()` means any. animated_images: False
    where only a first frame is taken. tools, structured_output, thinking: whether it can.
    Raises ConfigError for counts that are none.
    """

    max_images_per_request: int | None = None
    max_image_dimension: int | None = None
    max_image_bytes: int | None = None
    allowed_image_mime: tuple[str, ...] = ()
    max_total_image_bytes: int | None = None
    many_images: int | None = None
    many_image_dimension: int | None = None
    tools: bool | None = None
    structured_output: bool | None = None
    thinking: bool | None = None
    animated_images: bool | None = None

    def __post_init__(self) -> None:
        mine = self.__dict__
        given = self.allowed_image_mime
        named = _settings("allowed_image_mime", (given,) if isinstance(given, str) else given, str)
        mine["allowed_image_mime"] = tuple(["image/jpeg" if n.lower() == "image/jpg" else n.lower() for n in named])
        for name in _COUNTS:
            value = mine[name]
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ConfigError(f"{name} is a whole number from 0, or None, not {value!r}")

    @property
    def supports_images(self) -> bool:
        """False only where it is known that no picture is taken."""
        return self.max_images_per_request != 0


_COUNTS = tuple(name for name in Capabilities.__match_args__ if name.startswith(("max_", "many_")))

# One row a part: its name in JSON, its class, and how its fields get there and back.
_PART_NAMES = {Text: "text", Image: "image", Thinking: "thinking", ToolCall: "tool_call", ToolResult: "tool_result"}
_PART_CLASSES = {name: cls for cls, name in _PART_NAMES.items()}


def _part_to_dict(part: Part) -> dict[str, Any]:
    kind = next(cls for cls in _PART_NAMES if isinstance(part, cls))
    found: dict[str, Any] = {"type": _PART_NAMES[kind]}
    for name in kind.__match_args__:  # type: ignore[attr-defined]
        value = getattr(part, name)
        if isinstance(value, bytes):
            value = b64encode(value).decode("ascii")
        elif isinstance(value, tuple):
            value = [_part_to_dict(inner) for inner in value]
        if value is not None:
            found[name] = value
    return found


def _part_from_dict(data: Mapping[str, Any]) -> Part:
    given = {name: value for name, value in data.items() if name != "type"}
    if "data" in given:
        given["data"] = b64decode(given["data"], validate=True)
    if "parts" in given:
        given["parts"] = tuple(_part_from_dict(inner) for inner in given["parts"])
    part: Part = _PART_CLASSES[data["type"]](**given)
    return part


_PARTS = tuple(_PART_NAMES)
_RESULT_PARTS = (Text, Image)  # what a tool result is made of
_TYPES_OF = {_PARTS: frozenset(_PARTS), _RESULT_PARTS: frozenset(_RESULT_PARTS)}


def _parts(given: Any, allowed: tuple[type, ...] = _PARTS, what: str = "a message") -> tuple[Any, ...]:
    if type(given) is tuple and _TYPES_OF[allowed].issuperset(map(type, given)):
        return given
    if isinstance(given, (str, *_PARTS)):
        given = (given,)
    if not isinstance(given, (tuple, list)):
        given = _sequence(given, f"{what} is made of parts and strings, not of")
    parts = tuple([Text(part) if isinstance(part, str) else part for part in given])
    for part in parts:
        if not isinstance(part, allowed):
            names = ", ".join(cls.__name__ for cls in allowed)
            raise ConfigError(f"{what} is made of parts ({names}) and strings, not of {type(part).__name__}")
    return parts


def _sequence(given: Any, complaint: str) -> tuple[Any, ...]:
    """What can be gone through once, as a tuple; a dict or bytes is surely a mistake."""
    try:
        if not isinstance(given, (dict, bytes)):
            return tuple(given)
    except TypeError:
        pass
    raise ConfigError(f"{complaint} {type(given).__name__}")


def _settings(name: str, given: Any, wanted: type) -> tuple[Any, ...]:
    """A setting that is a sequence, as a tuple; None is the empty one."""
    if given is None or given == ():
        return ()
    found = _sequence(given, f"{name} is a sequence of {wanted.__name__}, not")
    for value in found:
        if not isinstance(value, wanted):
            raise ConfigError(f"{name} is a sequence of {wanted.__name__}, and one of them is {type(value).__name__}")
    return found


def _tools(given: Any) -> tuple[Tool, ...]:
    """Tools, of which some may be given as functions."""
    if given is None or given == ():
        return ()
    if isinstance(given, Tool) or callable(given):
        raise ConfigError("tools is a list of functions and Tools; put the one into brackets")
    found = _sequence(given, "tools is a list of functions and Tools, not")
    made = [Tool.from_function(t) if callable(t) and not isinstance(t, Tool) else t for t in found]
    return _settings("tools", made, Tool)


def _check_schema(of: Any) -> None:
    with loading:
        from .schema import schema_of

    schema_of(of)


def _json_schema(of: Any) -> dict[str, Any]:
    with loading:
        from .schema import json_schema

    return json_schema(of)


def _plain(value: Any) -> Any:
    if value is None:
        return None
    with loading:
        from ._plain import plain

    return plain(value)


def _check_types(value: Any, **texts: Any) -> None:
    """Fields that must be text are; signatures may be None."""
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ConfigError(f"{type(value).__name__}.{name} is text, not {type(text).__name__}")
    for name in ("signature", "malformed"):
        text = value.__dict__.get(name)
        if text is not None and not isinstance(text, str):
            raise ConfigError(f"{type(value).__name__}.{name} is text or None, not {type(text).__name__}")


def _messages(given: Any) -> tuple[Message, ...]:
    if isinstance(given, str):
        return (Message("user", (Text(given),)),)
    if isinstance(given, Message):
        return (given,)
    given = _sequence(given, "a prompt is a str, a Message, a list of messages or a Request, not")
    found = tuple([Message("user", (Text(m),)) if isinstance(m, str) else m for m in given])
    for message in found:
        if not isinstance(message, Message):
            kind = type(message).__name__
            raise ConfigError(f"messages are majordomo.Message values (see user, assistant), not {kind}")
    return found


class _reading:
    """Turns what a stranger's dict makes go wrong into one ConfigError."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ConfigError):
            return
        if isinstance(error, (KeyError, TypeError, ValueError, AttributeError, RecursionError, UnsupportedError)):
            raise ConfigError(f"{self._what} cannot be read from this: {type(error).__name__}: {error}") from error


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `over` laid on it, objects into objects."""
    merged = dict(base)
    for name, value in over.items():
        mine = merged.get(name)
        merged[name] = merge(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return merged


def images_of(messages: Iterable[Message]) -> list[tuple[int, int, Image]]:
    """All pictures of a conversation, tool results' included, as (message, part, image)."""
    found = []
    for m, message in enumerate(messages):
        for p, part in enumerate(message.parts):
            if isinstance(part, Image):
                found.append((m, p, part))
            elif isinstance(part, ToolResult):
                found.extend((m, p, inner) for inner in part.parts if isinstance(inner, Image))
    return found
