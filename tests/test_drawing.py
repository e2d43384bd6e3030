"""Drawing from end to end: a spec, a server on the loopback, a picture; and everything that can come between."""

from __future__ import annotations

import copy
import math
import pickle
import sys
import time
import traceback
from base64 import b64decode, b64encode

import pytest
from helpers import Clock, outcomes

import majordomo
from majordomo import (
    APIError,
    Capabilities,
    ChainError,
    ConfigError,
    DeadlineError,
    ErrorKind,
    Image,
    ImageModel,
    ImageRequest,
    ImageResponse,
    MajordomoError,
    ProtocolError,
    Provider,
    Registry,
    SpecError,
    TransportError,
    TruncatedError,
    UnsupportedError,
    classify,
)
from majordomo.testing import RED, Drawing, FakeServer, Raw, Reply, Status, cut, dead_port, drip, hang, redirect, reset

TOKEN = "tok-SECRET/1234+5678"
JPEG = b"\xff\xd8\xff\xe0 a picture as far as its first bytes tell"
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 a picture"
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
B64 = b64encode(RED).decode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOUND = 10.0  # seconds that no test here comes near

# Wire: (path in the DSN, how a model is drawn with, how pictures are edited), `m` being the model.
WIRES = {
    "openai": ("", "/v1/images/generations", "/v1/images/edits"),
    "llama-swap": ("", "/v1/images/generations", "/v1/images/edits"),
    "google": ("/v1beta", "/v1beta/models/m:generateContent", "/v1beta/models/m:generateContent"),
}
OPENAI_LIKE = ("openai", "llama-swap")


@pytest.fixture(scope="module")
def running():
    """Two servers: one that wants the token, and one that belongs to somebody else."""
    with FakeServer(token=TOKEN) as ours, FakeServer() as theirs:
        yield ours, theirs


@pytest.fixture
def server(running):
    """A server that wants the token."""
    running[0].reset()
    return running[0]


@pytest.fixture
def elsewhere(running):
    """A server that belongs to somebody else."""
    running[1].reset()
    return running[1]


def variable(server, wire, options=""):
    """The DSN of a server for a wire."""
    return server.dsn(wire, TOKEN, WIRES[wire][0], options)


def drawer(server, wire="openai", model="m", options="", **settings):
    """A chain of one at a server, tried once."""
    settings = {"retries": 0, "sleep": lambda seconds: None, **settings}
    return Registry({"LLM_BOX": variable(server, wire, options)}, **settings).parse_image(f"box/{model}")


def two(server, second=None, wires=("openai", "openai"), **settings):
    """A registry of `a` and `b`, and a chain of `a/m` and `b/m`; `b` is at the same server if no other is told."""
    settings = {"retries": 0, "sleep": lambda seconds: None, **settings}
    variables = {"LLM_A": variable(server, wires[0]), "LLM_B": variable(second or server, wires[1])}
    registry = Registry(variables, **settings)
    return registry, registry.parse_image("a/m, b/m")


def kinds(attempts):
    """Attempts in short, by provider: `[("a", "failed", "transient"), ...]`."""
    return [(a.target.partition("/")[0], a.outcome, a.kind.value if a.kind else None) for a in attempts]


def printed(error):
    """Everything that a program could print or keep of an error."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return shown + repr(error) + str(vars(error)) + repr(pickle.dumps(error))


# What is sent


@pytest.mark.parametrize("wire", WIRES)
def test_a_question_to_draw(server, wire):
    """One POST to the wire's place, JSON in and out, the prompt as it was said."""
    drawer(server, wire).generate("a café\n<by night>")
    (seen,) = server.requests
    assert (seen.method, seen.path) == ("POST", WIRES[wire][1])
    assert seen.headers["content-type"] == seen.headers["accept"] == "application/json"
    assert seen.headers["user-agent"].startswith("majordomo/")
    if wire == "google":
        assert seen.json["contents"] == [{"role": "user", "parts": [{"text": "a café\n<by night>"}]}]
    else:
        assert seen.json == {"model": "m", "prompt": "a café\n<by night>"}


@pytest.mark.parametrize(
    ("wire", "header", "value", "others"),
    [
        ("openai", "authorization", f"Bearer {TOKEN}", "x-goog-api-key"),
        ("llama-swap", "authorization", f"Bearer {TOKEN}", "x-goog-api-key"),
        ("google", "x-goog-api-key", TOKEN, "authorization"),
    ],
)
def test_the_token_goes_into_one_header(server, wire, header, value, others):
    """Each server gets its key where it looks for it, and nowhere else; edits too."""
    for images in ((), Image(RED)):
        drawer(server, wire).generate("a cat", images=images)
    for seen in server.requests:
        assert seen.headers[header] == value
        assert others not in seen.headers
        assert TOKEN not in seen.path
        assert TOKEN.encode() not in seen.body


@pytest.mark.parametrize(("wire", "bearer"), [("openai", None), ("llama-swap", "Bearer no-key"), ("google", None)])
def test_without_a_token_no_key_is_sent(elsewhere, wire, bearer):
    """A server of one's own needs none; llama-swap gets its placeholder."""
    registry = Registry({"LLM_BOX": elsewhere.dsn(wire, None, WIRES[wire][0])})
    registry.parse_image("box/m").generate("a cat")
    assert elsewhere.requests[0].headers.get("authorization") == bearer
    assert "x-goog-api-key" not in elsewhere.requests[0].headers


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", ["m", "org/flux:schnell@q4", "Modèle.1-x_y"])
def test_a_models_name_reaches_the_server(server, wire, model):
    """As it stands in the spec, in the body or in the path; the answer's model is the spec's."""
    response = drawer(server, wire, model).generate("a cat")
    assert server.requests[0].model == model
    assert response.model == f"box/{model}"


OPTIONS = {
    # name: (options, wire, what the body holds, what is warned of)
    "size, openai": ({"size": (640, 480)}, "openai", {"size": "640x480"}, []),
    "size, llama-swap": ({"size": "640X480"}, "llama-swap", {"size": "640x480"}, []),
    "size, google": (
        {"size": "1024x1024"},
        "google",
        {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "1:1"}}},
        [],
    ),
    "size that google does not have": (
        {"size": "1920x1080"},
        "google",
        {
            "generationConfig": {
                "responseModalities": ["TEXT", "IMAGE"],
                "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
            }
        },
        ["size"],
    ),
    "seed, openai": ({"seed": 7}, "openai", {}, ["seed"]),
    "seed, google": (
        {"seed": 7},
        "google",
        {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "seed": 7}},
        [],
    ),
    "seed, llama-swap": (
        {"seed": 7},
        "llama-swap",
        {"prompt": 'a cat <sd_cpp_extra_args>{"seed":7}</sd_cpp_extra_args>'},
        [],
    ),
    "negative prompt, openai": ({"negative_prompt": "dogs"}, "openai", {}, ["negative_prompt"]),
    "negative prompt, google": ({"negative_prompt": "dogs"}, "google", {}, ["negative_prompt"]),
    "negative prompt, llama-swap": (
        {"negative_prompt": "dogs"},
        "llama-swap",
        {"prompt": 'a cat <sd_cpp_extra_args>{"negative_prompt":"dogs"}</sd_cpp_extra_args>'},
        [],
    ),
    "extra, openai": ({"extra": {"quality": "low"}, "n": 2}, "openai", {"quality": "low", "n": 2}, []),
    "extra wins": ({"extra": {"n": 2}, "n": 3}, "openai", {"n": 2}, ["n"]),
    "extra, llama-swap": (
        {"extra": {"sd_cpp_extra_args": {"sample_params": {"sample_steps": 4}}}},
        "llama-swap",
        {"prompt": 'a cat <sd_cpp_extra_args>{"sample_params":{"sample_steps":4}}</sd_cpp_extra_args>'},
        [],
    ),
    "extra, google": (
        {"extra": {"generationConfig": {"temperature": 0}, "safetySettings": []}},
        "google",
        {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "temperature": 0}, "safetySettings": []},
        [],
    ),
}


