from __future__ import annotations

import dataclasses
import json
import math
import pickle
from base64 import b64encode
from enum import Enum
from urllib.parse import quote

import pytest

from majordomo.errors import ConfigError, ErrorKind, UnsupportedError
from majordomo.llm import (
    Attempt,
    Capabilities,
    Image,
    Message,
    Request,
    Response,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    assistant,
    images_of,
    merge,
    sniff,
    tool_result,
    user,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
PICTURE = Image(PNG)
CALL = ToolCall("call_1", "look", {"where": ["here", {"deep": None}], "é": 1.5}, signature="c2ln")
WEATHER = Tool("weather", "Of a city.", {"type": "object", "properties": {"city": {"type": "string"}}})

CONVERSATION = (
    user("What is this?", PICTURE),
    Message(
        "assistant",
        (
            Thinking("Hm.", "sig=="),
            Thinking("", "redacted"),
            Text("Let me look.", signature="t3xt"),
            CALL,
            ToolCall("call_2", "look", malformed='{"wher'),
        ),
        origin="box/qwen3:14b",
    ),
    tool_result(CALL, "A cat, ", Image(JPEG, "image/png")),
    tool_result("call_2", "no such place", is_error=True),
    Message("tool", (ToolResult("call_3"),)),
    assistant("A cat 🐈.\x00\u2028"),
    assistant(),
    user(""),
)
FULL = Request(
    CONVERSATION,
    system="Be brief.",
    tools=(WEATHER,),
    tool_choice="weather",
    schema={"type": "object"},
    reasoning="low",
    max_tokens=100,
    temperature=0,
    top_p=0.5,
    stop=("END", "\n"),
    seed=0,
    extra={"a": {"b": [1]}},
)
RESPONSE = Response(
    CONVERSATION[1],
    "tool_calls",
    Usage(10, 5, None, 2),
    "box/qwen3:14b",
    (
        Attempt("a/m", "failed", ErrorKind.RATE_LIMITED, "HTTP 429", 0.5),
        Attempt("b/m", "skipped", None, "cooling down"),
        Attempt("box/qwen3:14b", "answered", seconds=1.25),
    ),
    ("max_tokens was renamed",),
    {"id": "x", "choices": []},
    {"city": "Rome"},
    "I'd rather not.",
)


# Parts and messages


@pytest.mark.parametrize(
    ("message", "role", "parts"),
    [
        (user("hi"), "user", (Text("hi"),)),
        (user(), "user", ()),
        (user("a", PICTURE, Text("b")), "user", (Text("a"), PICTURE, Text("b"))),
        (assistant("hi", CALL), "assistant", (Text("hi"), CALL)),
        (tool_result(CALL, "sunny"), "tool", (ToolResult("call_1", (Text("sunny"),)),)),
        (tool_result("call_9", PICTURE, is_error=True), "tool", (ToolResult("call_9", (PICTURE,), True),)),
        (Message("user", "hi"), "user", (Text("hi"),)),
        (Message("user", PICTURE), "user", (PICTURE,)),
        (Message("user", ["hi", PICTURE]), "user", (Text("hi"), PICTURE)),
        (Message("user", (part for part in "ab")), "user", (Text("a"), Text("b"))),
        (Message("tool", ToolResult("1", ["a"])), "tool", (ToolResult("1", (Text("a"),)),)),
    ],
)
def test_message(message, role, parts):
    """A message holds a tuple of parts, a bare string being a Text."""
    assert (message.role, message.parts, type(message.parts)) == (role, parts, tuple)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=id)
        for id, make in {
            "int": lambda: user(5),
            "None": lambda: user(None),
            "bytes": lambda: user(b"hi"),
            "dict": lambda: user({"type": "text", "text": "hi"}),
            "a message": lambda: user(user("hi")),
            "a list": lambda: user(["hi"]),
            "parts that are an int": lambda: Message("user", 5),
            "parts that are None": lambda: Message("user", None),
            "parts that are a dict": lambda: Message("user", {"type": "text", "text": "hi"}),
            "parts that are bytes": lambda: Message("user", b"hi"),
            "a result of numbers": lambda: tool_result("1", 21.5),
            "role None": lambda: Message(None, "hi"),
            "role list": lambda: Message(["user"], "hi"),
            "role human": lambda: Message("human", "hi"),
            "text that is None": lambda: user(Text(None)),
            "text that is bytes": lambda: user(Text(b"hi")),
            "arguments that are text": lambda: assistant(ToolCall("1", "f", '{"a": 1}')),
            "arguments that are None": lambda: assistant(ToolCall("1", "f", None)),
            "an error that is a word": lambda: tool_result("1", "x", is_error="no"),
            "an origin that is an object": lambda: Message.from_dict({**user("a").to_dict(), "origin": {}}),
        }.items()
    ],
)
def test_no_message(make):
    """What no message can be made of is a ConfigError, when it is made."""
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_is_no_role(role):
    """Whoever tries a system message is told where the system prompt goes."""
    with pytest.raises(ConfigError, match=r"Request\.system"):
        Message(role, "Be brief.")


