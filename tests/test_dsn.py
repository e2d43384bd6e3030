from __future__ import annotations

import copy
import dataclasses
import pickle
import random
import traceback

import pytest

from majordomo.dsn import DSN
from majordomo.errors import DSNError

SECRET = "hunter2secret"

# text: what differs from a DSN of nothing but a scheme
GOOD = {
    "openai://": {},
    "openai://api.openai.com": {"host": "api.openai.com"},
    "OpenAI://API.OpenAI.com": {"host": "API.OpenAI.com"},
    "ollama-cloud://t@ollama.com": {"scheme": "ollama-cloud", "token": "t", "host": "ollama.com"},
    "my_own.v2://h": {"scheme": "my-own.v2", "host": "h"},
    "openai+http://box:8000": {"plain": True, "host": "box:8000"},
    "openai+HTTP://box": {"plain": True, "host": "box"},
    # host and port
    "openai://h:1": {"host": "h:1"},
    "openai://h:65535": {"host": "h:65535"},
    "openai://my_host-1.lan:80": {"host": "my_host-1.lan:80"},
    "openai://192.168.0.1:80": {"host": "192.168.0.1:80"},
    "openai://[::1]": {"host": "[::1]"},
    "openai://[::1]:8080/v1": {"host": "[::1]:8080", "path": "/v1"},
    "openai://t@[fe80::1]:80": {"token": "t", "host": "[fe80::1]:80"},
    "openai://[::ffff:1.2.3.4]": {"host": "[::ffff:1.2.3.4]"},
    # token
    "openai://t@h": {"token": "t", "host": "h"},
    "openai://t@": {"token": "t"},
    "openai://:t@h": {"token": "t", "host": "h"},
    "openai://@h": {"host": "h"},
    "openai://:@h": {"host": "h"},
    "openai://a:b@h": {"token": "a:b", "host": "h"},
    "openai://a@b@h": {"token": "a@b", "host": "h"},
    "openai://a:b@c:d@h:80": {"token": "a:b@c:d", "host": "h:80"},
    "openai://a%2Fb%3Fc%23d%40e%3Af@h": {"token": "a/b?c#d@e:f", "host": "h"},
    "openai://100%25@h": {"token": "100%", "host": "h"},
    "openai://50%zz@h": {"token": "50%zz", "host": "h"},
    "openai://%3Aa@h": {"token": ":a", "host": "h"},
    "openai://a+b=c~d@h": {"token": "a+b=c~d", "host": "h"},
    "anthropic://sk-ant-api03-AAAA_BBBB-CCCC@api.anthropic.com": {
        "scheme": "anthropic",
        "token": "sk-ant-api03-AAAA_BBBB-CCCC",
        "host": "api.anthropic.com",
    },
    # what .env files and shells leave on a value
    "  openai://t@h \n": {"token": "t", "host": "h"},
    '"openai://t@h"': {"token": "t", "host": "h"},
    "'openai://t@h'\r\n": {"token": "t", "host": "h"},
    "\" 'openai://t@h' \"": {"token": "t", "host": "h"},
    # path
    "openai://h/": {"host": "h"},
    "openai://h//": {"host": "h"},
    "openai://h/v1": {"host": "h", "path": "/v1"},
    "openai://h/v1/": {"host": "h", "path": "/v1"},
    "openai://h//a///b//": {"host": "h", "path": "/a/b"},
    "openai://h/a%2Fb/c:d": {"host": "h", "path": "/a%2Fb/c:d"},
    "openai:///v1": {"path": "/v1"},
    # options
    "openai://h?timeout=30": {"host": "h", "options": {"timeout": "30"}},
    "openai://h/v1/?a=1&b=2": {"host": "h", "path": "/v1", "options": {"a": "1", "b": "2"}},
    "openai://?max-images=4": {"options": {"max_images": "4"}},
    "openai://h?MAX_Images=4": {"host": "h", "options": {"max_images": "4"}},
    "openai://h?ca=/etc/ssl/my%20ca.pem": {"host": "h", "options": {"ca": "/etc/ssl/my ca.pem"}},
    "openai://h?image_mime=image/png,image/jpeg": {"host": "h", "options": {"image_mime": "image/png,image/jpeg"}},
    "openai://h?a=b=c%26d": {"host": "h", "options": {"a": "b=c&d"}},
    "openai://h?a=": {"host": "h", "options": {"a": ""}},
}