@pytest.mark.parametrize(("options", "wire", "holds", "warned"), list(OPTIONS.values()), ids=list(OPTIONS))
def test_options_reach_the_wire_or_the_warnings(server, options, wire, holds, warned):
    """What the target knows is sent its way; what it does not know is left out and told by its name."""
    response = drawer(server, wire).generate("a cat", **options)
    body = server.requests[0].json
    assert {name: body.get(name) for name in holds} == holds
    assert [line.partition(":")[0] for line in response.warnings] == warned
    for name in ("seed", "negative_prompt", "response_format"):
        assert name not in body


def test_a_dsn_may_say_that_stable_diffusion_draws(server):
    """`sd_extra_args=on` for a bare stable-diffusion.cpp, `off` for a llama-swap with something else behind it."""
    for wire, options, prompt in [
        ("openai", "sd_extra_args=on", 'a cat <sd_cpp_extra_args>{"seed":7}</sd_cpp_extra_args>'),
        ("llama-swap", "sd_extra_args=off", "a cat"),
    ]:
        response = drawer(server, wire, options=options).generate("a cat", seed=7)
        assert server.requests.pop().json["prompt"] == prompt
        assert bool(response.warnings) is ("sd_cpp" not in prompt)


def test_a_request_is_a_prompt_too(server):
    """Options are laid over an `ImageRequest`, which stays as it was."""
    request = ImageRequest("a cat", n=2, size="64x64")
    response = drawer(server).generate(request, n=1)
    assert server.requests[0].json == {"model": "m", "prompt": "a cat", "size": "64x64"}
    assert len(response.images) == 1
    assert request == ImageRequest("a cat", n=2, size="64x64")


# What comes back


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer(server, wire):
    """Pictures, the target as in the spec, the attempts, the server's answer as it came."""
    response = drawer(server, wire).generate("a cat")
    assert type(response) is ImageResponse
    assert response.images == (Image(RED, "image/png"),)
    assert response.model == "box/m"
    assert kinds(response.attempts) == [("box", "answered", None)]
    assert response.attempts[0].target == "box/m"
    assert response.warnings == ()
    assert B64 in str(response.raw)
    assert set(response.raw) >= ({"candidates"} if wire == "google" else {"created", "data"})
    assert pickle.loads(pickle.dumps(response)) == response
    assert B64 not in repr(response)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("data", "mime"), [(RED, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (GIF, "image/gif")]
)
def test_the_type_is_told_by_the_bytes(server, wire, data, mime):
    """Whatever the server calls it."""
    text = b64encode(data).decode()
    if wire == "google":
        part = {"inlineData": {"mimeType": "image/bmp", "data": text}}
        payload = {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}
    else:
        payload = {"data": [{"b64_json": text}], "output_format": "bmp"}
    server.add(Status(200, payload))
    assert drawer(server, wire).generate("a cat").images == (Image(data, mime),)


@pytest.mark.parametrize("wire", OPENAI_LIKE)
def test_many_pictures_are_one_request(server, wire):
    """`n` is the server's to count; they come in its order."""
    server.add(Drawing((RED, JPEG, GIF)))
    response = drawer(server, wire).generate("a cat", n=3)
    assert [seen.json["n"] for seen in server.requests] == [3]
    assert [image.data for image in response.images] == [RED, JPEG, GIF]
    assert isinstance(response.raw, dict)


@pytest.mark.parametrize(("seed", "seeds"), [(None, [None] * 3), (7, [7, 8, 9]), (0, [0, 1, 2])])
def test_many_pictures_of_gemini_are_asked_for_one_by_one(server, seed, seeds):
    """It draws one at a time; the seeds are counted up, or all would be the same picture."""
    server.add(Drawing(RED), Drawing(JPEG), Drawing(GIF))
    response = drawer(server, "google").generate("a cat", n=3, seed=seed)
    assert [image.data for image in response.images] == [RED, JPEG, GIF]
    assert [seen.json["generationConfig"].get("seed") for seen in server.requests] == seeds
    assert all("n" not in seen.json for seen in server.requests)
    assert [len(answer["candidates"]) for answer in response.raw] == [1, 1, 1]
    assert kinds(response.attempts) == [("box", "answered", None)]


def test_a_warning_is_given_once(server):
    """However many requests there were."""
    response = drawer(server, "google").generate("a cat", n=3, negative_prompt="dogs", size="100x90")
    assert [line.partition(":")[0] for line in response.warnings] == ["negative_prompt", "size"]


def test_fewer_pictures_than_asked_for_are_told(server):
    """What came is worth having."""
    server.add(Drawing((RED, RED)))
    response = drawer(server).generate("a cat", n=3)
    assert len(response.images) == 2
    assert response.warnings == ("n: 2 of 3 pictures came",)


def test_words_instead_of_a_picture_are_kept(server):
    """Gemini may answer a request to draw with text."""
    part = {"text": "I would rather not."}
    server.add(Status(200, {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}))
    with pytest.raises(ProtocolError, match="rather not") as caught:
        drawer(server, "google").generate("a cat")
    assert caught.value.partial == "I would rather not."


# Edits


@pytest.mark.parametrize("wire", OPENAI_LIKE)
@pytest.mark.parametrize("count", [1, 3])
def test_pictures_to_edit_go_in_a_form(server, wire, count):
    """A file each, byte for byte, everything else as fields; one picture under the name that all servers know."""
    datas = [RED + b"\r\n--majordomo\r\n\x00\xff", JPEG, RED][:count]
    images = [Image(data) for data in datas]
    response = drawer(server, wire).generate("a café", images=images, n=2, size="64x64", extra={"quality": "low"})
    (seen,) = server.requests
    assert (seen.method, seen.path) == ("POST", WIRES[wire][2])
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert seen.headers["accept"] == "application/json"
    assert int(seen.headers["content-length"]) == len(seen.body)
    fields = {name: data.decode() for name, filename, _, data in seen.form if filename is None}
    assert fields == {"model": "m", "prompt": "a café", "n": "2", "size": "64x64", "quality": "low"}
    files = [(name, kind, data) for name, filename, kind, data in seen.form if filename is not None]
    name = "image" if count == 1 else "image[]"
    assert files == [(name, image.mime, image.data) for image in images]
    assert len(response.images) == 2


def test_a_seed_rides_along_with_an_edit(server):
    """Stable-diffusion.cpp takes its block from the prompt, wherever that stands."""
    drawer(server, "llama-swap").generate("a cat", images=Image(RED), seed=7)
    fields = {name: data for name, filename, _, data in server.requests[0].form if filename is None}
    assert fields["prompt"] == b'a cat <sd_cpp_extra_args>{"seed":7}</sd_cpp_extra_args>'


