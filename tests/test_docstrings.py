"""Docstrings in the styles that people write, and in none."""

from __future__ import annotations

import pytest

from majordomo import _docstrings
from majordomo._docstrings import read

# name: (docstring, text, what is said of each parameter)
DOCSTRINGS = {
    "none": (None, "", {}),
    "empty": ("", "", {}),
    "blank": (" \n\t\n  ", "", {}),
    "a line": ("Add two numbers.", "Add two numbers.", {}),
    "a line on a line of its own": ("\n    Add two numbers.\n    ", "Add two numbers.", {}),
    "lines": ("Add two\n    numbers.", "Add two numbers.", {}),
    "paragraphs": (
        "Add.\n\n    Both are\n    numbers.\n\n\n    All of them.",
        "Add.\n\nBoth are numbers.\n\nAll of them.",
        {},
    ),
    "a list": (
        "Add.\n\n    - a: the first, which\n      is long\n    - b: the second\n    1. Then.",
        "Add.\n\n- a: the first, which\n  is long\n- b: the second\n1. Then.",
        {},
    ),
    "our own style": (
        "Ask.\n\n    timeout: seconds for the call. tools: what may be called.",
        "Ask.\n\ntimeout: seconds for the call. tools: what may be called.",
        {},
    ),
    "Windows": (
        "Add.\r\n\r\n    Args:\r\n        a: the first\r\n            of two\r\n",
        "Add.",
        {"a": "the first of two"},
    ),
    "tabs": (
        "Add.\n\n\tArgs:\n\t\ta: the first\n\t\t\tof two\n\t\tb: the second",
        "Add.",
        {"a": "the first of two", "b": "the second"},
    ),
    # --- Google
    "Google": (
        """Add two numbers.

        The sum is exact.

        Args:
            a (int): The first.
            b (Optional[Dict[str, Tuple[int, ...]]], optional): The second,
                of any size. Defaults to `{"x": (1,)}`.
            c: A time, as 12:30; see https://example.org/a:b (at the end).

                More of it.
            *args: The others.
            **kwargs (Any): By name.

        Returns:
            int: The sum.

            Never negative.

        Raises:
            ValueError: If a: is not a number.

        The end.
        """,
        "Add two numbers.\n\nThe sum is exact.\n\nThe end.",
        {
            "a": "The first.",
            "b": 'The second, of any size. Defaults to `{"x": (1,)}`.',
            "c": "A time, as 12:30; see https://example.org/a:b (at the end). More of it.",
            "args": "The others.",
            "kwargs": "By name.",
        },
    ),
    "Google, no blank lines": (
        "Add.\nArgs:\n  a: The first.\n  b : The second.\nReturns:\n  The sum.\nDone.",
        "Add.\n\nDone.",
        {"a": "The first.", "b": "The second."},
    ),
    "Google, sections alone": ("Args:\n    a: The first.", "", {"a": "The first."}),
    "Google, each title": (
        "Args:\n a: 1\nArguments:\n b: 2\nParameters:\n c: 3\nKeyword Args:\n d: 4\nKeyword Arguments:\n e: 5\n"
        "Other Parameters:\n f: 6\nAttributes:\n g: 7",
        "",
        dict(zip("abcdefg", "1234567")),
    ),
    "Google, what is said first counts": (
        "Args:\n    a: One.\nAttributes:\n    a: Two.\n    b: Three.",
        "",
        {"a": "One.", "b": "Three."},
    ),
    "Google, not indented": (
        "Add.\n\nArgs:\na: The first,\nof two.\nb: The second.\nReturns:\nThe sum.\n\nThe end.",
        "Add.\n\nThe end.",
        {"a": "The first, of two.", "b": "The second."},
    ),
    "Google, lines not indented": (
        "Add.\n\n    Args:\n        a: The first,\n        of two numbers.\n        b: The second.",
        "Add.",
        {"a": "The first, of two numbers.", "b": "The second."},
    ),
    "Google, no space": ("Args:\n    a:One.\n    b(int):Two.", "", {"a": "One.", "b": "Two."}),
    "Google, names together": ("Args:\n    a, b (int): Both.", "", {"a": "Both.", "b": "Both."}),
    "Google, marked names": (
        "Args:\n    `a`: One.\n    ``b`` (int): Two.\n    - c: Three.\n    \\*d: Four.\n    größe: Five.",
        "",
        {"a": "One.", "b": "Two.", "c": "Three.", "d": "Four.", "größe": "Five."},
    ),
    "Google, text on the next line": (
        "Args:\n    a (int):\n        The first.\n    b:\n        The second.",
        "",
        {"a": "The first.", "b": "The second."},
    ),
    "Google, nothing said": ("Add.\n\nArgs:\n    a (int):\n    b:\n", "Add.", {}),
    "Google, a title alone": ("Add.\n\n    Args:", "Add.", {}),
    "Google, an open bracket": ("Args:\n    a: One.\n    b (int: Two.", "", {"a": "One. b (int: Two."}),
    "Google, on one line": (
        "Add.\n\n    Returns: The sum\n    of both.\n\n    Raises: ValueError\n        maybe.\n\n    Done.",
        "Add.\n\nDone.",
        {},
    ),
    "Google, all there is": ("Returns: the sum.", "Returns: the sum.", {}),
    "Google, examples": (
        "Add.\n\n    Example:\n        >>> add(1, 2)\n        3\n\n    Examples:\n        More: of them.\n",
        "Add.",
        {},
    ),
    "Google, a note": (
        "Add.\n\n    Note:\n        Slow for\n        large numbers.\n\n    Args:\n        a: One.",
        "Add.\n\nNote: Slow for large numbers.",
        {"a": "One."},
    ),
    "Google, long notes": ("Add.\n\n    Notes:\n        Slow.\n\n        By Knuth.", "Add.", {}),
    "no titles": (
        """Add.

        Note: slow. Example: none.
        Args: see below.

        returns:

        The following
        example:
            stays.
        """,
        "Add.\n\nNote: slow. Example: none. Args: see below.\n\nreturns:\n\nThe following example:\n    stays.",
        {},
    ),
    "a title over nothing of its own": (
        "Add.\n\nParameters:\n\nThey are told elsewhere.",
        "Add.\n\nParameters:\n\nThey are told elsewhere.",
        {},
    ),
    # --- NumPy
    "NumPy": (
        """Add two numbers.

        The sum is exact.

        Parameters
        ----------
        a : int
            The first: a number.

            More of it.
        b, c : {1, 2}, optional
            The others.
        d: float
            No space.
        e
            No type.
        *args, **kwargs
            The rest.
        f : int

        Other Parameters
        ----------------
        g : int, default: 5
            Rare.

        Returns
        -------
        total : int
            The sum.

        See Also
        --------
        subtract : The reverse.

        Notes
        -----
        Slow.

        References
        ----------
        .. [1] Knuth.

        Examples
        --------
        >>> add(1, 2)
        3
        """,
        "Add two numbers.\n\nThe sum is exact.\n\nNotes: Slow.",
        {
            **{"a": "The first: a number. More of it.", "b": "The others.", "c": "The others.", "d": "No space."},
            **{"e": "No type.", "args": "The rest.", "kwargs": "The rest.", "g": "Rare."},
        },
    ),
    "NumPy, attributes": ("A point.\n\nAttributes\n----------\nx : int\n    Across.\n", "A point.", {"x": "Across."}),
    "NumPy, no blank lines": (
        "Add.\nParameters\n----------\na : int\n    One.\nReturns\n-------\nint\n    Sum.",
        "Add.",
        {"a": "One."},
    ),
    "NumPy, text after it": (
        "Parameters\n----------\na : int\n    One.\n\nAll of them are numbers.",
        "All of them are numbers.",
        {"a": "One."},
    ),
    "NumPy, titles of another kind": (
        "Add.\n\nParameters\n----------\na : int\n    One.\n\nHistory\n-------\nOld.\n",
        "Add.\n\nHistory ------- Old.",
        {"a": "One."},
    ),
    "NumPy, a title alone": ("Add.\n\nParameters\n----------", "Add.", {}),
    "NumPy, no title": ("Add.\n\nParameters\n-\nOf all kinds.", "Add.\n\nParameters - Of all kinds.", {}),
    # --- reST
    "reST": (
        """Add two numbers.

        :param a: The first: a number, see :class:`Number`.
        :param int b: The second,
            of any size.

            More of it.
        :parameter c: Three.
        :arg dict[str, int] d: Four,
        which goes on.
        :argument e: Five.
        :key f: Six.
        :keyword g: Seven.
        :param \\*args: The others.
        :param **kwargs: By name.
        :type a: int
        :raises ValueError: If it is
            no number.
        :return: The sum
            of all.
        :rtype: int

        The end.
        """,
        "Add two numbers.\n\nThe end.",
        {
            "a": "The first: a number, see :class:`Number`.",
            "b": "The second, of any size. More of it.",
            **{"c": "Three.", "d": "Four, which goes on.", "e": "Five.", "f": "Six.", "g": "Seven."},
            **{"args": "The others.", "kwargs": "By name."},
        },
    ),
    "reST, attributes": (
        "A point.\n\n:ivar x: Across.\n:var int y: Up.\n:cvar z: Deep.\n:vartype z: int",
        "A point.",
        {"x": "Across.", "y": "Up.", "z": "Deep."},
    ),
    "reST, no blank line": ("Add.\n:param a: One.\n:returns: Two.", "Add.", {"a": "One."}),
    "reST, no space": ("Add.\n\n:param a:One.\n:param b:\n   Two.", "Add.", {"a": "One.", "b": "Two."}),
    "reST, deeper and deeper": (":param a: One.\n  :type a: int\n  :param b: Two.", "", {"a": "One.", "b": "Two."}),
    "reST, what is no field": (
        "Add.\n\n:class:`Number` is what\n:key:`a` is.\n:param a is not.\n:foo: bar\n:",
        "Add.\n\n:class:`Number` is what :key:`a` is. :param a is not. :foo: bar :",
        {},
    ),
    "reST, fields without names": ("Add.\n\n:param: One.\n:param ***: Two.", "Add.", {}),
    "mixed": (
        "Add.\n\nArgs:\n    a: One.\n\n:param b: Two.\n\nParameters\n----------\nc : int\n    Three.",
        "Add.",
        {"a": "One.", "b": "Two.", "c": "Three."},
    ),
    "odd indentation": (
        "Add.\n      deeper\n  less\n\n   Args:\n     a: One.\n       More.\n    b: Two.\n  c: Three.",
        "Add.\n    deeper less\n\nc: Three.",
        {"a": "One. More.", "b": "Two."},
    ),
}


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_docstring(name):
    """A docstring says what a thing is, and what its parameters are."""
    docstring, text, of = DOCSTRINGS[name]
    found = read(docstring)
    assert found.text == text
    assert found.of == of


