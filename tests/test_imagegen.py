"""What is asked of a model that draws, and what it gives: the values alone."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from majordomo.errors import ConfigError
from majordomo.imagegen import ImageRequest, ImageResponse
from majordomo.llm import Attempt, Image
from majordomo.testing import RED

PICTURE = Image(RED)

SIZES = {
    "none": (None, None),
    "tuple": ((1024, 768), (1024, 768)),
    "list": ([64, 64], (64, 64)),
    "text": ("1024x768", (1024, 768)),
    "capital": ("1024X768", (1024, 768)),
    "spaces": (" 1024 x 768 ", (1024, 768)),
    "zeros in front": ("0512x512", (512, 512)),
}


@pytest.mark.parametrize(("given", "stored"), list(SIZES.values()), ids=list(SIZES))
def test_a_size_in_either_form_is_two_ints(given, stored):
    """Both ways to write a size are the same request."""
    request = ImageRequest("a cat", size=given)
    assert request.size == stored
    assert request == ImageRequest("a cat", size=stored)


def test_a_request_says_little_by_itself():
    """Only the prompt must be said."""
    assert vars(ImageRequest("a cat")) == {
        "prompt": "a cat",
        "n": 1,
        "size": None,
        "seed": None,
        "negative_prompt": None,
        "extra": {},
        "images": (),
    }


@pytest.mark.parametrize(
    ("given", "stored"),
    [(PICTURE, 1), ([PICTURE], 1), ((PICTURE, PICTURE), 2), (iter([PICTURE]), 1), (None, 0), ((), 0)],
)
def test_pictures_to_edit_are_a_tuple(given, stored):
    """One picture need not be in a list."""
    assert ImageRequest("a cat", images=given).images == (PICTURE,) * stored


WRONG = {
    "prompt of bytes": ({"prompt": b"a"}, "bytes"),
    "prompt of nothing": ({"prompt": None}, "NoneType"),
    "a picture as prompt": ({"prompt": PICTURE}, "images"),
    "empty prompt": ({"prompt": ""}, "blank"),
    "blank prompt": ({"prompt": " \n"}, "blank"),
    "n zero": ({"n": 0}, "at least 1, not 0"),
    "n below": ({"n": -1}, "not -1"),
    "n a bool": ({"n": True}, "n is how many"),
    "n a float": ({"n": 1.0}, "n is how many"),
    "n None": ({"n": None}, "n is how many"),
    "size a word": ({"size": "auto"}, "None leaves it open"),
    "size a number": ({"size": 1024}, "not 1024"),
    "size of one": ({"size": (1024,)}, "width"),
    "size of three": ({"size": "1x2x3"}, "width"),
    "size without end": ({"size": "1024x"}, "width"),
    "size zero": ({"size": (0, 64)}, "width"),
    "size negative": ({"size": "-64x64"}, "width"),
    "size of floats": ({"size": (64.0, 64.0)}, "width"),
    "size of bools": ({"size": (True, True)}, "width"),
    "size of texts": ({"size": ("64", "64")}, "width"),
    "size beyond reason": ({"size": "1" * 5000 + "x1"}, "width"),
    "size far too large": ({"size": (10**400, 1)}, "width"),
    "size of odd digits": ({"size": "²x²"}, "width"),
    "size a dict": ({"size": {"width": 1}}, "not dict"),
    "seed text": ({"seed": "7"}, "seed is an int, not str"),
    "seed a bool": ({"seed": True}, "seed is an int, not bool"),
    "negative prompt a list": ({"negative_prompt": ["text"]}, "negative_prompt is a str, not list"),
    "extra a list": ({"extra": []}, "extra is a dict, not list"),
    "extra None": ({"extra": None}, "extra is a dict, not NoneType"),
    "images bytes": ({"images": RED}, "bytes"),
    "images of bytes": ({"images": [RED]}, "bytes"),
    "images a path": ({"images": "cat.png"}, "images"),
    "images a number": ({"images": 5}, "int"),
}


@pytest.mark.parametrize(("options", "says"), list(WRONG.values()), ids=list(WRONG))
def test_what_no_server_could_take_is_told_at_once(options, says):
    """A wrong setting is a ConfigError of one short line."""
    with pytest.raises(ConfigError, match=says) as caught:
        ImageRequest(**{"prompt": "a cat", **options})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_options_are_laid_over_a_request():
    """A request is a prompt too, and stays as it was."""
    request = ImageRequest("a cat", n=2, seed=7)
    assert ImageRequest.of(request) is request
    assert ImageRequest.of(request, {"seed": 8}) == ImageRequest("a cat", n=2, seed=8)
    assert ImageRequest.of("a cat", {"size": "64x64"}) == ImageRequest("a cat", size=(64, 64))
    assert request == ImageRequest("a cat", n=2, seed=7)


@pytest.mark.parametrize("options", [{"steps": 5}, {"prompt": "a dog"}, {"timeout": 5}])
def test_an_unknown_option_names_the_known_ones(options):
    """A mistyped option is no silence."""
    with pytest.raises(
        ConfigError, match="the options are timeout, n, size, seed, negative_prompt, extra, images"
    ) as caught:
        ImageRequest.of("a cat", options)
    assert next(iter(options)) in str(caught.value)


@pytest.mark.parametrize("prompt", [None, 5, ["a cat"], PICTURE])
def test_a_prompt_is_text_or_a_request(prompt):
    """What a chat takes is no prompt to draw from."""
    with pytest.raises(ConfigError, match="str or an ImageRequest"):
        ImageRequest.of(prompt, {"n": 2})


def test_a_response_keeps_tuples_and_hides_the_raw_answer():
    """Lists become tuples; a repr does not hold megabytes."""
    response = ImageResponse(
        [PICTURE], "box/flux", [Attempt("box/flux", "answered")], ["n: left out"], {"data": "x" * 99}
    )
    assert (response.images, response.warnings) == ((PICTURE,), ("n: left out",))
    assert isinstance(response.attempts, tuple)
    assert "xxx" not in repr(response)


@pytest.mark.parametrize(
    "value", [ImageRequest("a cat", 2, "64x64", images=PICTURE), ImageResponse((PICTURE,), "box/m")]
)
def test_values_are_frozen_and_travel(value):
    """Requests and responses pickle, and change by copying alone."""
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.images = ()
    assert dataclasses.replace(value, images=(PICTURE,)).images == (PICTURE,)