def test_message_text():
    """A message's text is that of its text parts alone, joined."""
    assert CONVERSATION[1].text == "Let me look."
    assert assistant("a", Thinking("b"), "c").text == "ac"
    assert assistant().text == ""
    assert ToolResult("1", ("a", Image(JPEG, "image/jpeg"), "b")).text == "ab"


def test_a_part_of_a_subclass():
    """A part of a user's own class counts as what it is built on: nothing of it is lost."""

    class Loud(Text):
        pass

    message = user(Loud("HI"))
    assert message.text == "HI"
    assert Message.from_dict(message.to_dict()) == user("HI")


def test_origin_is_not_compared():
    """Who gave a message makes it no other message, and is not shown."""
    assert Message("assistant", "hi", "a/m") == Message("assistant", "hi", "b/m")
    assert "a/m" not in repr(Message("assistant", "hi", "a/m"))
    assert hash(Message("assistant", "hi", "a/m")) == hash(Message("assistant", "hi"))
    assert dataclasses.replace(Message("assistant", "hi", "a/m"), parts="ho").origin == "a/m"


# Images


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"\xff\xd8\xff\xdb", "image/jpeg"),
        (b"GIF87a...", "image/gif"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"BM\x46\x00\x00\x00\x00\x00\x00\x00", "image/bmp"),
        (b"II*\x00....", "image/tiff"),
        (b"MM\x00*....", "image/tiff"),
        (b"\x00\x00\x00\x18ftypheic", "image/heic"),
        (b"\x00\x00\x00\x1cftypheix....", "image/heic"),
        (b"\x00\x00\x00\x18ftypmif1", "image/heif"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
    ],
)
def test_sniff(data, mime):
    """The type of a picture is read from its bytes."""
    assert sniff(data) == Image(data).mime == Image.from_bytes(data).mime == mime


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"hello",
        b"<svg/>",
        b"RIFF\x10\x00\x00\x00WAVE",
        b"........WEBP",
        b"%PDF-1.7",
        bytes(100),
        b"BMW is a brand of cars.",
        b"BM",
        b"\x00\x00\x00\x18ftypisom",
        b"II*",
        b"MM*\x00",
        b"GIF88a",
    ],
)
def test_no_picture(data):
    """Bytes that are no picture are refused, also where they begin like one."""
    with pytest.raises(UnsupportedError, match=f"these {len(data)} bytes"):
        Image(data)


@pytest.mark.parametrize("data", [None, "iVBORw0KGgo", 5, [1, 2]])
def test_no_bytes(data):
    """A picture is made of bytes, and nothing else is guessed at."""
    with pytest.raises(ConfigError, match=r"Image\.from_file"):
        Image(data)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_of_another_kind(kind):
    """Bytes that could change are copied."""
    data = bytearray(PNG)
    image = Image(kind(data))
    data[0] = 0
    assert (type(image.data), image) == (bytes, PICTURE)
    hash(image)


def test_from_file(tmp_path):
    """A file's type is told by its content and not by its name."""
    path = tmp_path / "cat.png"
    path.write_bytes(JPEG)
    assert Image.from_file(path) == Image.from_file(str(path)) == Image(JPEG, "image/jpeg")
    (tmp_path / "cat.txt").write_text("meow")
    with pytest.raises(UnsupportedError):
        Image.from_file(tmp_path / "cat.txt")
    with pytest.raises(FileNotFoundError):
        Image.from_file(tmp_path / "dog.png")


