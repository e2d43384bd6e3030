"""DSNs: one line of text that says who answers, where, and with which token.

    SCHEME[+http]://[TOKEN@]HOST[:PORT][/PATH][?OPTION=VALUE&...]

Pure text work: what a scheme means, and which options it has, is the business of
`providers`. No message here quotes what it was given, for it may hold a token.
"""

from __future__ import annotations

from ._loading import loading
from .errors import DSNError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
    from typing import Any
else:
    from ._frozen import dataclass, field

__all__ = ["DSN"]

_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_QUOTES = "\"'"


@dataclass(frozen=True)
class DSN:
    """A parsed DSN.

    scheme: lower case, `_` as `-`, without `+http`. plain: whether `+http` was said. token: percent-
    decoded, None if there is none; in no repr and no pickle. host: with its port, `""`
    if none was named. path: without a slash at its end, `""` if none. options: as strings.
    """

    scheme: str
    plain: bool = False
    token: str | None = field(default=None, repr=False)
    host: str = ""
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> DSN:
        """Read a DSN; spaces and quotes around it are dropped.

        Raises DSNError, which says what is wrong and never quotes the text.
        """
        if not isinstance(text, str):
            raise DSNError(f"a DSN is text, not {type(text).__name__}")
        head, found, rest = strip(text).partition("://")
        if not found:
            raise DSNError("a DSN reads scheme://token@host; there is no :// in this one")
        scheme, plus, transport = head.lower().replace("_", "-").partition("+")
        if not scheme or not _SCHEME.issuperset(scheme):
            raise DSNError("the part before :// is no scheme (letters, digits, dots, dashes)")
        if plus and transport != "http":
            raise DSNError("SCHEME+http:// asks for plain http; after the + nothing but http is known")
        rest, question, query = rest.partition("?")
        where, _, path = rest.partition("/")
        userinfo, _, host = where.rpartition("@")
        if "@" in path or "@" in query:
            raise DSNError("a token that holds / ? or # must be percent-encoded (%2F, %3F, %23)")
        return cls(scheme, bool(plus), _decoded(userinfo), host, path, _options(query) if question else {})

    def __post_init__(self) -> None:
        mine = self.__dict__  # a DSN may be made by hand, too: nothing odd goes into a header from here
        mine["token"] = as_token(self.token)
        mine["host"] = _host(self.host)
        mine["path"] = _path(self.path)

    def __repr__(self) -> str:
        token = "***@" if self.token else ""
        options = "?" + "&".join(f"{name}=..." for name in self.options) if self.options else ""
        return f"DSN({self.scheme}{'+http' if self.plain else ''}://{token}{self.host}{self.path}{options})"

    __str__ = __repr__

    def __copy__(self) -> DSN:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> DSN:
        return self  # frozen; and a copy made by way of __reduce__ would lose the token

    def __reduce__(self) -> tuple[Any, ...]:
        return DSN, (self.scheme, self.plain, None, self.host, self.path, self.options)


def strip(text: str) -> str:
    """Text as it is meant, without the spaces, line ends and quotes that `.env` files leave on it."""
    text = text.strip()
    while len(text) >= 2 and text[0] in _QUOTES and text[-1] == text[0]:
        text = text[1:-1].strip()
    return text


def as_token(text: str | None) -> str | None:
    """A token that can stand in a header, None for an empty one; DSNError if it cannot."""
    if not text:
        return None
    if not all("!" <= char <= "~" for char in text):
        raise DSNError("the token holds a space, a line end or another character that cannot stand in a header")
    return text


def _decoded(userinfo: str) -> str:
    userinfo = userinfo[1:] if userinfo.startswith(":") else userinfo  # scheme://:token@host, as redis has it
    if "%" not in userinfo:
        return userinfo
    with loading:
        from urllib.parse import unquote

    return unquote(userinfo, errors="replace")


def _host(host: str) -> str:
    name, port = split_host(host)
    if port is not None and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise DSNError("the port is no number from 1 to 65535")
    if name.startswith("["):
        _check_ipv6(name)
    elif not _HOST.issuperset(name):
        raise DSNError("the host holds a character that no host name has (an IPv6 address goes into brackets)")
    elif _may_be_key(name):
        raise DSNError("what stands for the host looks like a key: write scheme://KEY@host")
    elif not name and port is not None:
        raise DSNError("there is a port and no host")
    return host


def _may_be_key(name: str) -> bool:
    """Whether somebody forgot the `@` behind a key, which must not reach a name server."""
    if "." in name or len(name) < 20:
        return False
    return name.startswith("sk-") or (name != name.lower() and any(char.isdigit() for char in name))


def split_host(host: str) -> tuple[str, str | None]:
    """`host[:port]` as (host, port text or None); an IPv6 address keeps its brackets."""
    head, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        return host, None
    return head, port


def _check_ipv6(name: str) -> None:
    with loading:
        from ipaddress import IPv6Address

    try:
        if not name.endswith("]") or "%" in name:  # a zone means nothing to another machine
            raise ValueError
        IPv6Address(name[1:-1])
    except ValueError:
        raise DSNError("the host in brackets is no IPv6 address, or something stands behind it") from None


def _path(path: str) -> str:
    steps = [step for step in path.split("/") if step]
    if any(not "!" <= char <= "~" or char in "#\\" for char in path) or ".." in steps:
        raise DSNError("the path holds a character that no URL has, or ..; percent-encode it")
    return "".join("/" + step for step in steps)  # never a doubled slash: Go servers redirect those


def _options(query: str) -> dict[str, str]:
    with loading:
        from urllib.parse import unquote

    found: dict[str, str] = {}
    for item in query.split("&"):
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise DSNError("options read ?name=value&name=value; one of them does not")
        name = unquote(name).strip().lower().replace("-", "_")
        if name in found:
            raise DSNError("an option stands twice")
        value = unquote(value).strip()
        if not value.isprintable() or not name.isprintable():
            raise DSNError("an option holds a line end or another control character")
        found[name] = value
    return found
