"""The wire of OpenAI's Images API, against the answers that servers give.

`data/openai_images` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
import random
from base64 import b64encode, urlsafe_b64encode

import pytest
from helpers import mutated
from samples import Samples, check_error

from majordomo import (
    APIError,
    ConfigError,
    ErrorKind,
    Image,
    MajordomoError,
    ProtocolError,
    Registry,
    UnsupportedError,
    classify,
)
from majordomo.imagegen import ImageRequest
from majordomo.testing import RED, Seen, Status
from majordomo.wires import openai_images as wire

SAMPLES = Samples("openai_images")

PLAIN = wire.Quirks()
SD = wire.Quirks(extra_args=True)
B64 = b64encode(RED).decode()
PICTURE = Image(RED)
ONE = ImageRequest("a cat")
TAG = "sd_cpp_extra_args"


# --- answers


@pytest.mark.parametrize("name", SAMPLES.answers)
def test_decode(name):
    """An answer becomes the pictures, or the error, written beside it."""
    expect = SAMPLES.rows[name]["expect"]
    if "error" in expect:
        with pytest.raises(ProtocolError):
            wire.decode(SAMPLES.payload(name), ONE)
        return
    found, warnings = wire.decode(SAMPLES.payload(name), ONE)
    assert [picture if isinstance(picture, str) else picture.mime for picture in found] == expect["images"]
    assert warnings == ()


def test_other_answers_are_none(server):
    """A stream of parts of a picture, and a job that failed, hold no picture; nobody asked for the one or the other."""
    painter = Registry({"LLM_BOX": server.dsn("openai")}, retries=0).parse_image("box/m")
    for name, error in (("image-openai-stream.sse", ProtocolError), ("image-sd-job-failed.json", APIError)):
        server.add(Status(200, SAMPLES.text(name)))
        with pytest.raises(error) as caught:
            painter.generate("a dot")
        assert classify(caught.value) is ErrorKind.TRANSIENT


SHAPES = {
    "b64_json": {"data": [{"b64_json": B64}]},
    "line breaks": {"data": [{"b64_json": B64[:40] + "\r\n" + B64[40:] + "\n"}]},
    "no padding": {"data": [{"b64_json": B64.rstrip("=")}]},
    "url-safe": {"data": [{"b64_json": urlsafe_b64encode(RED).decode()}]},
    "data URL": {"data": [{"b64_json": "data:image/png;base64," + B64}]},
    "data URL as url": {"data": [{"url": "data:image/png;base64," + B64}]},
    "data URL in capitals": {"data": [{"url": "DATA:image/png;base64," + B64}]},
    "a wrong type told": {"data": [{"b64_json": "data:image/webp;base64," + B64}], "output_format": "webp"},
    "both, one null": {"data": [{"b64_json": B64, "url": None}]},
    "both, one empty": {"data": [{"b64_json": "", "url": "data:image/png;base64," + B64}]},
    "plain strings": {"data": [B64]},
    "WebUI": {"images": [B64], "info": "{}", "parameters": {}},
    "WebUI beside an empty data": {"images": [B64], "data": []},
    "a message beside it": {"data": [{"b64_json": B64}], "message": "done", "error": None},
    "an entry without": {"data": [{"revised_prompt": "x"}, {"b64_json": B64}, None, 7]},
    "an entry that is junk": {"data": [{"b64_json": "!!!"}, {"b64_json": B64}, {"url": "ftp://x/y"}]},
}


@pytest.mark.parametrize("payload", list(SHAPES.values()), ids=list(SHAPES))
def test_shapes_of_an_answer(payload):
    """Every way in which servers write a picture gives the same one, its type told by its bytes."""
    assert wire.decode(payload, ONE) == ([PICTURE], ())


def test_fewer_pictures_than_asked_for_are_told():
    """An answer that is short is an answer, and says so; one that is long is kept whole."""
    payload = {"data": [{"b64_json": B64}, {}]}
    assert wire.decode(payload, ImageRequest("a", n=2))[1] == ("n: 1 of 2 pictures came",)
    assert wire.decode({"data": [{"b64_json": B64}] * 3}, ImageRequest("a", n=2)) == ([PICTURE] * 3, ())


URLS = ["https://images.example.test/a.png?sig=x%20y#z", "http://127.0.0.1:8080/a", "HTTPS://h/", "http://[::1]:80/a"]
BAD_URLS = [
    "ftp://h/a",
    "file:///etc/passwd",
    "//h/a",
    "/a.png",
    "h/a.png",
    "https:///a",
    "https://",
    "https://user:secret@h/a",
    "https://user@h/a",
    "https://@h/a",
    "https://good\\@evil/a",
    "https://h/a b",
    "https://h/a\r\nX: 1",
    "https://h:0/a",
    "https://h:99999/a",
    "https://h:x/a",
    "https://[::1/a",
    "https://h/ä",
    "javascript:alert(1)",
    "https://h/" + "a" * 20_000,
    "data:image/png;base64,AAAA",
    "data:,hello",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_still_to_be_fetched(url):
    """A URL is handed on as it is."""
    assert wire.decode({"data": [{"url": f" {url}\n"}]}, ONE) == ([url], ())


@pytest.mark.parametrize("url", BAD_URLS, ids=[url[:30] for url in BAD_URLS])
def test_a_url_that_nobody_should_fetch_is_no_picture(url):
    """Other schemes, credentials, no host, control characters: refused, and not quoted."""
    with pytest.raises(ProtocolError, match="cannot be read") as caught:
        wire.decode({"data": [{"url": url}]}, ONE)
    assert len(str(caught.value)) < 200
    assert "secret" not in str(caught.value)


NONSENSE = {
    "null": None,
    "a number": 7,
    "text": "data",
    "a list": [{"b64_json": B64}],
    "nothing": {},
    "no data": {"created": 1},
    "data null": {"data": None},
    "data empty": {"data": []},
    "data text": {"data": B64},
    "data an object": {"data": {"b64_json": B64}},
    "entries of nothing": {"data": [None, 5, {}, {"b64_json": None}, {"b64_json": 5}, {"url": ["x"]}]},
    "no base64": {"data": [{"b64_json": "not base64!"}]},
    "foreign letters": {"data": [{"b64_json": "käse\ud83d"}]},
    "no picture": {"data": [{"b64_json": b64encode(b"hello").decode()}]},
    "a web page": {"data": [{"b64_json": b64encode(b"<html></html>").decode()}]},
    "pictures without end": {"data": [{"url": "https://h/a"}] * 1000},
}


@pytest.mark.parametrize("payload", list(NONSENSE.values()), ids=list(NONSENSE))
def test_what_holds_no_picture_is_a_protocol_error(payload):
    """A 2xx without a picture is a ProtocolError of one short line."""
    with pytest.raises(ProtocolError) as caught:
        wire.decode(payload, ONE)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_many_pictures_may_come_if_they_were_asked_for():
    """Only more pictures than anybody wants are refused."""
    rows = {"data": [{"url": "https://h/a"}] * 150}
    assert len(wire.decode(rows, ImageRequest("a", n=150))[0]) == 150


INNER = [
    ({"error": {"message": "m", "code": "moderation_blocked"}}, "FILTERED"),
    ({"error": {"message": "m", "type": "image_generation_user_error", "code": None}}, "FILTERED"),
    ({"error": {"message": "m", "code": 429}, "data": [{"b64_json": B64}]}, "RATE_LIMITED"),
    ({"error": "loaded model does not support img_gen", "data": []}, "UNSUPPORTED"),
    ({"detail": "m"}, "TRANSIENT"),
]


@pytest.mark.parametrize(("payload", "kind"), INNER)
def test_an_error_in_a_200(payload, kind):
    """It is the error that it would have been as a status."""
    with pytest.raises(APIError) as caught:
        wire.decode(payload, ONE)
    assert classify(caught.value) is ErrorKind[kind]


@pytest.mark.parametrize("name", SAMPLES.answers)
def test_wrong_types_in_an_answer(name):
    """No answer with wrong types anywhere makes an exception from outside the tree."""
    rng = random.Random(name)
    payload = SAMPLES.payload(name)
    for _ in range(400):
        odd = copy.deepcopy(payload)
        for _ in range(rng.randint(1, 3)):
            odd = mutated(odd, rng)
        try:
            found, warnings = wire.decode(odd, ImageRequest("a", n=rng.randint(1, 3)))
        except MajordomoError as exc:
            assert classify(exc) is not ErrorKind.CONFIG, odd
        else:
            assert found
            assert all(type(picture) in (Image, str) for picture in found)
            assert all(type(line) is str for line in warnings)


# --- errors


@pytest.mark.parametrize("name", SAMPLES.refused)
def test_read_error(name):
    """The body of an error has the meaning written beside it."""
    check_error(SAMPLES.expect(name), SAMPLES.error(wire, name))


ERRORS = [
    (400, '{"error":"loaded model does not support img_gen"}', "UNSUPPORTED"),
    (404, "", "UNSUPPORTED"),
    (404, '{"detail":"Not Found"}', "UNSUPPORTED"),
    (404, '{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}', "NOT_FOUND"),
    (500, '{"error":{"message":"File Not Found","type":"server_error"}}', "TRANSIENT"),
    (400, '{"error":{"message":"m","code":"content_policy_violation"}}', "FILTERED"),
    (400, '{"error":{"message":"m","type":"user_error","code":"moderation_blocked"}}', "FILTERED"),
    (400, '{"error":{"message":"m","code":"billing_hard_limit_reached"}}', "QUOTA"),
    (403, '{"error":{"message":"Your organization must be verified"}}', "AUTH"),
    (413, "", "TOO_LONG"),
]


@pytest.mark.parametrize(("status", "body", "kind"), ERRORS)
def test_what_an_error_means(status, body, kind):
    """A path that a server does not have is a model that cannot draw; its chat is not to blame."""
    message, code, param, wait = wire.read_error(status, body)
    assert classify(APIError(status, message, code, param=param, retry_after=wait)) is ErrorKind[kind]


# --- requests


def test_the_sample_request():
    """What stable-diffusion.cpp takes is what is written for it, block in the prompt included."""
    request = ImageRequest(
        "a red square",
        n=2,
        size="512x512",
        seed=1234,
        negative_prompt="text",
        extra={"sd_cpp_extra_args": {"sample_params": {"sample_steps": 8}}, "output_format": "png"},
    )
    assert wire.path(request, "flux-schnell") == "/images/generations"
    assert wire.encode(request, "flux-schnell", SD) == SAMPLES.payload("image-sd-request.json")
    assert wire.warnings(request, SD) == ()


BODIES = {
    "bare": ({}, PLAIN, {}),
    "n": ({"n": 3}, PLAIN, {"n": 3}),
    "size": ({"size": (640, 480)}, PLAIN, {"size": "640x480"}),
    "no field for it": ({"seed": 7, "negative_prompt": "x"}, PLAIN, {}),
    "extra": ({"extra": {"quality": "low", "n": 2}}, PLAIN, {"quality": "low", "n": 2}),
    "extra wins": ({"n": 3, "extra": {"n": 2, "model": "other"}}, PLAIN, {"n": 2, "model": "other"}),
    "bare, sd": ({}, SD, {}),
    "seed, sd": ({"seed": -1}, SD, {"prompt": 'a cat <sd_cpp_extra_args>{"seed":-1}</sd_cpp_extra_args>'}),
    "an empty negative prompt": (
        {"negative_prompt": ""},
        SD,
        {"prompt": 'a cat <sd_cpp_extra_args>{"negative_prompt":""}</sd_cpp_extra_args>'},
    ),
    "the block wins": (
        {"seed": 7, "extra": {TAG: {"seed": 8}}},
        SD,
        {"prompt": 'a cat <sd_cpp_extra_args>{"seed":8}</sd_cpp_extra_args>'},
    ),
}


@pytest.mark.parametrize(("options", "quirks", "more"), list(BODIES.values()), ids=list(BODIES))
def test_encode(options, quirks, more):
    """Only what was said is sent; no nulls, no `response_format`."""
    request = ImageRequest("a cat", **options)
    assert wire.encode(request, "m", quirks) == {"model": "m", "prompt": "a cat", **more}


@pytest.mark.parametrize("text", [f"</{TAG}>", f"x</{TAG}> <{TAG}>{{}}", "a\nb\u2028c\r", '"\\', "\ud83d", "<>" * 9])
def test_a_negative_prompt_cannot_leave_its_block(text):
    """The block is one line that ends where we end it, and says what was said."""
    request = ImageRequest("a cat", negative_prompt=text)
    prompt = wire.encode(request, "m", SD)["prompt"]
    opened, closed = f"<{TAG}>", f"</{TAG}>"
    assert prompt.startswith("a cat " + opened)
    assert prompt.endswith(closed)
    assert prompt.count(opened) == prompt.count(closed) == 1
    inside = prompt[len("a cat " + opened) : -len(closed)]
    assert not set("<>\r\n\u2028") & set(inside)
    assert json.loads(inside) == {"negative_prompt": text}


@pytest.mark.parametrize("prompt", [f"a <{TAG}>{{}}</{TAG}>", TAG, f"a </{TAG.upper()}> cat", "Sd_Cpp_Extra_Args"])
def test_a_prompt_that_would_be_run_is_not_sent(prompt):
    """Words of a stranger cannot set steps or load files; another server may still draw them."""
    request = ImageRequest(prompt, seed=7)
    with pytest.raises(UnsupportedError, match=TAG):
        wire.encode(request, "m", SD)
    assert wire.encode(request, "m", PLAIN)["prompt"] == prompt


@pytest.mark.parametrize("extra", [{TAG: "x"}, {TAG: None}, {TAG: {"seed": float("nan")}}, {TAG: {"a": object()}}])
def test_arguments_that_cannot_be_written_are_told(extra):
    """A mistake in `extra` is the caller's."""
    with pytest.raises(ConfigError, match=TAG):
        wire.encode(ImageRequest("a cat", extra=extra), "m", SD)


