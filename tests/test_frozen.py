"""Each promise is kept by the standard library's decorator too: `make` is one after the other."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import majordomo
from majordomo import _frozen
from majordomo.llm import Capabilities, Message, Request, Text, ToolCall, Usage, user


def ours():
    return _frozen.dataclass(frozen=True), _frozen.field


def compiled():
    """Ours, each class looked at first, so that no value is filled in by the loop."""

    def decorate(cls):
        made = _frozen.dataclass(frozen=True)(cls)
        inspect.signature(made)
        return made

    return decorate, _frozen.field


def theirs():
    return dataclasses.dataclass(frozen=True), dataclasses.field


def point(make):
    """A class with a field of every sort, new each time: nothing of it has been used."""
    dataclass, field = make()

    @dataclass
    class Point:
        """A place."""

        x: int
        y: int = 2
        tags: list = field(default_factory=list)
        secret: str = field(default="s", repr=False)
        note: str = field(default="n", compare=False)

        def __post_init__(self):
            self.__dict__["y"] = self.y * 1

    return Point


@pytest.fixture(params=[ours, compiled, theirs], ids=lambda make: make.__name__)
def make(request):
    return request.param


def test_defaults(make):
    """Defaults are filled in, factories called for each value anew."""
    Point = point(make)
    a, b = Point(1), Point(1)
    assert (a.x, a.y, a.tags, a.secret, a.note) == (1, 2, [], "s", "n")
    assert a.tags is not b.tags
    assert (Point.y, Point.secret) == (2, "s")
    assert not hasattr(Point, "x")
    assert not hasattr(Point, "tags")


@pytest.mark.parametrize("given", [((), {}), ((1, 2, [], "s", "n", 6), {}), ((1,), {"x": 1}), ((1,), {"z": 1})])
def test_wrong_arguments(make, given):
    """Arguments are checked as for any function."""
    with pytest.raises(TypeError):
        point(make)(*given[0], **given[1])


def test_frozen(make):
    """No attribute can be set or deleted, a field's or another one."""
    value = point(make)(1)
    for name in ("x", "tags", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            setattr(value, name, 5)
        with pytest.raises(AttributeError):
            delattr(value, name)
    assert value.x == 1


def test_equality(make):
    """Values of one class are equal by the fields that are compared."""
    Point = point(make)
    assert Point(1) == Point(1, note="other")
    assert Point(1) != Point(2)
    assert Point(1) != Point(1, secret="other")
    assert Point(1) != (1, 2, [], "s")
    assert Point(1).__eq__(1) is NotImplemented
    assert Point(1) != type("Sub", (Point,), {})(1)


def test_hash(make):
    """Equal values have one hash; a value that holds a list has none."""
    Point = point(make)
    assert hash(Point(1, tags=())) == hash(Point(1, tags=(), note="other"))
    assert len({Point(1, tags=()), Point(1, tags=()), Point(2, tags=())}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


def test_repr(make):
    """A repr reads as the call that makes the value, without what is hidden."""
    assert repr(point(make)(1)).endswith("Point(x=1, y=2, tags=[], note='n')")


def test_own_repr(make):
    """A class's own repr stays."""

    @make()[0]
    class Point:
        x: int

        def __repr__(self):
            return "here"

    assert repr(Point(1)) == "here"


def test_fields(make):
    """`dataclasses.fields` tells name, type, default and flags, of the class and of a value."""
    Point = point(make)
    rows = [(f.name, f.type, f.repr, f.compare, f.init) for f in dataclasses.fields(Point)]
    assert rows == [
        ("x", "int", True, True, True),
        ("y", "int", True, True, True),
        ("tags", "list", True, True, True),
        ("secret", "str", False, True, True),
        ("note", "str", True, False, True),
    ]
    assert [f.default for f in dataclasses.fields(Point)][1] == 2
    assert [f.default_factory for f in dataclasses.fields(Point)][2] is list
    assert [f.name for f in dataclasses.fields(Point(1))] == [row[0] for row in rows]


def test_is_dataclass(make):
    """Classes and values are dataclasses for whoever asks."""
    Point = point(make)
    assert dataclasses.is_dataclass(Point)
    assert dataclasses.is_dataclass(Point(1))


def test_replace(make):
    """`dataclasses.replace` changes some fields, and refuses those there are not."""
    Point = point(make)
    assert dataclasses.replace(Point(1, note="kept"), y=5).__dict__ == {**Point(1, note="kept").__dict__, "y": 5}
    with pytest.raises(TypeError):
        dataclasses.replace(Point(1), z=5)


@pytest.mark.skipif(not hasattr(copy, "replace"), reason="copy.replace is Python 3.13")
def test_copy_replace(make):
    """`copy.replace` does the same."""
    Point = point(make)
    assert copy.replace(Point(1), y=5) == Point(1, 5)


def test_asdict_and_astuple(make):
    """`asdict` and `astuple` go into lists and into values."""
    Point = point(make)
    outer = Point(1, tags=[Point(2)])
    inner = {"x": 2, "y": 2, "tags": [], "secret": "s", "note": "n"}
    assert dataclasses.asdict(outer) == {**inner, "x": 1, "tags": [inner]}
    assert dataclasses.astuple(outer) == (1, 2, [(2, 2, [], "s", "n")], "s", "n")


def test_signature(make):
    """Help and editors see the parameters, their types and their defaults."""
    parameters = inspect.signature(point(make)).parameters
    assert list(parameters) == ["x", "y", "tags", "secret", "note"]
    assert parameters["x"].default is inspect.Parameter.empty
    assert (parameters["y"].default, parameters["y"].annotation) == (2, "int")
    assert parameters["tags"].default is not inspect.Parameter.empty


@pytest.mark.parametrize("look", [inspect.signature, dataclasses.fields, repr, vars, dir], ids=lambda f: f.__name__)
def test_looking_before_use(make, look):
    """A class can be looked at before its first value is made."""
    Point = point(make)
    look(Point)
    assert Point(1).x == 1


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match is Python 3.10")
def test_match_args(make):
    """A value can be taken apart by `match`, by place."""
    assert point(make).__match_args__ == ("x", "y", "tags", "secret", "note")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
def test_copy(make, copied):
    """A copy is an equal value; only a deep one has lists of its own."""
    value = point(make)(1, tags=[[]])
    twin = copied(value)
    assert twin == value
    assert twin is not value
    assert (twin.tags is value.tags) is (copied is copy.copy)


def test_base_fields_come_first(make):
    """A class built on another has its fields first, and may give them new defaults."""
    dataclass, _ = make()
    Point = point(make)

    @dataclass
    class Point3(Point):
        z: int = 3
        y: int = 7

    assert [f.name for f in dataclasses.fields(Point3)] == ["x", "y", "tags", "secret", "note", "z"]
    assert (Point3(1).y, Point3(1).z, Point(1).y) == (7, 3, 2)
    assert isinstance(Point3(1), Point)


def test_a_real_dataclass_on_top(make):
    """A user's own frozen dataclass may be built on a value."""
    Point = point(make)

    @dataclasses.dataclass(frozen=True)
    class Point3(Point):
        z: int = 3

    value = Point3(1, z=5)
    assert [f.name for f in dataclasses.fields(Point3)] == ["x", "y", "tags", "secret", "note", "z"]
    assert repr(value).endswith("Point3(x=1, y=2, tags=[], note='n', z=5)")
    assert value != Point3(1, z=6)
    assert dataclasses.replace(value, x=2) == Point3(2, z=5)
    assert dataclasses.asdict(value)["z"] == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.z = 1


def test_a_dataclass_that_is_not_frozen_on_top(make):
    """What is frozen cannot be thawed by inheriting from it."""
    with pytest.raises(TypeError, match="frozen"):

        @dataclasses.dataclass
        class Point3(point(make)):
            z: int = 3


def test_the_package_s_replace_keeps_what_a_subclass_adds(make):
    """The package's own copying loses no field of a user's dataclass."""
    Point = point(make)

    @dataclasses.dataclass(frozen=True)
    class Point3(Point):
        z: int = 3

    replace = _frozen.replace if make is not theirs else dataclasses.replace
    assert replace(Point3(1, z=5), x=2) == Point3(2, z=5)


def test_a_plain_subclass_with_an_init_of_its_own(make):
    """A subclass may call the `__init__` of a class that nobody has used yet."""

    class Named(point(make)):
        def __init__(self, name, x):
            super().__init__(x, note=name)

    value = Named("home", 4)
    assert (value.x, value.note) == (4, "home")


def test_a_plain_subclass_has_attributes_of_its_own(make):
    """What is no field can be set in a subclass that is no dataclass; fields stay frozen."""

    class Named(point(make)):
        pass

    value = Named(1)
    value.name = "home"
    assert value.name == "home"
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.x = 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        Usage(1, None, 3),
        Text("é"),
        ToolCall("1", "f", {"a": [1]}),
        Capabilities(0, tools=True),
        Request([user("hi")], extra={"a": 1}),
        Message("assistant", ["hi"], "box/m"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_pickle(value, protocol):
    """The values of the package pickle."""
    twin = pickle.loads(pickle.dumps(value, protocol))
    assert twin == value
    assert twin.__dict__ == value.__dict__


def test_dataclasses_is_not_imported():
    """The vocabulary costs no import of `dataclasses`."""
    root = Path(majordomo.__file__).parents[1]
    code = "import sys; sys.path.insert(0, sys.argv[1]); import majordomo.llm; "
    code += "majordomo.llm.Request('hi'); print([m for m in ('dataclasses', 'inspect') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(root)], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["[]"]
