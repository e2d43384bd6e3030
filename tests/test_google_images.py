"""The wire of Gemini's models that draw, and Google's errors, against the answers that the server gives.

`data/google` holds the answers; in `expect.json` beside them, `drawn` is what they mean to who asked for a picture.
"""

from __future__ import annotations

import copy
import json
import random
from base64 import b64encode

import pytest
from helpers import mutated
from samples import Samples, check_error

from majordomo import APIError, ConfigError, ErrorKind, Image, MajordomoError, ProtocolError, classify
from majordomo.imagegen import ImageRequest
from majordomo.testing import RED
from majordomo.wires import _google as errors
from majordomo.wires import google_images as wire

SAMPLES = Samples("google")
DRAWN = {name: row["drawn"] for name, row in SAMPLES.rows.items() if "drawn" in row}

QUIRKS = wire.Quirks()
B64 = b64encode(RED).decode()
PICTURE = Image(RED)
ONE = ImageRequest("a cat")
INLINE = {"inlineData": {"mimeType": "image/png", "data": B64}}


def answer(*parts, finish="STOP", **more):
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}], **more}


# --- answers


@pytest.mark.parametrize("name", DRAWN)
def test_decode(name):
    """An answer becomes the pictures, or the error, written beside it."""
    if "images" in DRAWN[name]:
        found, warnings = wire.decode(SAMPLES.payload(name), ONE)
        assert [picture.mime for picture in found] == DRAWN[name]["images"]
        assert warnings == ()
        return
    with pytest.raises(MajordomoError) as caught:
        wire.decode(SAMPLES.payload(name), ONE)
    check_error(DRAWN[name], caught.value)
    assert getattr(caught.value, "status", 400) == 400


SHAPES = {
    "text around": (answer({"text": "Here:"}, INLINE, {"text": "Fine?"}), 1),
    "snake case": (answer({"inline_data": {"mime_type": "image/png", "data": B64}}), 1),
    "drafts": (answer({**INLINE, "thought": True}, {"text": "hm", "thought": True}, INLINE), 1),
    "two": (answer(INLINE, INLINE), 2),
    "two candidates": ({"candidates": [answer(INLINE)["candidates"][0]] * 2}, 2),
    "a wrong type told": (answer({"inlineData": {"mimeType": "image/jpeg", "data": B64}}), 1),
    "cut, but there": (answer(INLINE, finish="MAX_TOKENS"), 1),
    "junk beside it": (answer({"inlineData": {"data": "!!"}}, INLINE, None, 7, {"inlineData": 5}), 1),
    "no finish reason": ({"candidates": [{"content": {"parts": [INLINE]}}]}, 1),
}


@pytest.mark.parametrize(("payload", "count"), list(SHAPES.values()), ids=list(SHAPES))
def test_shapes_of_an_answer(payload, count):
    """Pictures are taken wherever they stand; drafts are none."""
    assert wire.decode(payload, ONE) == ([PICTURE] * count, ())


WITHOUT = {
    "nothing": ({}, ProtocolError, "no picture"),
    "null": (None, ProtocolError, "no picture"),
    "a list": ([], ProtocolError, "no picture"),
    "candidates null": ({"candidates": None}, ProtocolError, "no picture"),
    "a draft alone": (answer({**INLINE, "thought": True}), ProtocolError, "STOP"),
    "words alone": (answer({"text": "I would rather not."}), ProtocolError, "I would rather not"),
    "no image": (answer(finish="NO_IMAGE"), ProtocolError, "NO_IMAGE"),
    "no picture in it": (
        answer({"inlineData": {"data": b64encode(b"hello").decode()}}),
        ProtocolError,
        "cannot be read",
    ),
    "no base64": (answer({"inlineData": {"data": "!"}}), ProtocolError, "cannot be read"),
    "withheld": (answer({"text": "Sorry."}, finish="IMAGE_SAFETY"), APIError, "IMAGE_SAFETY"),
    "prohibited": (answer(finish="PROHIBITED_CONTENT"), APIError, "PROHIBITED_CONTENT"),
    "prompt blocked": ({"promptFeedback": {"blockReason": "OTHER"}}, APIError, "prompt was blocked .OTHER"),
    "reason of lines": (answer(finish="A\nB" * 500), ProtocolError, "A B"),
}


@pytest.mark.parametrize(("payload", "kind", "says"), list(WITHOUT.values()), ids=list(WITHOUT))
def test_an_answer_without_a_picture_says_why(payload, kind, says):
    """A filter's no is an error of its kind, anything else a ProtocolError; text that came is kept."""
    with pytest.raises(kind, match=says) as caught:
        wire.decode(payload, ONE)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    if kind is APIError:
        assert classify(caught.value) is ErrorKind.FILTERED