@pytest.mark.parametrize("size", [0, 200_000])
def test_pictures_to_edit_stand_before_the_words_for_gemini(server, size):
    """In base64, large ones too, and with each of several requests."""
    images = [Image(JPEG + b"\x00" * size), Image(RED)]
    response = drawer(server, "google").generate("a cat", images=images, n=2)
    assert len(response.images) == 2
    for seen in server.requests:
        assert seen.path == WIRES["google"][2]
        assert seen.headers["content-type"] == "application/json"
        *pictures, words = seen.json["contents"][0]["parts"]
        assert words == {"text": "a cat"}
        sent = [(part["inlineData"]["mimeType"], b64decode(part["inlineData"]["data"])) for part in pictures]
        assert sent == [(image.mime, image.data) for image in images]


def test_an_edit_of_llama_swap_asks_for_no_list(server, monkeypatch):
    """Its list tells what a model reads in a chat, which is nothing to one that draws."""
    monkeypatch.setattr(server, "models", [{"id": "m", "architecture": {"input_modalities": ["text"]}}])
    assert drawer(server, "llama-swap").generate("a cat", images=Image(RED)).images
    assert [seen.method for seen in server.requests] == ["POST"]


@pytest.mark.parametrize("wire", WIRES)
def test_the_type_that_is_sent_is_that_of_the_bytes(server, wire):
    """A picture with a wrong name is mended, without Pillow, and told; the caller's stays as it was."""
    image = Image(RED, "image/jpeg")
    response = drawer(server, wire).generate("a cat", images=image)
    assert b"image/jpeg" not in server.requests[0].body
    assert b"image/png" in server.requests[0].body
    assert [line.partition(":")[0] for line in response.warnings] == ["images"]
    assert image.mime == "image/jpeg"


def test_what_a_target_cannot_take_goes_to_the_next(server, monkeypatch):
    """Without Pillow a WebP is nothing for stable-diffusion.cpp; OpenAI gets it byte for byte."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    registry, chain = two(server, wires=("llama-swap", "openai"))
    response = chain.generate("a cat", images=Image(WEBP))
    assert kinds(response.attempts) == [("a", "skipped", "unsupported"), ("b", "answered", None)]
    assert "image/webp" in response.attempts[0].error
    assert [part[2:] for part in server.requests[0].form if part[1]] == [("image/webp", WEBP)]
    assert len(server.requests) == 1
    assert response.warnings == ()
    assert registry.health.snapshot() == {}


def test_what_does_not_fit_is_written_anew_for_each_target(server):
    """With Pillow: the type that the target takes, from the original, told in the warnings."""
    pillow = pytest.importorskip("PIL.Image")
    import io

    file = io.BytesIO()
    pillow.new("RGB", (8, 6), (255, 0, 0)).save(file, "BMP")
    image = Image(file.getvalue())
    for wire in WIRES:
        response = drawer(server, wire).generate("a cat", images=[Image(RED), image])
        (line,) = response.warnings
        assert line.startswith("images: image 1 sent as image/")
        assert "was image/bmp" in line
        seen = server.requests.pop()
        if wire == "google":
            parts = [part["inlineData"] for part in seen.json["contents"][0]["parts"][:2]]
            sent = [(part["mimeType"], b64decode(part["data"])) for part in parts]
        else:
            sent = [(kind, data) for _, filename, kind, data in seen.form if filename]
        assert sent[0] == ("image/png", RED)
        assert sent[1][0] in ("image/png", "image/jpeg", "image/webp")
        with pillow.open(io.BytesIO(sent[1][1])) as opened:
            assert opened.size == (8, 6)
            assert f"image/{opened.format.lower()}" == sent[1][0]
    assert image.data.startswith(b"BM")


def test_too_many_pictures_to_edit_are_refused_whole(server):
    """None is left out unasked: the target is passed over, and the next one gets them all."""
    images = [Image(RED)] * 17
    with pytest.raises(UnsupportedError, match="17 pictures.*16"):
        drawer(server).generate("a cat", images=images)
    assert server.requests == []
    response = two(server, wires=("openai", "google"))[1].generate("a cat", images=images)
    assert kinds(response.attempts) == [("a", "skipped", "unsupported"), ("b", "answered", None)]
    assert len(server.requests[0].json["contents"][0]["parts"]) == 18
    assert len(drawer(server).generate("a cat", images=images[:16]).images) == 1


def test_the_capabilities_of_a_chain_are_its_first_targets(server):
    """What is known of what may be edited, without asking anybody."""
    _, chain = two(server, wires=("openai", "llama-swap"))
    assert chain.capabilities == chain.targets[0].capabilities
    assert chain.capabilities.max_images_per_request == 16
    assert "image/webp" in chain.capabilities.allowed_image_mime
    assert "image/webp" not in chain.targets[1].capabilities.allowed_image_mime
    assert server.requests == []


# Pictures behind a URL


def answer(*urls):
    return Status(200, {"created": 1, "data": [{"url": url} for url in urls]})


@pytest.mark.parametrize("wire", OPENAI_LIKE)
@pytest.mark.parametrize("url", ["data:image/png;base64," + B64, "DATA:image/webp;base64," + B64 + "\n"])
def test_a_data_url_is_read_on_the_spot(server, wire, url):
    """Nothing is fetched."""
    server.add(answer(url))
    assert drawer(server, wire).generate("a cat").images == (Image(RED),)
    assert len(server.requests) == 1


@pytest.mark.parametrize("wire", OPENAI_LIKE)
@pytest.mark.parametrize("own", [True, False], ids=["the provider's own host", "another host"])
def test_a_picture_behind_a_url_is_fetched_without_a_credential(server, elsewhere, wire, own):
    """Whoever's host it is, in order, and with a name of our own."""
    home = server if own else elsewhere
    home._shown.update({"/a.png": RED, "/b.jpg": JPEG})
    server.add(answer(f"{home.url}/a.png?sig=x%20y", home.url + "/b.jpg"))
    response = drawer(server, wire).generate("a cat", n=2)
    assert response.images == (Image(RED), Image(JPEG))
    assert response.model == "box/m"
    fetched = (server.requests + elsewhere.requests)[1:]
    assert [(seen.method, seen.path) for seen in fetched] == [("GET", "/a.png?sig=x%20y"), ("GET", "/b.jpg")]
    for seen in fetched:
        assert seen.body == b""
        assert not {"authorization", "x-goog-api-key", "proxy-authorization", "cookie"} & set(seen.headers)
        assert TOKEN not in str(seen)
        assert "no-key" not in str(seen)
        assert seen.headers["user-agent"].startswith("majordomo/")


def test_a_server_may_show_what_it_drew(server):
    """The fake server's own way to do it."""
    server.add(Drawing((RED, GIF), as_url=True))
    assert drawer(server).generate("a cat", n=2).images == (Image(RED), Image(GIF))