# Bytes whose base64 holds every kind of character, and needs padding
BLOB = PNG + bytes(range(256)) + b"\xfb\xef\xff?>"
BASE64 = b64encode(BLOB).decode()
URL_SAFE = BASE64.replace("+", "-").replace("/", "_")
BASE64_FORMS = {
    "plain": BASE64,
    "bytes": BASE64.encode(),
    "a bytearray": bytearray(BASE64.encode()),
    "without padding": BASE64.rstrip("="),
    "url-safe": URL_SAFE,
    "url-safe, without padding": URL_SAFE.rstrip("=").encode(),
    "in lines": "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)) + "\n",
    "in lines of a mail": "\r\n".join(BASE64[at : at + 64] for at in range(0, len(BASE64), 64)).encode(),
    "indented": f"\n\t {BASE64[:40]}\n\t {BASE64[40:]} ",
    "data URL": f"data:image/png;base64,{BASE64}",
    "data URL, bytes": f"data:image/png;base64,{BASE64}".encode(),
    "data URL without a type": f"data:;base64,{BASE64}",
    "data URL of another type": f"data:text/plain;base64,{BASE64}",
    "data URL with parameters": f"data:image/png;name=a.png;charset=utf-8;base64,{BASE64}",
    "data URL in capitals": f"DATA:IMAGE/PNG;BASE64,{BASE64}",
    "data URL in any case": f"Data:image/PNG;Base64,{BASE64}",
    "data URL, percent-encoded": f"data:image/png;base64,{quote(BASE64, safe='')}",
    "data URL, percent-encoded in small letters": "data:;base64," + quote(BASE64, safe="").replace("%2B", "%2b"),
    "data URL with encoded line breaks": f"data:image/png;base64,{BASE64[:80]}%0D%0A{BASE64[80:]}",
    "data URL, url-safe": f"data:image/png;base64,{URL_SAFE.rstrip('=')}",
    "data URL in lines": f" data:image/png;base64,\n{BASE64[:80]}\n{BASE64[80:]}\n",
}


@pytest.mark.parametrize("name", BASE64_FORMS)
def test_from_base64(name):
    """Base64 is read as people and programs write it, alone or in a URL; the type is told by the content."""
    assert Image.from_base64(BASE64_FORMS[name]) == Image(BLOB, "image/png")


@pytest.mark.parametrize("length", range(4))
def test_from_base64_of_any_length(length):
    """Whether base64 is padded or not, nothing of the picture is lost."""
    text = b64encode(PNG + bytes(length))
    assert Image.from_base64(text) == Image.from_base64(text.rstrip(b"=")) == Image(PNG + bytes(length))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "====",
        "hello",
        "no base64!",
        "iVBORw0KGg",
        BASE64 + "!",
        BASE64[:40] + "*" + BASE64[40:],
        BASE64[:40] + "\x00" + BASE64[40:],
        BASE64.rstrip("=")[: len(BASE64) // 4 * 4 - 7],
        BASE64 + "é",
        "\ufeff" + BASE64,
        "\ud800",
        b"\xff\xfe",
        PNG,
        "data:",
        "data:,",
        "data:image/png",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:image/png;base64,%",
        "data:image/png;base64,%zz" + BASE64,
        "data:image/png," + quote(PNG),
        "data:text/plain;base64,aGVsbG8=",
        "https://example.com/cat.png",
        "cat.png",
        b64encode(b"hello"),
        b64encode(b64encode(PNG)),
    ],
)
def test_no_base64(text):
    """What is no base64, or no picture, is unsupported, and nothing of it is shown."""
    with pytest.raises(UnsupportedError) as caught:
        Image.from_base64(text)
    assert len(str(caught.value)) < 200
    assert "iVBOR" not in str(caught.value)


@pytest.mark.parametrize("text", [None, 5, ["aGVsbG8="], {"data": "aGVsbG8="}, PICTURE])
def test_from_base64_of_no_text(text):
    """What is neither text nor bytes is a mistake of the caller's."""
    with pytest.raises(ConfigError, match="from_base64"):
        Image.from_base64(text)


def test_image_repr():
    """A picture is shown by its type and size, in whatever holds it."""
    assert repr(PICTURE) == "Image(image/png, 28 bytes)"
    assert "Image(image/png, 28 bytes)" in repr(Request([user(PICTURE)]))
    assert "PNG\\r" not in repr(Request([user(PICTURE)]))