# What would take minutes if a line, or a character of it, were looked at again for each other
HUGE = {
    "blank lines": "\n" * 10**6 + "a",
    "blank lines inside": "a" + "\n \t" * 50_000 + "b",
    "spaces": "Args:\n    a" + " " * 10**6 + "b",
    "spaces in a field": ":param" + " " * 10**6 + "b",
    "brackets": "Args:\n    a " + "(" * 10**6,
    "closed brackets": "Args:\n    a " + "() " * 50_000,
    "commas": "Args:\n    a" + ", a" * 50_000,
    "stars": "Args:\n    " + "*" * 10**6,
    "titles": "Args:\n" * 50_000,
    "titles in steps": "".join(" " * (n % 50) + "Args:\n" for n in range(50_000)),
    "titles over dashes": "Parameters\n----------\n" * 50_000,
    "dashes": "Returns\n" + "-" * 10**6 + "x",
    "items": "Args:\n" + "    a: b\n" * 50_000,
    "lines of one item": "Args:\n    a: b\n" + "        c\n" * 50_000,
    "lines of text": "a\n" * 50_000,
    "names of one item": "Args:\n    " + ", ".join(f"a{n}" for n in range(50_000)) + ":" + " b" * 500_000,
    "fields": ":param a: b\n" * 50_000,
    "notes": "Note:\n    a\n\n" * 50_000,
    "colons": ":" * 10**6,
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_docstring(name):
    """Each line is looked at once, however odd it is."""
    found = read(HUGE[name])
    assert len(found.text) + sum(map(len, set(found.of.values()))) <= len(HUGE[name]) * 2


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_docstring_that_is_cut(name):
    """A docstring may end anywhere, and begin anywhere."""
    docstring = DOCSTRINGS[name][0] or ""
    for at in range(0, len(docstring), 3):
        for part in (docstring[:at], docstring[at:]):
            found = read(part)
            assert all(text and "\n" not in text for text in found.of.values())
            assert found.text == found.text.strip()


def test_every_title_and_field_is_read():
    """What the tables name is taken for what it is."""
    for title, kind in _docstrings._SECTIONS.items():
        found = read(f"Text.\n\n{title.title()}:\n    a: b")
        assert (found.of == {"a": "b"}) == (kind == "parameters")
        assert found.text == ("Text." if kind != "note" else f"Text.\n\n{title.title()}: a: b")
    for field, kind in _docstrings._FIELDS.items():
        found = read(f"Text.\n\n:{field} a: b")
        assert (found.text, found.of) == ("Text.", {"a": "b"} if kind == "parameters" else {})