# What is wrong with them stands behind; each holds the secret, and no message may.
BAD = [
    (f"{SECRET}", "no ://"),
    (f"{SECRET}@host", "no ://"),
    (f"openai:{SECRET}@host", "no ://"),
    (f"openai:/{SECRET}@host", "no ://"),
    (f"://{SECRET}@host", "scheme"),
    (f"+http://{SECRET}@host", "scheme"),
    (f"open ai://{SECRET}@host", "scheme"),
    (f"open/ai://{SECRET}@host", "scheme"),
    (f"öpenai://{SECRET}@host", "scheme"),
    (f"LLM_X=openai://{SECRET}@host", "scheme"),
    (f"'openai://{SECRET}@host", "scheme"),
    (f"{SECRET}@openai://host", "scheme"),
    (f"openai+https://{SECRET}@host", "plain http"),
    (f"openai+http+http://{SECRET}@host", "plain http"),
    (f"openai+{SECRET}://host", "plain http"),
    (f"{SECRET}+https://host", "plain http"),
    (f"openai://{SECRET} x@host", "token"),
    (f"openai://{SECRET}%20x@host", "token"),
    (f"openai://{SECRET}%0D%0AX-Evil:1@host", "token"),
    (f"openai://{SECRET}%00@host", "token"),
    (f"openai://{SECRET}é@host", "token"),
    (f"openai://{SECRET}%C3%A9@host", "token"),
    (f"openai://{SECRET}%FF@host", "token"),
    (f"openai://{SECRET}\udc80@host", "token"),
    (f"openai://{SECRET}/x@host", "percent-encoded"),
    (f"openai://{SECRET}?x@host", "percent-encoded"),
    (f"openai://{SECRET}/x@host?a=1", "percent-encoded"),
    (f"openai://{SECRET}@host/a?b=c@d", "percent-encoded"),
    (f"openai://{SECRET}@host:", "port"),
    (f"openai://{SECRET}@host:0", "port"),
    (f"openai://{SECRET}@host:65536", "port"),
    (f"openai://{SECRET}@host:0000199999", "port"),
    (f"openai://{SECRET}@host:-1", "port"),
    (f"openai://{SECRET}@host:+80", "port"),
    (f"openai://{SECRET}@host:8_0", "port"),
    (f"openai://{SECRET}@host:٨٠", "port"),
    (f"openai://{SECRET}@host:²", "port"),
    (f"openai://{SECRET}@host:{'9' * 5000}", "port"),
    (f"openai://host:{SECRET}", "port"),
    (f"openai://{SECRET}@:80", "no host"),
    (f"openai://{SECRET}@ho st", "host"),
    (f"openai://{SECRET}@ho\nst", "host"),
    (f"openai://{SECRET}@höst", "host"),
    (f"openai://{SECRET}@ho%73t", "host"),
    (f"openai://{SECRET}@host#x", "host"),
    (f'openai://{SECRET}@host"', "host"),
    (f"openai://{SECRET}@::1", "host|port"),
    (f"openai://{SECRET}@::1:80", "host"),
    (f"openai://{SECRET}@[::1", "IPv6"),
    (f"openai://{SECRET}@[]", "IPv6"),
    (f"openai://{SECRET}@[host]", "IPv6"),
    (f"openai://{SECRET}@[1.2.3.4]", "IPv6"),
    (f"openai://[{SECRET}]", "IPv6"),
    (f"openai://{SECRET}@[::1]x", "IPv6|port"),
    (f"openai://{SECRET}@[::1]x]", "IPv6"),
    (f"openai://{SECRET}@[::1][::2]:80", "IPv6"),
    (f"openai://{SECRET}@[::1%a b]", "IPv6|host"),
    (f"openai://{SECRET}@[::1%a\r\nX-Evil: 1]:80", "IPv6|host"),
    (f"openai://{SECRET}@host/a b", "path"),
    (f"openai://{SECRET}@host/a\nb", "path"),
    (f"openai://{SECRET}@host/é", "path"),
    (f"openai://{SECRET}@host/a#b", "path"),
    (f"openai://{SECRET}@host/a\\b", "path"),
    (f"openai://{SECRET}@host/../v1", "path"),
    (f"openai://{SECRET}@host/v1/..", "path"),
    (f"openai://{SECRET}@host?", "options"),
    (f"openai://{SECRET}@host?timeout", "options"),
    (f"openai://host?{SECRET}", "options"),
    (f"openai://{SECRET}@host?=1", "options"),
    (f"openai://{SECRET}@host?a=1&", "options"),
    (f"openai://{SECRET}@host?a=1&&b=2", "options"),
    (f"openai://host?a={SECRET}&a=2", "twice"),
    (f"openai://{SECRET}@host?a-b=1&A_B=2", "twice"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good(text):
    """A DSN is read into its parts."""
    dsn = DSN.parse(text)
    wanted = {"scheme": "openai", "plain": False, "token": None, "host": "", "path": "", "options": {}, **GOOD[text]}
    assert dsn.__dict__ == wanted


@pytest.mark.parametrize(("text", "says"), BAD, ids=[ascii(text)[1:40] for text, _ in BAD])
def test_bad(text, says):
    """What is no DSN is a DSNError of one line that says what is wrong, and quotes nothing of it."""
    with pytest.raises(DSNError, match=says) as caught:
        DSN.parse(text)
    for shown in (str(caught.value), repr(caught.value), repr(caught.value.__dict__)):
        assert SECRET not in shown.lower()
        assert text not in shown
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", " ", '""', "'", "://", "openai", "a,b"])
def test_scarcely_anything(text):
    """Text without a scheme and :// is a DSNError."""
    with pytest.raises(DSNError):
        DSN.parse(text)


@pytest.mark.parametrize("value", [None, 5, b"openai://h", ["openai://h"]])
def test_no_text(value):
    """What is no text is a DSNError, and a ValueError at that."""
    with pytest.raises(ValueError, match=type(value).__name__):
        DSN.parse(value)


@pytest.mark.parametrize(
    "text",
    [
        "openai://sk-proj-AbCdEfGhIjKlMnOpQrStUvWx",
        "openai://sk-proj-AbCdEfGhIjKlMnOpQrStUvWx/v1",
        "anthropic://sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWx:443",
        "google://AIzaSyAbCdEfGhIjKlMnOpQrStUvWxYz0123456",
    ],
)
def test_a_key_in_place_of_the_host(text):
    """A key without its @ is not taken for a host, which would be looked up and shown."""
    with pytest.raises(DSNError, match="looks like a key") as caught:
        DSN.parse(text)
    assert "AbCdEf" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"openai://{SECRET}@h:80/v1?timeout=30", "DSN(openai://***@h:80/v1?timeout=...)"),
        (f"openai+http://{SECRET}@h", "DSN(openai+http://***@h)"),
        ("openai://h/v1?a=1&b=2", "DSN(openai://h/v1?a=...&b=...)"),
        ("openai://", "DSN(openai://)"),
    ],
)
def test_shown(text, shown):
    """A DSN is shown as it is written, but for its token and the values of its options."""
    dsn = DSN.parse(text)
    assert [repr(dsn), str(dsn), f"{dsn}", "%s" % dsn, repr([dsn])] == [shown] * 4 + [f"[{shown}]"]  # noqa: UP031


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    """A pickle holds everything but the token."""
    dsn = DSN.parse(f"openai+http://{SECRET}@h:80/v1?timeout=30")
    dumped = pickle.dumps(dsn, protocol)
    assert SECRET.encode() not in dumped
    assert pickle.loads(dumped) == dataclasses.replace(dsn, token=None)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, dataclasses.replace], ids=lambda f: f.__name__)