def test_images_of():
    """Pictures are found with their message and part, tool results' included."""
    found = [(m, p, image.mime) for m, p, image in images_of(CONVERSATION)]
    assert found == [(0, 1, "image/png"), (2, 0, "image/png")]


# Requests


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        ("hi", (user("hi"),)),
        ("", (user(""),)),
        (user("hi"), (user("hi"),)),
        ([user("a"), assistant("b"), "c"], (user("a"), assistant("b"), user("c"))),
        (("a", "b"), (user("a"), user("b"))),
        ((message for message in [user("a")]), (user("a"),)),
        (Request("hi"), (user("hi"),)),
    ],
)
def test_prompt(prompt, messages):
    """A prompt is a str, a message, a sequence of both, or a request."""
    assert Request.of(prompt).messages == messages


@pytest.mark.parametrize(
    "prompt", [None, 5, b"hi", Text("hi"), {"role": "user", "content": "hi"}, [{"role": "user"}], [5], [["hi"]]]
)
def test_no_prompt(prompt):
    """What is no prompt is a ConfigError."""
    with pytest.raises(ConfigError):
        Request.of(prompt)


def test_options_are_laid_over():
    """Options replace the fields of a request, which itself stays as it is."""
    request = Request("hi", temperature=1, stop="END")
    changed = Request.of(request, {"temperature": 0.5, "tools": [WEATHER]})
    assert changed == Request("hi", temperature=0.5, stop="END", tools=(WEATHER,))
    assert request == Request("hi", temperature=1, stop="END")
    assert Request.of(request) is request
    assert Request.of("hi", {"seed": 1}) == Request("hi", seed=1)


@pytest.mark.parametrize("prompt", ["hi", Request("hi")])
@pytest.mark.parametrize("name", ["max_token", "messages", "timeout", "model", ""])
def test_unknown_option(prompt, name):
    """An option that there is not is a ConfigError that names it and those there are."""
    with pytest.raises(ConfigError, match=f"{name!r}.*timeout, system, tools.*extra"):
        Request.of(prompt, {name: 1})


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("stop", "END", ("END",)),
        ("stop", ["a", "b"], ("a", "b")),
        ("tools", [WEATHER], (WEATHER,)),
        ("temperature", 0, 0),
        ("temperature", 2.5, 2.5),
        ("max_tokens", 1, 1),
        ("seed", -1, -1),
        ("system", "", ""),
        *[("reasoning", level, level) for level in ("off", "minimal", "low", "medium", "high", "max")],
        *[("tool_choice", choice, choice) for choice in ("auto", "none", "required")],
        *[(name, None, None) for name in ("system", "schema", "reasoning", "max_tokens")],
        *[(name, None, None) for name in ("temperature", "top_p", "seed")],
    ],
)
def test_setting(name, value, stored):
    """A setting is kept as given, sequences as tuples."""
    assert getattr(Request("hi", **{name: value}), name) == stored


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("system", 5),
        ("system", b"Be brief."),
        ("system", ["Be brief."]),
        ("tools", [{"name": "weather"}]),
        ("tools", [7]),
        ("tools", {"weather": WEATHER}),
        ("tools", WEATHER),
        ("tools", 5),
        ("tool_choice", "weather"),
        ("tool_choice", "AUTO"),
        ("tool_choice", ""),
        ("tool_choice", None),
        ("tool_choice", {"type": "function"}),
        ("reasoning", "very high"),
        ("reasoning", True),
        ("reasoning", ["low"]),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 10.0),
        ("max_tokens", "10"),
        ("max_tokens", True),
        ("temperature", "0.5"),
        ("temperature", False),
        ("temperature", [0.5]),
        ("top_p", "1"),
        ("top_p", True),
        ("seed", 1.5),
        ("seed", "1"),
        ("seed", True),
        ("stop", 5),
        ("stop", [5]),
        ("stop", ["END", None]),
        ("extra", None),
        ("extra", [("a", 1)]),
        ("extra", "a"),
    ],
)
def test_bad_setting(name, value):
    """A setting that no server could take is a ConfigError that names it, before anything is sent."""
    with pytest.raises(ConfigError, match=name):
        Request("hi", **{name: value})
    with pytest.raises(ConfigError, match=name):
        Request.of(Request("hi"), {name: value})