URL_FAULTS = {
    "404": Status(404, "404 page not found"),
    "401": Status(401, {"error": "who are you?"}),
    "500": Status(500, "<html>oops</html>"),
    "a web page": Status(200, "<html>sign in</html>", {"Content-Type": "text/html"}),
    "nothing": Status(200, b""),
    "JSON": Status(200, {"b64_json": B64}),
    "too much": Raw(OK + b"Content-Length: 99999999999\r\n\r\n" + RED),
    "cut": cut(Status(200, RED), after=-10),
    "closed": cut(),
    "reset": reset(),
    "garbage": Raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "an encoding nobody asked for": Status(200, RED, {"Content-Encoding": "br"}),
}


@pytest.mark.parametrize("name", URL_FAULTS)
def test_a_url_that_gives_no_picture(server, elsewhere, name):
    """It is a ProtocolError of one line, which fails over, and quotes nothing that may open the URL."""
    server.add(answer(elsewhere.url + "/a.png?sig=OPENSESAME"))
    elsewhere.add(URL_FAULTS[name], path="/a.png")
    with pytest.raises(ProtocolError, match="the picture's URL gave no picture") as caught:
        drawer(server).generate("a cat")
    error = caught.value
    assert classify(error) is ErrorKind.TRANSIENT
    assert kinds(error.attempts) == [("box", "failed", "transient")]
    assert str(error).startswith("box/m: ")
    assert "\n" not in str(error)
    assert len(str(error)) < 400
    assert TOKEN not in printed(error)
    assert "OPENSESAME" not in printed(error)
    server.add(answer(elsewhere.url + "/a.png"))
    elsewhere.add(URL_FAULTS[name], path="/a.png")
    assert two(server)[1].generate("a cat").model == "b/m"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_url_that_leads_elsewhere_is_not_followed(server, elsewhere, status):
    """Not to another host and not to the provider's own."""
    server.add(answer(elsewhere.url + "/a.png"))
    elsewhere.add(redirect(server.url + "/secret.png", status), path="/a.png")
    server._shown["/secret.png"] = RED
    with pytest.raises(ProtocolError, match=f"HTTP {status}"):
        drawer(server).generate("a cat")
    assert [seen.method for seen in server.requests] == ["POST"]
    assert len(elsewhere.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://{host}/a.png",
        "file:///etc/passwd",
        "http://user:OPENSESAME@{host}/a.png",
        "http://OPENSESAME@{host}/a.png",
        "//{host}/a.png",
        "/a.png",
        "{host}/a.png",
        "http://{host}\\@evil/a.png",
        "http://{host}/a b.png",
        "http://{host}/a\r\nX-Evil: 1",
        "gopher://{host}/",
        "data:text/plain,hello",
    ],
)
def test_a_url_that_nobody_should_fetch_is_not_fetched(server, elsewhere, url):
    """Other schemes, credentials, half a URL: a ProtocolError, nothing asked, nothing quoted."""
    elsewhere._shown["/a.png"] = RED
    server.add(answer(url.format(host=elsewhere.host)))
    with pytest.raises(ProtocolError, match="cannot be read") as caught:
        drawer(server).generate("a cat")
    assert elsewhere.requests == []
    assert len(server.requests) == 1
    assert "OPENSESAME" not in printed(caught.value)


def test_a_url_at_which_nobody_listens(server):
    """It says which host, and is the next target's turn."""
    port = dead_port()
    server.add(answer(f"http://127.0.0.1:{port}/a.png?sig=OPENSESAME"))
    with pytest.raises(ProtocolError, match=f"127.0.0.1:{port} refused") as caught:
        drawer(server).generate("a cat")
    assert "OPENSESAME" not in printed(caught.value)


@pytest.mark.parametrize("fault", [hang(), hang(Status(200, RED), after=30), drip(Status(200, RED), 0.05)])
def test_the_deadline_holds_while_a_picture_is_fetched(server, elsewhere, fault):
    """A URL that says nothing, stops midway or drips is no longer waited for than the rest of the call."""
    server.add(answer(elsewhere.url + "/a.png"))
    elsewhere.add(fault, path="/a.png")
    began = time.monotonic()
    with pytest.raises(DeadlineError) as caught:
        drawer(server).generate("a cat", timeout=0.1)
    assert time.monotonic() - began < BOUND
    assert caught.value.limit == "timeout"
    assert kinds(caught.value.attempts) == [("box", "failed", "deadline")]


def test_a_hanging_url_leaves_the_next_target_time(server, elsewhere):
    """The attempt's share covers drawing and fetching."""
    server.add(answer(elsewhere.url + "/a.png"))
    elsewhere.add(hang(), path="/a.png")
    response = two(server)[1].generate("a cat", timeout=0.6)
    assert kinds(response.attempts) == [("a", "failed", "transient"), ("b", "answered", None)]


# Failover

SAID_NO = {
    # name: (step, kind, cools down, is tried again)
    "503": (Status(503), "transient", True, True),
    "500 of stable-diffusion.cpp": (
        Status(500, {"error": "generate_image returned no results"}),
        "transient",
        True,
        True,
    ),
    "502 without a word": (Status(502), "transient", True, True),
    "closed": (cut(), "transient", True, True),
    "cut": (cut(Drawing(), after=120), "transient", True, True),
    "no picture": (Status(200, {"created": 1, "data": [], "output_format": "png"}), "transient", True, True),
    "no JSON": (Status(200, "<html>sign in</html>"), "transient", True, True),
    "junk for a picture": (Status(200, {"data": [{"b64_json": "!"}]}), "transient", True, True),
    "an error in a 200": (Status(200, {"error": {"message": "busy", "code": 503}}), "transient", True, True),
    "429": (Status(429), "rate_limited", True, True),
    "quota": (Status(429, {"error": {"message": "m", "code": "insufficient_quota"}}), "quota", True, False),
    "billing": (Status(400, {"error": {"message": "m", "code": "billing_hard_limit_reached"}}), "quota", True, False),
    "401": (Status(401), "auth", True, False),
    "403": (Status(403, {"error": {"message": "Your organization must be verified"}}), "auth", True, False),
    "404": (Status(404, {"error": {"message": "no such model", "code": "model_not_found"}}), "not_found", True, False),
    "moderation": (Status(400, {"error": {"message": "no", "code": "moderation_blocked"}}), "filtered", False, False),
    "file not found": (
        Status(404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}),
        "unsupported",
        False,
        False,
    ),
    "a model that chats": (
        Status(400, {"error": "loaded model does not support img_gen"}),
        "unsupported",
        False,
        False,
    ),
    "413": (Status(413), "too_long", False, False),
    "400": (Status(400, {"error": "prompt required"}), "invalid", False, False),
    "a redirect": (redirect("http://127.0.0.1:1/"), "config", False, False),
}


@pytest.mark.parametrize(("step", "kind", "cools", "again"), list(SAID_NO.values()), ids=list(SAID_NO))
def test_each_failure_is_of_its_kind(server, step, kind, cools, again):
    """The next target draws; what is broken cools down, what may pass is tried again when alone."""
    server.add(step)
    registry, chain = two(server)
    response = chain.generate("a cat")
    assert kinds(response.attempts) == [("a", "failed", kind), ("b", "answered", None)]
    assert response.model == "b/m"
    assert [key.partition("/")[0] for key in registry.health.snapshot()] == (["a"] if cools else [])
    server.requests.clear()
    server.add(*[step] * 3)
    with pytest.raises(MajordomoError) as caught:
        drawer(server, retries=2).generate("a cat")
    assert classify(caught.value) is ErrorKind(kind)
    assert len(server.requests) == (3 if again else 1)
    assert kinds(caught.value.attempts) == [("box", "failed", kind)] * len(server.requests)
    assert type(caught.value) in (APIError, ProtocolError, TransportError, TruncatedError)
    assert "\n" not in str(caught.value)