def test_text_that_came_instead_is_kept():
    """`.partial` holds the model's words, without its thoughts."""
    for finish in ("STOP", "IMAGE_SAFETY"):
        with pytest.raises(MajordomoError) as caught:
            wire.decode(
                answer({"text": "Hm.", "thought": True}, {"text": "No. "}, {"text": "Never."}, finish=finish), ONE
            )
        assert caught.value.partial == "No. Never."


INNER = [
    ({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}, 429, "RATE_LIMITED"),
    ([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], 400, "INVALID"),
    ({"error": {"message": "m", "status": "UNAVAILABLE"}}, 503, "TRANSIENT"),
    ({"error": {"message": "m", "status": "PERMISSION_DENIED"}}, 403, "AUTH"),
    ({"error": {"message": "m", "code": 7}}, 500, "TRANSIENT"),
    ({"error": {"message": "m", "code": True}}, 500, "TRANSIENT"),
    ({"error": "m"}, 500, "TRANSIENT"),
    ({"candidates": [], "error": {"code": 503, "message": "m"}}, 503, "TRANSIENT"),
]


@pytest.mark.parametrize(("payload", "status", "kind"), INNER)
def test_an_error_in_a_200(payload, status, kind):
    """It is the error that it would have been as a status."""
    with pytest.raises(APIError) as caught:
        wire.decode(payload, ONE)
    assert (caught.value.status, classify(caught.value)) == (status, ErrorKind[kind])


@pytest.mark.parametrize("name", DRAWN)
def test_wrong_types_in_an_answer(name):
    """No answer with wrong types anywhere makes an exception from outside the tree."""
    rng = random.Random(name)
    payload = SAMPLES.payload(name)
    for _ in range(400):
        odd = copy.deepcopy(payload)
        for _ in range(rng.randint(1, 3)):
            odd = mutated(odd, rng)
        try:
            found, warnings = wire.decode(odd, ONE)
        except MajordomoError as exc:
            assert classify(exc) is not ErrorKind.CONFIG, odd
        else:
            assert found
            assert all(type(picture) is Image for picture in found)
            assert warnings == ()


# --- errors


@pytest.mark.parametrize("name", SAMPLES.refused)
def test_read_error(name):
    """The body of an error has the meaning that it has for a chat."""
    error = SAMPLES.error(wire, name)
    check_error(SAMPLES.expect(name), error)
    assert error.message


@pytest.mark.parametrize("name", [name for name in SAMPLES.refused if name.endswith(".json")])
def test_an_error_is_the_same_in_a_200(name):
    """Status, code and wait do not depend on where the error stood."""
    with pytest.raises(APIError) as caught:
        errors.raise_error(SAMPLES.payload(name), "so far")
    error = caught.value
    told = wire.read_error(SAMPLES.rows[name]["status"], SAMPLES.text(name))
    assert (error.message, error.code, error.param, error.retry_after) == told
    assert (error.status, error.partial) == (SAMPLES.rows[name]["status"], "so far")


TEXTS = [
    (400, "Model does not support the requested response modalities: image,text", "UNSUPPORTED"),
    (
        400,
        "The requested combination of response modalities (TEXT, IMAGE) is not supported by the model.",
        "UNSUPPORTED",
    ),
    (400, "Image input modality is not enabled for models/x", "UNSUPPORTED"),
    (400, "Function calling is not enabled for models/x", "UNSUPPORTED"),
    (400, "JSON mode is not enabled for models/x", "UNSUPPORTED"),
    (400, "The input token count exceeds the maximum number of tokens allowed 8192.", "TOO_LONG"),
    (400, "He asked: why does the input token count matter, and what does it say?", "INVALID"),
    (500, "The input token count (9) exceeds the maximum number of tokens allowed (8).", "TRANSIENT"),
    (413, "", "TOO_LONG"),
]