@pytest.mark.parametrize("name", ["tools", "stop"])
def test_none_is_no_setting(name):
    """`None` leaves a setting out, those that are sequences too."""
    assert Request("hi", **{name: None}) == Request("hi")


def test_tool_choice_by_name():
    """A tool can be chosen by its name, if it is among the tools; if not, those there are are named."""
    assert Request("hi", tools=[WEATHER], tool_choice="weather").tool_choice == "weather"
    with pytest.raises(ConfigError, match=r"auto, none, required, weather, not 'wether'"):
        Request("hi", tools=[WEATHER], tool_choice="wether")


@pytest.mark.parametrize(
    "value",
    [Text("a"), PICTURE, CALL, user("a"), WEATHER, FULL, Usage(), Capabilities(), RESPONSE, RESPONSE.attempts[0]],
    ids=lambda value: type(value).__name__,
)
def test_values_are_frozen_dataclasses(value):
    """Every value is a frozen dataclass, changed by copying."""
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, None)
    assert dataclasses.replace(value) == value
    assert dataclasses.asdict(value).keys() == value.__dict__.keys()


def test_a_copy_is_checked():
    """A changed copy is checked and stored like a new value."""
    assert dataclasses.replace(FULL, stop=["x"]).stop == ("x",)
    with pytest.raises(ConfigError):
        dataclasses.replace(FULL, max_tokens=0)


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
    ],
)
def test_merge(base, over, merged):
    """What is laid over wins, objects go into objects, and neither side changes."""
    before = json.dumps([base, over])
    assert merge(base, over) == merged
    assert json.dumps([base, over]) == before


# Responses


def test_response_properties():
    """Text, thinking and tool calls are read from the message."""
    assert (RESPONSE.text, RESPONSE.thinking) == ("Let me look.", "Hm.")
    assert RESPONSE.tool_calls == (CALL, ToolCall("call_2", "look", malformed='{"wher'))


@pytest.mark.parametrize("message", [assistant(), assistant(""), assistant(ToolCall("1", "f"))])
def test_an_empty_response(message):
    """What was not said is an empty string or tuple, never None."""
    response = Response(message)
    assert (response.text, response.thinking, response.refusal) == ("", "", "")
    assert (response.attempts, response.warnings) == ((), ())
    assert response.usage == Usage(None, None, None, None)
    assert isinstance(response.tool_calls, tuple)


def test_raw_is_not_shown():
    """A server's answer is kept and not shown."""
    assert RESPONSE.raw == {"id": "x", "choices": []}
    assert "choices" not in repr(RESPONSE)


@pytest.mark.parametrize(("most", "takes"), [(None, True), (1, True), (0, False)])
def test_supports_images(most, takes):
    """A target takes pictures unless it is known that it takes none."""
    assert Capabilities(max_images_per_request=most).supports_images is takes


def test_capabilities_store_tuples():
    """A list of types is stored as a tuple."""
    assert Capabilities(allowed_image_mime=["image/png"]).allowed_image_mime == ("image/png",)


# To JSON and back

VALUES = {
    **{f"message {number}": message for number, message in enumerate(CONVERSATION)},
    "least request": Request("hi"),
    "no messages": Request(),
    "full request": FULL,
    "least response": Response(assistant()),
    "full response": RESPONSE,
}