def test_copy(copied):
    """A copy within the process keeps the token."""
    dsn = DSN.parse(f"openai://{SECRET}@h")
    assert copied(dsn).token == SECRET


def test_equality():
    """DSNs are equal by what they mean, the token included."""
    assert DSN.parse("openai://t@h/v1/") == DSN.parse(' "OPENAI://t@h//v1" ')
    assert DSN.parse("openai://t@h") != DSN.parse("openai://u@h")


def test_random_text():
    """Whatever the text, it is a DSN with clean parts or a DSNError."""
    rng = random.Random(11)
    tokens = ["openai", "://", "+http", "@", ":", "/", "?", "&", "=", "%", "%0a", "#", "[", "]", "::1", "%25", ".", "-"]
    tokens += ["é", "\udc80", "\x00", " ", "\n", '"', "'", "8080", "h", "\u2028", "٣", "\\", "sk-"]
    parsed = 0
    for _ in range(20_000):
        lead = rng.choice(["", "openai://", "openai://", "openai://[::1"])
        text = lead + "".join(rng.choice(tokens) for _ in range(rng.randrange(9)))
        try:
            dsn = DSN.parse(text)
        except DSNError:
            continue
        parsed += 1
        shown = (dsn.token or "") + dsn.host + dsn.path
        assert all("!" <= char <= "~" for char in shown), ascii(text)
        assert DSN.parse(f"{dsn.scheme}://{dsn.host}{dsn.path}").host == dsn.host, ascii(text)
    assert parsed > 500


def test_long_text():
    """A DSN of a megabyte is read, or refused, at once."""
    long = "a" * (1 << 20)
    assert DSN.parse(f"openai://{long}@h/{long}").token == long
    for text in (long, f"openai://h:{'1' * (1 << 20)}", f"openai://[{':' * (1 << 20)}]", "://" * (1 << 20)):
        with pytest.raises(DSNError):
            DSN.parse(text)


def test_no_traceback_shows_the_text():
    """Nor does an error that lies behind the DSNError show it."""
    with pytest.raises(DSNError) as caught:
        DSN.parse(f"openai://[{SECRET}]")
    assert SECRET not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))


@pytest.mark.parametrize(
    "fields",
    [{"token": "a\r\nX-Evil: 1"}, {"host": "h\r\nX-Evil: 1"}, {"host": "h/x"}, {"path": "/v1 HTTP/1.1\r\nX: y"}],
    ids=["token", "host", "host with a path", "path"],
)
def test_made_by_hand(fields):
    """A DSN that was not parsed is checked all the same: nothing of it can end a header."""
    with pytest.raises(DSNError):
        DSN("openai", **fields)