GOOGLE_SAID_NO = {
    "429": (Status(429, {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}), "rate_limited"),
    "key": (
        Status(400, {"error": {"code": 400, "message": "m", "details": [{"reason": "API_KEY_INVALID"}]}}),
        "auth",
    ),
    "blocked": (Status(200, {"promptFeedback": {"blockReason": "SAFETY"}}), "filtered"),
    "withheld": (Status(200, {"candidates": [{"finishReason": "IMAGE_SAFETY"}]}), "filtered"),
    "no image": (Status(200, {"candidates": [{"finishReason": "NO_IMAGE"}]}), "transient"),
    "a model that chats": (
        Status(400, {"error": {"code": 400, "message": "Model does not support the requested response modalities"}}),
        "unsupported",
    ),
    "overloaded": (Status(503, {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}), "transient"),
}


@pytest.mark.parametrize(("step", "kind"), list(GOOGLE_SAID_NO.values()), ids=list(GOOGLE_SAID_NO))
def test_each_failure_of_google_is_of_its_kind(server, step, kind):
    """Another wire may draw what this one does not."""
    server.add(step)
    registry, chain = two(server, wires=("google", "llama-swap"))
    response = chain.generate("a cat")
    assert kinds(response.attempts) == [("a", "failed", kind), ("b", "answered", None)]
    assert bool(registry.health.snapshot()) is (kind in ("transient", "rate_limited", "auth"))


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failure_among_several_requests_is_the_attempts(server, failing):
    """If Gemini's first picture fails the next target draws all; what came before a later one is kept, and told."""
    server.add(*[Drawing()] * (failing - 1), Status(503, {"error": {"message": "busy"}}))
    response = two(server, wires=("google", "openai"))[1].generate("a cat", n=3)
    if failing == 1:
        assert kinds(response.attempts) == [("a", "failed", "transient"), ("b", "answered", None)]
        assert (len(response.images), response.warnings) == (3, ())
    else:
        assert kinds(response.attempts) == [("a", "answered", None)]
        assert len(response.images) == failing - 1
        assert response.warnings == (f"n: {failing - 1} of 3 pictures came, then: HTTP 503: busy",)
    assert len(server.requests) == failing + (failing == 1)


def test_a_dead_first_target(server):
    """The main use: the second one draws, and the next call knows."""
    registry = Registry(
        {"LLM_DEAD": f"llama-swap://127.0.0.1:{dead_port()}", "LLM_BOX": variable(server, "llama-swap")}, retries=0
    )
    noted = registry.parse_image("dead/flux, box/flux").generate("a cat").attempts
    assert kinds(noted) == [("dead", "failed", "transient"), ("box", "answered", None)]
    assert "refused" in noted[0].error
    again = registry.parse_image("dead/flux, box/flux").generate("a cat").attempts
    assert kinds(again) == [("dead", "skipped", None), ("box", "answered", None)]
    assert "cooling down" in again[0].error


def test_a_cooldown_is_a_matter_of_last_resort(server):
    """A target that cools down is asked when all others have failed, and its success clears it."""
    server.add(Status(503), Drawing(JPEG), Status(400))
    registry, chain = two(server)
    assert chain.generate("a cat").images == (Image(JPEG),)
    response = chain.generate("a cat")
    assert kinds(response.attempts) == [
        ("a", "skipped", None),
        ("b", "failed", "invalid"),
        ("a", "answered", None),
    ]
    assert registry.health.snapshot() == {}


def test_no_one_is_asked_before_its_retry_after(server):
    """A lone target that is busy is asked again when it said, and not before."""
    clock = Clock()
    server.add(Status(429, headers={"Retry-After": "7"}), Status(503, headers={"Retry-After": "3"}))
    chain = drawer(server, retries=2, clock=clock, sleep=clock.sleep, random=lambda: 0.0)
    response = chain.generate("a cat")
    assert kinds(response.attempts) == [
        ("box", "failed", "rate_limited"),
        ("box", "failed", "transient"),
        ("box", "answered", None),
    ]
    assert clock.now == pytest.approx(1010.0)


def test_a_retry_after_that_does_not_fit_is_not_waited_for(server):
    """The next target is asked at once; alone, the error comes at once and holds the seconds."""
    clock = Clock()
    busy = Status(429, headers={"Retry-After": "60"})
    settings = {"retries": 2, "clock": clock, "sleep": clock.sleep}
    registry, chain = two(server, **settings)
    server.add(busy)
    assert chain.generate("a cat", timeout=30).model == "b/m"
    server.add(busy)
    assert [round(row["seconds"]) for row in registry.health.snapshot().values()] == [60]
    with pytest.raises(APIError) as caught:
        drawer(server, **settings).generate("a cat", timeout=30)
    assert caught.value.retry_after == 60
    assert clock.slept == []


def test_when_all_fail_each_is_told(server):
    """A longer chain raises a ChainError with a line for each attempt."""
    server.add(Status(503), Status(400, {"error": "prompt required"}))
    with pytest.raises(ChainError) as caught:
        two(server)[1].generate("a cat")
    assert kinds(caught.value.attempts) == [("a", "failed", "transient"), ("b", "failed", "invalid")]
    assert str(caught.value).count("\n") == 2
    assert pickle.loads(pickle.dumps(caught.value)).attempts == caught.value.attempts


def test_attempts_are_told_as_they_happen(server):
    """`on_attempt` counts drawings as it counts answers."""
    noted = []
    server.add(Status(503))
    response = two(server, on_attempt=noted.append)[1].generate("a cat")
    assert tuple(noted) == response.attempts


def test_a_prompt_that_one_server_would_run_is_drawn_by_another(server):
    """It is not sent to stable-diffusion.cpp; that target is passed over."""
    prompt = "a cat <sd_cpp_extra_args>{}</sd_cpp_extra_args>"
    registry, chain = two(server, wires=("llama-swap", "openai"))
    response = chain.generate(prompt)
    assert kinds(response.attempts) == [("a", "skipped", "unsupported"), ("b", "answered", None)]
    assert [seen.json["prompt"] for seen in server.requests] == [prompt]
    assert registry.health.snapshot() == {}


# Deadlines


def test_the_timeout_is_shared(server):
    """A hung first target leaves the next one its part."""
    server.add(hang())
    began = time.monotonic()
    response = two(server)[1].generate("a cat", timeout=0.6)
    assert time.monotonic() - began < BOUND
    assert kinds(response.attempts) == [("a", "failed", "transient"), ("b", "answered", None)]


@pytest.mark.parametrize("timeout", [None, 60])
def test_attempt_timeout_sets_the_part_by_hand(server, timeout):
    """Also for the last target, and where the call has no timeout."""
    server.add(hang(), hang())
    with pytest.raises(ChainError) as caught:
        two(server, attempt_timeout=0.05)[1].generate("a cat", timeout=timeout)
    assert kinds(caught.value.attempts) == [("a", "failed", "transient"), ("b", "failed", "transient")]
    assert "attempt_timeout" in str(caught.value)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", [hang(), drip(Drawing(), 0.03)], ids=["hang", "drip"])