def details(value):
    """Everything that a value holds, what is not compared included."""
    if dataclasses.is_dataclass(value):
        return type(value), {name: details(inner) for name, inner in value.__dict__.items() if name != "function"}
    return [details(inner) for inner in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", VALUES)
def test_to_json_and_back(name):
    """A value survives JSON with everything on it: signatures, origins, pictures, nested results."""
    value = VALUES[name]
    data = json.loads(json.dumps(value.to_dict()))
    twin = type(value).from_dict(data)
    assert twin == value
    assert details(twin) == details(value)
    assert twin.to_dict() == value.to_dict()


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(name, protocol):
    """A value survives pickling with everything on it."""
    assert details(pickle.loads(pickle.dumps(VALUES[name], protocol))) == details(VALUES[name])


def test_the_dict_of_a_message():
    """The JSON of a message is what is kept in files: it does not change between versions."""
    assert CONVERSATION[1].to_dict() == {
        "role": "assistant",
        "parts": [
            {"type": "thinking", "text": "Hm.", "signature": "sig=="},
            {"type": "thinking", "text": "", "signature": "redacted"},
            {"type": "text", "text": "Let me look.", "signature": "t3xt"},
            {"type": "tool_call", "id": "call_1", "name": "look", "arguments": CALL.arguments, "signature": "c2ln"},
            {"type": "tool_call", "id": "call_2", "name": "look", "arguments": {}, "malformed": '{"wher'},
        ],
        "origin": "box/qwen3:14b",
    }
    assert tool_result("1", Image(b"BM", "image/bmp")).to_dict()["parts"] == [
        {
            "type": "tool_result",
            "call_id": "1",
            "parts": [{"type": "image", "data": "Qk0=", "mime": "image/bmp"}],
            "is_error": False,
        }
    ]


def test_a_tools_function_stays_behind():
    """What answers a tool is not sent, kept, shown or compared."""
    tool = dataclasses.replace(WEATHER, function=print)
    assert tool == WEATHER
    assert repr(tool) == repr(WEATHER)
    assert Request.from_dict(Request("hi", tools=[tool]).to_dict()).tools[0].function is None


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part, id=str(part)[:60])
        for part in [
            None,
            5,
            "hi",
            [],
            {},
            {"text": "hi"},
            {"type": None},
            {"type": "audio"},
            {"type": ["text"]},
            {"type": "text"},
            {"type": "text", "text": None},
            {"type": "text", "text": 5},
            {"type": "text", "text": ["hi"]},
            {"type": "text", "text": "hi", "colour": "red"},
            {"type": "text", "text": "hi", "signature": 5},
            {"type": "text", "text": "hi", "data": "AAAA"},
            {"type": "thinking", "text": None},
            {"type": "image"},
            {"type": "image", "data": None},
            {"type": "image", "data": "no base64!", "mime": "image/png"},
            {"type": "image", "data": "é", "mime": "image/png"},
            {"type": "image", "data": "aGVsbG8="},
            {"type": "image", "data": "iVBORw0KGgo=", "mime": 5},
            {"type": "tool_call"},
            {"type": "tool_call", "id": "1"},
            {"type": "tool_call", "id": 1, "name": "f"},
            {"type": "tool_call", "id": "1", "name": None},
            {"type": "tool_call", "id": "1", "name": "f", "arguments": None},
            {"type": "tool_call", "id": "1", "name": "f", "arguments": "{}"},
            {"type": "tool_call", "id": "1", "name": "f", "arguments": [1]},
            {"type": "tool_result", "parts": []},
            {"type": "tool_result", "call_id": 1},
            {"type": "tool_result", "call_id": "1", "parts": None},
            {"type": "tool_result", "call_id": "1", "parts": "hi"},
            {"type": "tool_result", "call_id": "1", "parts": [None]},
        ]
    ],
)
def test_no_part(part):
    """A message from a file that holds no part where one should be is a ConfigError."""
    with pytest.raises(ConfigError):
        Message.from_dict({"role": "user", "parts": [part]})