@pytest.mark.parametrize(("status", "message", "kind"), TEXTS)
def test_what_google_says_only_in_words(status, message, kind):
    """Words count where Google has no code for it, and only in a 400."""
    body = json.dumps({"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}})
    found, code, _, _ = errors.read_error(status, body)
    assert classify(APIError(status, found, code)) is ErrorKind[kind]


WAITS = [
    ("7s", 7.0),
    ("0.5s", 0.5),
    ("1.502s", 1.502),
    ("0s", 0.0),
    ("-1s", None),
    ("s", None),
    ("7", None),
    ("7m", None),
    ("infs", None),
    ("1e9s", None),
    ("٣s", None),
    ("9" * 400 + "s", None),
    (7, None),
    (None, None),
    ({"seconds": 7}, None),
]


@pytest.mark.parametrize(("delay", "seconds"), WAITS)
def test_the_wait_that_google_names(delay, seconds):
    """A duration is seconds with an `s`; anything else is not guessed at."""
    details = [{"@type": "x/google.rpc.RetryInfo", "retryDelay": delay}]
    assert errors.read_error(429, json.dumps({"error": {"message": "m", "details": details}}))[3] == seconds


@pytest.mark.parametrize("name", [name for name in SAMPLES.refused if name.endswith(".json")])
def test_wrong_types_in_an_error(name):
    """Details of any shape are read or passed over."""
    rng = random.Random(name)
    for _ in range(300):
        odd = mutated(mutated(SAMPLES.payload(name), rng), rng)
        message, code, param, wait = errors.read_error(429, json.dumps(odd))
        assert isinstance(message, str)
        assert code is None or isinstance(code, str)
        assert param is None or isinstance(param, str)
        assert wait is None or wait >= 0
        try:
            errors.raise_error(odd)
        except APIError:
            pass


# --- requests


def test_encode():
    """Pictures stand before the words; nothing that was not said is sent."""
    assert wire.encode(ONE, "m", QUIRKS) == {
        "contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
        "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]},
    }
    request = ImageRequest(
        "a cat",
        n=3,
        size="1920x1080",
        seed=7,
        negative_prompt="dogs",
        images=PICTURE,
        extra={"generationConfig": {"seed": 8, "imageConfig": {"imageSize": "4K"}}, "safetySettings": []},
    )
    assert wire.encode(request, "m", QUIRKS) == {
        "contents": [{"role": "user", "parts": [INLINE, {"text": "a cat"}]}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "4K"},
            "seed": 8,
        },
        "safetySettings": [],
    }


PATHS = {
    "gemini-3.1-flash-image": "/models/gemini-3.1-flash-image:generateContent",
    "models/gemini-x": "/models/gemini-x:generateContent",
    "tunedModels/mine": "/tunedModels/mine:generateContent",
    "models": "/models/models:generateContent",
    "a b?c&d#e%": "/models/a%20b%3Fc%26d%23e%25:generateContent",
    "\ud83d": "/models/%3F:generateContent",
}


@pytest.mark.parametrize(("model", "path"), list(PATHS.items()))
def test_path(model, path):
    """The model's name stands in the path, with or without its folder, and cannot add a query."""
    assert wire.path(ONE, model) == path


@pytest.mark.parametrize("model", ["..", "models/../x", "../x", "./x", "models/", "a//b", ""])
def test_a_name_that_leads_elsewhere_is_refused(model):
    """A path climbs nowhere."""
    with pytest.raises(ConfigError, match="model's name"):
        wire.path(ONE, model)


SIZES = [
    ((1024, 1024), {"aspectRatio": "1:1"}, None),
    ((2048, 2048), {"aspectRatio": "1:1", "imageSize": "2K"}, None),
    ((4096, 4096), {"aspectRatio": "1:1", "imageSize": "4K"}, None),
    ((512, 512), {"aspectRatio": "1:1"}, "size: sent as aspectRatio 1:1"),
    ((1025, 1024), {"aspectRatio": "1:1", "imageSize": "2K"}, "size: sent as aspectRatio 1:1, imageSize 2K"),
    ((1920, 1080), {"aspectRatio": "16:9", "imageSize": "2K"}, "size: sent as aspectRatio 16:9, imageSize 2K"),
    ((1080, 1920), {"aspectRatio": "9:16", "imageSize": "2K"}, "size: sent as aspectRatio 9:16, imageSize 2K"),
    ((800, 600), {"aspectRatio": "4:3"}, "size: sent as aspectRatio 4:3"),
    ((1000, 1500), {"aspectRatio": "2:3", "imageSize": "2K"}, "size: sent as aspectRatio 2:3, imageSize 2K"),
    ((9000, 100), {"aspectRatio": "21:9", "imageSize": "4K"}, "size: sent as aspectRatio 21:9, imageSize 4K"),
    ((1, 900_000_000), {"aspectRatio": "9:16", "imageSize": "4K"}, "size: sent as aspectRatio 9:16, imageSize 4K"),
]


@pytest.mark.parametrize(("size", "config", "warning"), SIZES)
def test_a_size_is_the_nearest_shape(size, config, warning):
    """Shape and size are the nearest that can be asked for; where that is not what was said, it is told."""
    request = ImageRequest("a cat", size=size)
    assert wire.encode(request, "m", QUIRKS)["generationConfig"]["imageConfig"] == config
    assert wire.warnings(request, QUIRKS) == ((warning,) if warning else ())


def test_warnings_name_what_is_left_out():
    """There is no field for a negative prompt; a seed is sent."""
    request = ImageRequest("a cat", seed=7, negative_prompt="dogs")
    assert [line.partition(":")[0] for line in wire.warnings(request, QUIRKS)] == ["negative_prompt"]
    assert wire.warnings(ONE, QUIRKS) == ()