def test_a_timeout_that_ran_out_is_a_deadline_error(server, wire, fault):
    """Whatever holds the answer up; the target is not to blame."""
    server.add(fault)
    registry = Registry({"LLM_BOX": variable(server, wire)})
    began = time.monotonic()
    with pytest.raises(DeadlineError, match="box/m") as caught:
        registry.parse_image("box/m").generate("a cat", timeout=0.06)
    assert time.monotonic() - began < BOUND
    assert caught.value.limit == "timeout"
    assert isinstance(caught.value, TimeoutError)
    assert kinds(caught.value.attempts) == [("box", "failed", "deadline")]
    assert registry.health.snapshot() == {}


def test_one_deadline_covers_all_of_geminis_requests(server):
    """The second of three pictures hangs: the call ends all the same."""
    server.add(Drawing(), hang())
    with pytest.raises(DeadlineError):
        drawer(server, "google").generate("a cat", n=3, timeout=0.4)
    assert len(server.requests) == 2


def test_a_registrys_timeout_holds_for_calls_that_give_none(server):
    """As for chat."""
    server.add(hang())
    with pytest.raises(DeadlineError):
        drawer(server, timeout=0.06).generate("a cat")


@pytest.mark.parametrize("timeout", [0, -1, math.nan, "5", True])
@pytest.mark.parametrize("bare", [False, True], ids=["chain", "target"])
def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(server, timeout, bare):
    """0, negatives, NaN and what is no number."""
    chain = drawer(server)
    with pytest.raises(ConfigError, match="timeout"):
        (chain.targets[0] if bare else chain).generate("a cat", timeout=timeout)
    assert server.requests == []


def test_infinity_waits_for_ever(server):
    """And is a timeout like others."""
    assert drawer(server).generate("a cat", timeout=math.inf).images


@pytest.mark.parametrize(("wire", "seconds"), [("openai", 600.0), ("google", 600.0), ("llama-swap", 3600.0)])
def test_without_a_timeout_there_is_a_finite_default(server, wire, seconds):
    """That of the provider, which its DSN may change."""
    assert drawer(server, wire).targets[0].default_timeout == seconds
    assert drawer(server, wire, options="timeout=5").targets[0].default_timeout == 5.0


# What is refused at once


@pytest.mark.parametrize(
    "options", [{"steps": 4}, {"n": 0}, {"size": "big"}, {"seed": "x"}, {"images": [RED]}, {"extra": None}]
)
def test_wrong_options_are_told_before_anything_is_sent(server, options):
    """An unknown or odd option is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        drawer(server).generate("a cat", **options)
    assert server.requests == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [("openai/x", "OPENAI_API_KEY"), ("google/x", "GEMINI_API_KEY"), ("llama-swap/x", "LLM_LLAMA_SWAP=llama-swap://")],
)
def test_without_a_key_or_a_host_it_says_what_to_set(spec, says):
    """Built-in names parse, and fail on use."""
    chain = Registry({}).parse_image(spec)
    with pytest.raises(ConfigError, match=says):
        chain.generate("a cat")


@pytest.mark.parametrize("extra", [{"x": object()}, {"x": float("nan")}, {"x": b"bytes"}])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("images", [(), Image(RED)], ids=["drawing", "edit"])
def test_extra_that_cannot_be_written_is_the_callers_mistake(server, wire, extra, images):
    """A ConfigError; nothing was sent."""
    with pytest.raises(ConfigError, match="JSON"):
        drawer(server, wire).generate("a cat", extra=extra, images=images)
    assert server.requests == []


# Who cannot draw


class Bare(Provider):
    """A user's provider from before anybody drew."""

    name = "own"

    def model(self, id):
        raise AssertionError("nobody asked for an answer")


class Stranger:
    """Not even a `Provider`."""

    def model(self, id):
        raise AssertionError("nobody asked for an answer")


class Refusing(Bare):
    def image_model(self, id):
        raise UnsupportedError("no pictures here")


class Empty(Bare):
    """Has models that draw, which have not been written."""

    def image_model(self, id):
        model = ImageModel()
        model.name = f"own/{id}"
        return model


@pytest.mark.parametrize("make", [Bare, Stranger, Refusing, Empty])
def test_who_cannot_draw_is_passed_over(server, make):
    """It is skipped as unsupported, and does not cool down; alone it raises UnsupportedError."""
    registry = Registry({"LLM_BOX": variable(server, "openai")})
    registry.register_provider("own", make())
    chain = registry.parse_image("own/m, box/m")
    for _ in range(2):
        response = chain.generate("a cat")
        assert kinds(response.attempts) == [("own", "skipped", "unsupported"), ("box", "answered", None)]
        assert response.model == "box/m"
    assert registry.health.snapshot() == {}
    with pytest.raises(UnsupportedError) as caught:
        registry.parse_image("own/m").generate("a cat")
    assert caught.value.target == "own/m"
    assert kinds(caught.value.attempts) == [("own", "skipped", "unsupported")]


def test_when_nobody_can_draw_each_is_told(server):
    """A ChainError whose kind is UNSUPPORTED."""
    registry = Registry({})
    registry.register_provider("one", Bare())
    registry.register_provider("two", Refusing())
    with pytest.raises(ChainError) as caught:
        registry.parse_image("one/m, two/m").generate("a cat")
    assert classify(caught.value) is ErrorKind.UNSUPPORTED
    assert [attempt.outcome for attempt in caught.value.attempts] == ["skipped", "skipped"]


# Models of one's own


class Painter(ImageModel):
    """Overrides `complete`."""

    name = "studio/m"
    capabilities = Capabilities(max_images_per_request=1, allowed_image_mime=("image/png",))

    def __init__(self):
        self.requests = []
        self.spans = []

    def complete(self, request, deadline):
        self.requests.append(request)
        self.spans.append(deadline.require())
        return ImageResponse((Image(RED),) * request.n, warnings=("seed: as you like",))


class Sketcher(Painter):
    """Overrides `generate`, as a program from before might."""

    complete = ImageModel.complete

    def generate(self, prompt, *, timeout=None, **options):
        assert not options
        self.requests.append(prompt)
        self.spans.append(timeout)
        return ImageResponse((Image(RED),) * prompt.n, warnings=("seed: as you like",))


class Studio(Provider):
    name = "studio"

    def __init__(self, painter):
        self.painter = painter

    def image_model(self, id):
        return self.painter


@pytest.mark.parametrize("make", [Painter, Sketcher])
def test_a_model_of_ones_own_draws_in_a_chain(server, make):
    """It gets a checked request and its share of the time, and what it gives is named as in the spec."""
    painter = make()
    server.add(Status(503))
    registry = Registry({"LLM_BOX": variable(server, "openai")}, retries=0)
    registry.register_provider("atelier", Studio(painter))
    response = registry.parse_image("box/m, atelier/m").generate("a cat", n=2, size="64x64", timeout=50)
    assert response.images == (Image(RED),) * 2
    assert response.model == "atelier/m"
    assert response.warnings == ("seed: as you like",)
    assert kinds(response.attempts) == [("box", "failed", "transient"), ("atelier", "answered", None)]
    assert painter.requests == [ImageRequest("a cat", 2, (64, 64))]
    assert 0 < painter.spans[0] <= 50