def test_a_result_in_a_result_in_a_result():
    """However deep a file is nested, it is refused with a ConfigError."""
    part = {"type": "text", "text": "x"}
    for _ in range(50_000):
        part = {"type": "tool_result", "call_id": "1", "parts": [part]}
    with pytest.raises(ConfigError):
        Message.from_dict({"role": "tool", "parts": [part]})


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        *[(cls, data) for cls in (Message, Request, Response) for data in (None, 5, "hi", [], {}, [1], {"a": 1})],
        (Message, {"role": "user"}),
        (Message, {"parts": []}),
        (Message, {"role": "system", "parts": []}),
        (Message, {"role": ["user"], "parts": []}),
        (Message, {"role": "user", "parts": None}),
        (Message, {"role": "user", "parts": 5}),
        (Message, {"role": "user", "parts": "hi"}),
        (Request, {"messages": None}),
        (Request, {"messages": "hi"}),
        (Request, {"messages": [5]}),
        (Request, {"messages": [], "tools": 5}),
        (Request, {"messages": [], "tools": [5]}),
        (Request, {"messages": [], "tools": [{"description": "x"}]}),
        (Request, {"messages": [], "tools": [{"name": "x", "colour": "red"}]}),
        (Request, {"messages": [], "stop": 5}),
        (Request, {"messages": [], "extra": 5}),
        (Request, {"messages": [], "max_tokens": "5"}),
        (Response, {**RESPONSE.to_dict(), "message": None}),
        (Response, {**RESPONSE.to_dict(), "usage": None}),
        (Response, {**RESPONSE.to_dict(), "usage": {"tokens": 5}}),
        (Response, {**RESPONSE.to_dict(), "attempts": 5}),
        (Response, {**RESPONSE.to_dict(), "attempts": [{}]}),
        (Response, {**RESPONSE.to_dict(), "attempts": [{"target": "a", "outcome": "failed", "kind": "bad luck"}]}),
        (Response, {**RESPONSE.to_dict(), "warnings": None}),
        *[(Response, {k: v for k, v in RESPONSE.to_dict().items() if k != n}) for n in ("message", "usage", "model")],
    ],
    ids=lambda value: str(value)[:50] if not isinstance(value, type) else value.__name__,
)
def test_no_value(cls, data):
    """A dict that `to_dict` did not write is a ConfigError."""
    with pytest.raises(ConfigError):
        cls.from_dict(data)


def places(value, path=()):
    """The paths to everything inside a JSON value."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def changed(value, path, junk):
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], junk)
    return copy


@pytest.mark.parametrize("name", ["full request", "full response"])
def test_damaged_files(name):
    """With any one thing in it replaced, a file is read or refused, and what was read can be used."""
    value = VALUES[name]
    data = value.to_dict()
    for path in places(data):
        for junk in (None, 5, -0.5, "x", "", True, [], {}, ["x"], {"x": 1}, math.nan):
            try:
                twin = type(value).from_dict(changed(data, path, junk))
            except ConfigError:
                continue
            json.dumps(twin.to_dict())
            for message in twin.messages if name == "full request" else [twin.message]:
                assert isinstance(message.text, str), path


@pytest.mark.parametrize("fields", [(5,), ("",), ("f", None), ("f", "", "x")])
def test_tools_that_are_none(fields):
    """A tool without a name, or with anything but a schema, is refused when it is made."""
    with pytest.raises(ConfigError):
        Tool(*fields)


@pytest.mark.parametrize("prompt", [[], (), Request()])
def test_a_prompt_of_nothing(prompt):
    """Nobody can be asked nothing."""
    with pytest.raises(ConfigError, match="at least one message"):
        Request.of(prompt)


@pytest.mark.parametrize(
    "odd",
    [
        {"max_images_per_request": -1},
        {"max_image_dimension": "10"},
        {"max_image_bytes": 1.5},
        {"max_total_image_bytes": True},
        {"many_images": -5},
        {"allowed_image_mime": 5},
        {"allowed_image_mime": (b"image/png",)},
    ],
)
def test_limits_that_are_none(odd):
    """A limit that nobody can keep is refused when it is made, not in the middle of a call."""
    with pytest.raises(ConfigError, match=next(iter(odd))):
        Capabilities(**odd)


@pytest.mark.parametrize("given", ["image/jpg", ("image/jpg",), ["IMAGE/JPEG"]])
def test_types_are_said_in_one_way(given):
    """A lone type is a list of one, and its usual nickname is read."""
    assert Capabilities(allowed_image_mime=given).allowed_image_mime == ("image/jpeg",)
    assert Capabilities(allowed_image_mime=None).allowed_image_mime == ()


def test_base64_of_percent_signs_is_refused_quickly():
    """Only what stands for a character of base64 is read."""
    with pytest.raises(UnsupportedError):
        Image.from_base64("data:;base64," + "%" * 3_000_000)


class Choice(str, Enum):
    """Words as some programs keep them."""

    LOOK = "look"
    HIGH = "high"


def test_words_of_an_enum_are_words():
    """A member of an enum that is a str counts as its value, wherever it is printed."""
    request = Request("Hi", tools=[Tool("look")], tool_choice=Choice.LOOK, reasoning=Choice.HIGH)
    assert (f"{request.tool_choice}", f"{request.reasoning}") == ("look", "high")