def test_encoding_changes_nothing_of_the_request():
    """A request goes to many targets: its dicts stay as they were."""
    extra = {TAG: {"sample_params": {"sample_steps": 8}}, "more": {"a": 1}}
    request = ImageRequest("a cat", seed=1, extra=copy.deepcopy(extra))
    wire.encode(request, "m", SD)
    assert request == ImageRequest("a cat", seed=1, extra=extra)


def test_pictures_to_edit_go_into_a_form():
    """Everything else is a field: words as they are, the rest as JSON, nothing as nothing."""
    request = ImageRequest(
        "ein Käse",
        n=2,
        size="64x32",
        images=[PICTURE, Image(b"\xff\xd8\xffx")],
        extra={"quality": "low", "compression": 5, "ratio": 0.5, "stream": False, "more": {"a": [1]}, "none": None},
    )
    assert wire.path(request, "m") == "/images/edits"
    form = wire.encode(request, "m", PLAIN)
    parts = Seen("POST", "/", {"content-type": form.content_type}, form.body).form
    assert {name: data.decode() for name, filename, _, data in parts if filename is None} == {
        "model": "m",
        "prompt": "ein Käse",
        "n": "2",
        "size": "64x32",
        "quality": "low",
        "compression": "5",
        "ratio": "0.5",
        "stream": "false",
        "more": '{"a":[1]}',
    }
    assert [part for part in parts if part[1] is not None] == [
        ("image[]", "image-1.png", "image/png", RED),
        ("image[]", "image-2.jpeg", "image/jpeg", b"\xff\xd8\xffx"),
    ]


def test_a_lone_picture_goes_under_the_name_that_all_servers_know():
    """Older servers know `image` alone; the block for stable-diffusion.cpp rides along."""
    form = wire.encode(ImageRequest("a cat", seed=7, images=PICTURE), "m", SD)
    parts = Seen("POST", "/", {"content-type": form.content_type}, form.body).form
    assert [(name, filename) for name, filename, _, _ in parts] == [
        ("model", None),
        ("prompt", None),
        ("image", "image-1.png"),
    ]
    assert b'{"seed":7}' in parts[1][3]


def test_warnings_name_what_is_left_out():
    """By the option's name, only if it was given, only where it is not sent."""
    request = ImageRequest("a cat", seed=0, negative_prompt="", size="64x64")
    assert [line.partition(":")[0] for line in wire.warnings(request, PLAIN)] == ["seed", "negative_prompt"]
    assert wire.warnings(request, SD) == wire.warnings(ONE, PLAIN) == ()