@pytest.mark.parametrize("make", [Painter, Sketcher])
def test_a_model_of_ones_own_has_limits_too(server, make):
    """Its `capabilities` are kept: what is too much for it goes to the next."""
    registry = Registry({"LLM_BOX": variable(server, "openai")})
    registry.register_provider("atelier", Studio(make()))
    chain = registry.parse_image("atelier/m, box/m")
    assert chain.capabilities == Painter.capabilities
    assert chain.generate("a cat", images=Image(RED)).model == "atelier/m"
    assert chain.generate("a cat", images=[Image(RED)] * 2).model == "box/m"


@pytest.mark.parametrize("error", [APIError(503), TransportError("gone"), UnsupportedError("not that")])
def test_what_a_model_of_ones_own_raises_fails_over(server, error):
    """Errors of the tree are the chain's business."""

    class Failing(ImageModel):
        def complete(self, request, deadline):
            raise error

    registry = Registry({"LLM_BOX": variable(server, "openai")}, retries=0)
    registry.register_provider("atelier", Studio(Failing()))
    assert registry.parse_image("atelier/m, box/m").generate("a cat").model == "box/m"
    assert bool(registry.health.snapshot()) is not isinstance(error, UnsupportedError)


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_no_majordomo_error_passes_through(server, error):
    """A bug is not hidden by another target's success."""

    class Buggy(ImageModel):
        def complete(self, request, deadline):
            raise error

    registry = Registry({"LLM_BOX": variable(server, "openai")})
    registry.register_provider("atelier", Studio(Buggy()))
    with pytest.raises(type(error)):
        registry.parse_image("atelier/m, box/m").generate("a cat")
    assert server.requests == []
    assert registry.health.snapshot() == {}


def test_a_chain_draws_within_a_chain(server):
    """What `parse_image` gives is a model that draws, and keeps the outer timeout."""
    server.add(hang())
    inner = drawer(server)
    registry = Registry({}, retries=0)
    registry.register_provider("nested", Studio(inner))
    with pytest.raises(DeadlineError):
        registry.parse_image("nested/x").generate("a cat", timeout=0.06)
    response = registry.parse_image("nested/x").generate("a cat")
    assert response.model == "nested/x"
    assert outcomes(response.attempts) == [("x", "answered", None)]


# Addressing


def test_aliases_expand(server):
    """In code and in the environment, as for chat; a target that stands twice is asked once."""
    server.add(Status(400), Status(400))
    registry = Registry({"LLM_BOX": variable(server, "openai"), "LLM_ART": "box/one, box/two"})
    registry.register_alias("best", "art, Box/two, BOX/three")
    chain = registry.parse_image("best")
    assert chain.names == ("box/one", "box/two", "box/three")
    assert chain.name == "box/one, box/two, box/three"
    assert chain.generate("a cat").model == "box/three"
    assert [seen.json["model"] for seen in server.requests] == ["one", "two", "three"]


@pytest.mark.parametrize("spec", ["", "box/", "nobody/m", "box/m,,box/n", "nothing", "/m"])
def test_a_spec_that_cannot_be_read_is_a_spec_error(server, spec):
    """As for chat."""
    with pytest.raises(SpecError):
        Registry({"LLM_BOX": variable(server, "openai")}).parse_image(spec)


def test_nothing_is_sent_until_somebody_draws():
    """Reading a spec, looking at a chain: silence."""
    with FakeServer() as fake:
        for wire in WIRES:
            chain = drawer(fake, wire)
            assert chain.capabilities is not None
            assert chain.base_url.startswith(fake.url)
    assert fake.connections == 0


def test_a_changed_variable_counts_at_the_next_parse(server, elsewhere):
    """A chain keeps its targets, the next one has the new ones."""
    environ = {"LLM_BOX": variable(elsewhere, "openai")}
    registry = Registry(environ)
    before = registry.parse_image("box/m")
    environ["LLM_BOX"] = variable(server, "openai")
    registry.parse_image("box/m").generate("a cat")
    assert (len(elsewhere.requests), len(server.requests)) == (0, 1)
    before.generate("a cat")
    assert (len(elsewhere.requests), len(server.requests)) == (1, 1)


def test_the_face(server, monkeypatch):
    """`parse_image`, `ImageRequest` and `ImageResponse` are the package's own."""
    monkeypatch.setenv("LLM_EASEL", variable(server, "openai"))
    response = majordomo.parse_image("easel/m").generate(majordomo.ImageRequest("a cat"))
    assert type(response) is majordomo.ImageResponse
    assert {"parse_image", "ImageRequest", "ImageResponse", "ImageModel"} <= set(majordomo.__all__)
    assert response.images[0].data == RED


# Secrets


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wire", WIRES)
def test_a_chain_pickles_without_its_token(server, monkeypatch, wire, protocol):
    """The worker reads its own environment."""
    monkeypatch.setenv("LLM_EASEL", variable(server, wire))
    registry = Registry(retries=0)
    registry.register_alias("art", "easel/m, easel/n")
    data = pickle.dumps(registry.parse_image("art"), protocol)
    assert TOKEN.encode() not in data
    assert b"SECRET" not in data
    copied = pickle.loads(data)
    assert copied.names == ("easel/m", "easel/n")
    assert copied.generate("a cat").model == "easel/m"


def test_a_chain_is_copied_to_itself(server):
    """It never changes; its targets hold a token and do not pickle."""
    chain = drawer(server)
    assert copy.deepcopy(chain) is chain
    assert copy.deepcopy({"model": [chain]})["model"][0] is chain
    for wire in WIRES:
        with pytest.raises(TypeError, match="token"):
            pickle.dumps(drawer(server, wire).targets[0])


@pytest.mark.parametrize("wire", WIRES)
def test_no_repr_shows_a_token(server, wire):
    """Of chains, targets, providers and answers."""
    chain = drawer(server, wire)
    shown = repr(chain) + repr(chain.targets) + repr(chain.targets[0]._provider) + repr(chain.generate("a cat"))
    assert "SECRET" not in shown


ECHOES = {
    "401": lambda seen: Status(401, {"error": {"message": f"bad key {TOKEN}, really", "code": TOKEN}}),
    "400 with half of it": lambda seen: Status(400, {"error": f"you sent {TOKEN[:12]}..."}),
    "500 in text": lambda seen: Status(500, f"headers: {seen.headers}"),
    "in a 200": lambda seen: Status(200, {"error": {"message": f"key {TOKEN}", "code": 503}}),
    "no JSON": lambda seen: Status(200, f"<html>{TOKEN}</html>"),
    "no picture": lambda seen: Status(200, {"data": [{"b64_json": TOKEN}]}),
    "words": lambda seen: Status(
        200, {"candidates": [{"content": {"parts": [{"text": f"It is {TOKEN}."}]}, "finishReason": "STOP"}]}
    ),
    "a URL": lambda seen: answer(f"http://127.0.0.1:1/{TOKEN}"),
    "a bad URL": lambda seen: answer(f"ftp://{TOKEN}@h/"),
    "a redirect": lambda seen: redirect(f"http://{TOKEN}@h/{TOKEN}"),
    "a request id": lambda seen: Status(503, "busy", {"x-request-id": TOKEN}),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ECHOES)
def test_a_token_that_the_server_echoes_is_in_no_error(server, wire, name, caplog):
    """Not in its text, its parts, its causes, its pickle, the attempts or the log."""
    caplog.set_level("DEBUG")
    server.add(ECHOES[name], ECHOES[name])
    for images in ((), Image(RED)):
        with pytest.raises(MajordomoError) as caught:
            drawer(server, wire).generate("a cat", images=images)
        assert TOKEN not in printed(caught.value)
        assert TOKEN[:12] not in printed(caught.value)
        assert "SECRET" not in caplog.text


# Size


def test_an_answer_with_pictures_may_be_large(server):
    """More than an answer in words, and still bounded."""
    server.add(Raw(OK + b"Content-Length: 68000000\r\n\r\n{"), Raw(OK + b"Content-Length: 2000000000\r\n\r\n{"))
    with pytest.raises(TruncatedError):
        drawer(server).generate("a cat")
    with pytest.raises(ProtocolError, match="larger than 256 MiB"):
        drawer(server).generate("a cat")


def test_chat_and_drawing_share_a_server(server):
    """One provider does both."""
    registry = Registry({"LLM_BOX": variable(server, "llama-swap")})
    server.add(Reply("A cat."), Drawing(JPEG))
    assert registry.parse("box/m").generate("Hi").text == "A cat."
    assert registry.parse_image("box/flux").generate("a cat").images == (Image(JPEG),)
    assert server.running == ["m", "flux"]


# What a URL may do to the request for it


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_url_adds_no_header_for_a_proxy(server, monkeypatch, scheme):
    """Line breaks that are written as percent signs stay out of what a proxy hears."""
    with FakeServer() as proxy:
        monkeypatch.setenv(scheme + "_proxy", proxy.url.replace("://", "://joe:pw@"))
        server.add(answer(scheme + "://h.example%0d%0aX-Evil%3a1/x"))
        with pytest.raises(ProtocolError):
            drawer(server).generate("a cat", timeout=5)
        assert proxy.connections == 0


def test_a_url_without_a_path(server):
    """Its request asks for the root."""
    with FakeServer() as host:
        host.add(Status(200, RED), path="/")
        server.add(answer(host.url))
        assert drawer(server).generate("a cat").images == (Image(RED),)
        assert host.requests[0].path == "/"


def test_a_fragment_is_not_sent(server, monkeypatch):
    """Not to a proxy either."""
    with FakeServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        proxy.add(Status(200, RED), path="/x")
        server.add(answer("http://h.example/x#secret"))
        drawer(server).generate("a cat")
        assert proxy.requests[0].path == "http://h.example/x"


def test_a_picture_is_asked_for_as_a_picture(server):
    """A server that negotiates, or signs its URLs, hears nothing of JSON."""
    with FakeServer() as host:
        host.add(Status(200, RED), path="/a.png")
        server.add(answer(host.url + "/a.png"))
        drawer(server).generate("a cat")
        headers = host.requests[0].headers
        assert "content-type" not in headers
        assert headers["accept"] == "image/*, */*"


def test_one_url_of_three_is_gone(server):
    """What came is worth its price, as with pictures that cannot be read; the warnings say so."""
    with FakeServer() as host:
        host.add(Status(200, RED), Status(200, RED), path="/a.png")
        server.add(answer(*(host.url + path for path in ("/a.png", "/gone", "/a.png"))))
        response = drawer(server).generate("a cat", n=3)
        assert (len(response.images), response.warnings) == (2, ("n: 2 of 3 pictures came",))


def test_many_of_gemini_cost_no_time_before_the_first(server):
    """The deadline holds, however many were asked for."""
    server.add(*[Status(503)] * 50)
    with pytest.raises(MajordomoError):
        drawer(server, "google", retries=0).generate("a cat", n=10**9, timeout=5)


@pytest.mark.parametrize("wire", ["openai", "llama-swap"])
def test_an_edit_keeps_to_the_options_of_the_dsn(server, wire):
    """As chat does."""
    limits = drawer(server, wire, options="max_images=1&max_image_bytes=10").capabilities
    assert (limits.max_images_per_request, limits.max_image_bytes) == (1, 10)


def test_the_reason_of_a_provider_is_kept(server):
    """Why its model does not draw is what the error says, and the name stands there once."""

    class Own(Provider):
        name = "own"

        def image_model(self, id):
            raise UnsupportedError("only with a subscription")

    registry = Registry({})
    registry.register_provider("own", Own())
    with pytest.raises(UnsupportedError, match="^own/m: only with a subscription$"):
        registry.parse_image("own/m").generate("a cat")


# What was drawn is paid for


def test_a_picture_that_is_lost_is_not_drawn_again(server):
    """A URL that gives nothing is asked twice; the drawing is not repeated for it."""
    server.add(answer(f"http://127.0.0.1:{dead_port()}/gone.png"))
    chain = drawer(server, retries=2)
    with pytest.raises(ProtocolError):
        chain.generate("a cat")
    assert [seen.method for seen in server.requests] == ["POST"]


def test_a_url_that_fails_once_is_asked_again(server):
    """Fetching is cheaper than drawing."""
    with FakeServer() as host:
        host.add(Status(503), Status(200, RED), path="/a.png")
        server.add(answer(host.url + "/a.png"))
        assert drawer(server).generate("a cat").images == (Image(RED),)
        assert [seen.path for seen in host.requests] == ["/a.png"] * 2


@pytest.mark.parametrize("wire", ["openai", "google"])
def test_arguments_of_stable_diffusion_go_to_no_other_server(server, wire):
    """They are left out there, and the warnings say so."""
    extra = {"sd_cpp_extra_args": {"sample_params": {"sample_steps": 8}}, "background": "opaque"}
    response = drawer(server, wire).generate("a cat", extra=extra)
    body = server.requests[-1].json
    assert ("sd_cpp_extra_args" in body, body["background"]) == (False, "opaque")
    assert response.warnings == ("extra: sd_cpp_extra_args left out, for the target is another server",)


def test_no_seed_is_random_for_gemini(server):
    """Where -1 means a random one, a server that takes no such number gets none."""
    drawer(server, "google").generate("a cat", seed=-1)
    assert "seed" not in server.requests[-1].json["generationConfig"]


def test_an_answer_of_nothing_but_values_is_not_read(server):
    """It would take many times its bytes; pictures are few values, however large."""
    server.add(Status(200, b'{"data":[' + b"[]," * 1_000_000 + b"[]]}"))
    with pytest.raises(ProtocolError, match="more than 1,000,000 values"):
        drawer(server).generate("a cat")


def test_names_in_extra_are_text():
    """They become fields of a form, or members of an object."""
    with pytest.raises(ConfigError, match="extra"):
        ImageRequest("a cat", extra={1: 2})


def test_strangers_are_not_kept(server):
    """A host that a server named has no connection of ours left open."""
    with FakeServer() as host:
        host.add(Status(200, RED), path="/a.png")
        server.add(answer(host.url + "/a.png"))
        drawer(server).generate("a cat")
        assert host.requests[0].headers["connection"] == "close"
