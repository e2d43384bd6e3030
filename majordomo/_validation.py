"""Whether a JSON value follows a JSON Schema that is a dict of the user's, and where it does not.

A schema of the user's may be odd, and is not ours to judge: what means nothing is ignored. A
value is a server's, and may be hostile: each part of it meets each part of the schema once,
whatever the references. Keywords are those of 2020-12, and `definitions`, `dependencies`,
`additionalItems` and lists of `items` as before. What is not checked lets any value pass:

- `not`, `if`, `maxContains` and what else asks that something does not fit: `oneOf` is read
  as `anyOf`;
- `format`, which the specification calls an annotation;
- `pattern` and `patternProperties`: Python's `re` knows no limit of time, so that a text made
  for it would hang the call. Beside `patternProperties`, properties of any name are let through;
- `unevaluatedItems` and `unevaluatedProperties`; `$dynamicRef`, `$id`, `$anchor` and references
  that need them, or that lead out of the schema, or back to where they stand.

`null` stands for an absent property where a property may be absent and may not be null: a
strict form of a schema makes each property required and nullable, and a server that was sent
one says null where it means nothing. Such nulls are left out on the way: what stands later in
a node (see `_KEYWORDS`) is asked about what is left.
"""

from __future__ import annotations

import operator

from ._mismatch import MOST_KEPT, MOST_LISTED, Mismatch, expected, one_of, shown
from ._reference import referred

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from ._mismatch import Problem, Step

    Row = tuple[Callable[[Any, Any], Any], Any]  # called with its argument and a value: the value, a copy, or a _Fault
    Make = Callable[..., list[Row]]  # of a node, the JSON type of a value, and what the keywords say

__all__ = ["check"]

_HUGE = 10**400  # limits beyond say nothing of numbers that JSON can hold, and could not be told


def check(schema: Any, value: Any) -> Any:
    """The value, without the nulls that stand for absent properties; Mismatch, with all places, if it does not fit.

    It is the same object if nothing had to be left out, else a copy.
    """
    checker = _Checker(schema)
    try:
        found = _read(checker.node(schema)[type(value)], value)
        if found is not value and type(found) is not _Fault:  # what was asked before a null was left out
            found = _read(checker.node(schema)[type(found)], found)
    except RecursionError:
        raise Mismatch([((), "nested too deeply")]) from None
    finally:
        checker.forget()
    if type(found) is _Fault:
        raise Mismatch(_problems(found))
    return found


class _Fault:
    """What is wrong with a value; put into words only if it is told.

    problems: texts, (what was expected, the value), and (step, fault) of members. size: how
    many, about, in the members too. wanted: types or values, one of which it should have been.
    """

    __slots__ = ("problems", "size", "wanted")

    def __init__(self, problems: list[Any], size: int = 1, wanted: tuple[str, ...] = ()) -> None:
        self.problems, self.size, self.wanted = problems, size, wanted


class _Rows(list):  # type: ignore[type-arg]
    """What a node asks of values of a type.

    seen: what came of each value, by its id, where some of the rows lead to a value a second
    time. Without it, schemas that lead to each part in two ways would take exponential time.
    """

    __slots__ = ("seen",)

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        super().__init__(rows)
        self.seen: dict[int, tuple[Any, Any]] | None = {} if any([apply in _AGAIN for apply, _ in self]) else None


class _Node(dict):  # type: ignore[type-arg]
    """A schema within another: its rows by the type of the value, made when the first such value comes."""

    __slots__ = ("checker", "schema")

    def __init__(self, schema: Any, checker: _Checker) -> None:
        super().__init__()
        self.schema, self.checker = schema, checker

    def __missing__(self, kind: type) -> _Rows:
        self[kind] = _Rows()  # for references that lead back here
        rows = self[kind] = self._rows(_base(kind))
        return rows

    def _rows(self, base: type) -> _Rows:
        rows: list[Row] = [(_refuse, ())] if self.schema is False else []
        if base is float:
            rows.append((_hold, (lambda value, _: value - value == 0, None, ("a finite number",))))
        if isinstance(self.schema, dict):
            for keyword, (bases, make) in _KEYWORDS.items():
                if keyword in self.schema and (base in bases or bases is _ANY):
                    rows += make(self, base, self.schema[keyword])
        rows = [row for row in rows if row[0] is _refuse][:1] or rows
        if len(rows) == 1 and rows[0][0] is _read:
            return rows[0][1]  # type: ignore[no-any-return]
        return _Rows(rows)

    def same(self, schema: Any, base: type) -> list[Row]:
        """The rows by which the value has to follow another schema, too."""
        rows = self.checker.node(schema)[base]
        return rows if not rows or rows[0][0] is _refuse else [(_read, rows)]


class _Checker:
    """One value on its way through one schema. Both stay as they are meanwhile, so that ids are names."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._nodes: dict[int, _Node] = {}
        self._keys: dict[int, tuple[Any, Any]] = {}
        self._names: dict[tuple[Any, ...], tuple[int]] = {}

    def node(self, schema: Any) -> _Node:
        found = self._nodes.get(id(schema))
        if found is None:
            found = self._nodes[id(schema)] = _Node(schema, self)
        return found

    def forget(self) -> None:
        """Undo the nodes, which know each other: what they have seen shall not wait for the garbage collector."""
        for node in self._nodes.values():
            node.clear()
        self._nodes.clear()

    def key(self, value: Any) -> Any:
        """What equal JSON values have in common with no others.

        Numbers are told in texts: a server can make up numbers, but no texts, that all fall
        into one slot of a set. Each part of a value is looked into once.
        """
        if isinstance(value, str):
            return value
        if value is None or isinstance(value, bool):
            return (str(value),)
        if isinstance(value, (int, float)):
            return (hex(int(value)) if isinstance(value, int) or value.is_integer() else value.hex(),)
        if id(value) not in self._keys:
            parts: tuple[Any, ...] = (type(value), id(value))  # what is no JSON
            if isinstance(value, dict):
                parts = ("{", *[part for name in sorted(value, key=str) for part in (name, self.key(value[name]))])
            elif isinstance(value, (list, tuple)):
                parts = ("[", *[self.key(item) for item in value])
            self._keys[id(value)] = (value, self._names.setdefault(parts, (len(self._names),)))
        return self._keys[id(value)][1]


def _problems(fault: _Fault) -> list[Problem]:
    """The mismatches with their places, each once, as far as they are kept."""
    found: dict[Problem, None] = {}
    seen = set()
    waiting: list[tuple[tuple[Step, ...], Any]] = [((), ("", fault))]
    while waiting and len(found) < MOST_KEPT:
        steps, problem = waiting.pop()
        if isinstance(problem, str):
            found[steps, problem] = None
        elif type(problem[1]) is not _Fault:
            found[steps, expected(*problem).problems[0][1]] = None
        elif (steps, id(problem[1])) not in seen:
            seen.add((steps, id(problem[1])))
            for part in reversed(problem[1].problems):
                is_member = type(part) is tuple and type(part[1]) is _Fault
                waiting.append(((*steps, part[0]) if is_member else steps, part))
    return list(found)


# --- what is asked of a value: it comes back, or a copy without some nulls, or a fault


def _read(rows: _Rows, value: Any) -> Any:
    """All that a node asks. What one row leaves out is not there for the next."""
    if rows.seen is not None and id(value) in rows.seen:
        return rows.seen[id(value)][1]
    found = value
    faults: list[_Fault] = []
    for apply, argument in rows:
        come = apply(argument, found)
        if type(come) is _Fault:
            faults.append(come)
            if come.wanted:  # no need to tell the faults of what should be something else
                break
        else:
            found = come
    if len(faults) == 1:
        found = faults[0]
    elif faults:
        problems = [problem for fault in faults for problem in fault.problems]
        found = _Fault(problems[:MOST_KEPT], sum([fault.size for fault in faults]), faults[-1].wanted)
    if rows.seen is not None:
        rows.seen[id(value)] = (value, found)  # with the value: an id is its name only while it lives
    return found


def _members(argument: tuple[dict[Any, _Node], _Node, set[str]], value: Any) -> Any:
    """The members, each by its node or that of the rest; a null that does not fit may be one to leave out."""
    nodes, rest, optional = argument
    left = value
    problems, size = [], 0
    for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
        rows = nodes.get(step, rest)[type(inner)]
        found = _read(rows, inner) if rows else inner
        if found is not inner:
            is_wrong = type(found) is _Fault
            if is_wrong and not (inner is None and step in optional):
                problems.append((step, found))
                size += found.size
                if size >= MOST_KEPT:
                    break
                continue
            left = left.copy() if left is value else left
            if is_wrong:
                del left[step]
            else:
                left[step] = found
    return _Fault(problems, size) if problems else left


def _first(choices: list[_Rows], value: Any) -> Any:
    """The first choice that fits; one that leaves nothing out goes before others."""
    fitting: list[Any] = []
    faults: list[_Fault] = []
    for rows in choices:
        found = _read(rows, value)
        if found is value:
            return value
        (faults if type(found) is _Fault else fitting).append(found)
    return fitting[0] if fitting else _likeliest(choices, faults, value)


def _likeliest(choices: list[_Rows], faults: list[_Fault], value: Any) -> _Fault:
    """What is most likely to help: what is wrong by the one choice that may have been meant."""
    if all([fault.wanted for fault in faults]):
        return _refuse(_together(faults), value)
    tags = [_tags(rows, value) for rows in choices]
    for name in tags[0]:
        if all([name in tag for tag in tags]):
            found = [_read(tag[name], value[name]) for tag in tags]
            meant = [fault for fault, member in zip(faults, found) if type(member) is not _Fault]
            if not meant:
                return _Fault([(name, _refuse(_together(found), value[name]))])
            if len(meant) < len(faults):
                faults = meant
                break
    nearest = min(faults, key=lambda fault: len(fault.problems))
    said = f"fits none of {len(choices)} choices; to fit the nearest, mend what follows"
    return nearest if len(faults) == 1 else _Fault([said, *nearest.problems], nearest.size)


def _tags(choice: _Rows, value: Any) -> dict[str, _Rows]:
    """What is asked of the members that are bound to certain values: they may tell what was meant."""
    nodes = [pair for apply, argument in choice if apply is _members for pair in argument[0].items()]
    bound = [(name, node) for name, node in nodes if {"const", "enum"}.intersection(_named(node.schema))]
    return {name: node[type(value[name])] for name, node in bound if isinstance(value, dict) and name in value}


def _together(faults: list[_Fault]) -> tuple[str, ...]:
    """What is wanted by any of several."""
    return tuple(dict.fromkeys([one for fault in faults for one in fault.wanted]))[: MOST_LISTED + 1]


def _refuse(wanted: tuple[str, ...], value: Any) -> _Fault:
    """It should be one of these, as `integer or null`, `"a"`, `one of "a", "b"`; or not be there."""
    if not wanted:
        return _Fault(["not expected"])
    said = " or ".join(wanted) if all([one in _TYPES for one in wanted]) else one_of(wanted)
    return _Fault([(said, value)], wanted=wanted)


def _hold(argument: tuple[Callable[[Any, Any], bool], Any, str | tuple[str, ...]], value: Any) -> Any:
    """A test of the value; what it fails is told in words, or by what is wanted."""
    fits, limit, said = argument
    if fits(value, limit):
        return value
    return _refuse(said, value) if isinstance(said, tuple) else _Fault([(said, value)])


def _unique(key: Callable[[Any], Any], value: Any) -> Any:
    seen: dict[Any, int] = {}
    found = [(index, item) for index, item in enumerate(value) if seen.setdefault(key(item), index) != index]
    return _faulty(value, [(index, _Fault([("no item twice", item)])) for index, item in found[:MOST_KEPT]])


def _required(argument: tuple[list[str], str], value: Any) -> Any:
    names, said = argument
    return _faulty(value, [(name, _Fault([said])) for name in names if name not in value])


def _names(rows: _Rows, value: Any) -> Any:
    found = [(name, _read(rows, name)) for name in value]
    return _faulty(value, [(name, fault) for name, fault in found if type(fault) is _Fault])


def _faulty(value: Any, problems: list[Any]) -> Any:
    return _Fault(problems[:MOST_KEPT], len(problems)) if problems else value


def _given(argument: tuple[_Rows, str], value: Any) -> Any:
    rows, name = argument
    return _read(rows, value) if name in value else value


def _contains(argument: tuple[_Node, int], value: Any) -> Any:
    node, least = argument
    count = sum([type(_read(node[type(item)], item)) is not _Fault for item in value])
    return value if count >= least else _Fault([f"expected at least {least} that fit `contains`, got {count}"])


# --- the rows of a keyword, for values of a type; none if it means nothing


def _list(argument: Any) -> Any:
    return argument if isinstance(argument, (list, tuple)) else ()


def _strings(argument: Any) -> list[str]:
    return [name for name in _list(argument) if isinstance(name, str)]


def _named(argument: Any) -> Any:
    return argument if isinstance(argument, dict) else {}


def _base(kind: type) -> type:
    return next(base for base in _BASES if issubclass(kind, base))


def _limit(said: str, fits: Callable[[Any, Any], bool], nouns: str = "") -> Make:
    """A limit, in words with its place in them; of a count of nouns (one and many), if there are any."""

    def make(node: _Node, base: type, limit: Any) -> list[Row]:
        is_number = isinstance(limit, (int, float)) and not isinstance(limit, bool) and -_HUGE < limit < _HUGE
        if not is_number or (nouns and (limit < 0 or limit != int(limit))):
            return []
        one, _, many = nouns.partition(" ")
        told = f"{said.format(int(limit))} {one if limit == 1 else many}" if nouns else said.format(limit)
        return [(_hold, (fits, limit, told))]

    return make


def _is_long(value: Any, limit: int) -> bool:
    return len(value) >= limit


def _is_short(value: Any, limit: int) -> bool:
    return len(value) <= limit


def _is_multiple(value: Any, unit: Any) -> bool:
    """Whether it is, of the decimals that are written: 0.3 is no multiple of 0.1 in floats."""
    (digits, power), (unit_digits, unit_power) = _decimal(value), _decimal(unit)
    least = min(power, unit_power)
    return unit <= 0 or not digits * 10 ** (power - least) % (unit_digits * 10 ** (unit_power - least))


def _decimal(number: Any) -> tuple[int, int]:
    """A number as it is written: (digits, power of ten)."""
    if isinstance(number, int):
        return number, 0
    digits, _, power = repr(number).partition("e")
    whole, _, rest = digits.partition(".")
    return int(whole + rest), int(power or 0) - len(rest)


def _enum(node: _Node, base: type, values: Any) -> list[Row]:
    told = tuple([shown(value) for value in _list(values)[: MOST_LISTED + 1]])
    bases = {_base(type(value)) for value in _list(values)}
    if base in bases or (base in _NUMBER and not bases.isdisjoint(_NUMBER)):
        key = node.checker.key
        keys = {key(value) for value in values}
        return [(_hold, (lambda value, _: key(value) in keys, None, told))]
    return [(_refuse, told)] if told else []


def _type(node: _Node, base: type, argument: Any) -> list[Row]:
    names = tuple(_list(argument) or (argument,))
    if not all([isinstance(name, str) and name in _TYPES for name in names]):
        return []
    if not any([base in _TYPES[name] for name in names]):
        return [(_refuse, names)]
    is_whole: Row = (_hold, (lambda value, _: value.is_integer(), None, names))
    return [is_whole] if base is float and "number" not in names else []


def _properties(node: _Node, base: type, named: Any) -> list[Row]:
    rest = True if _named(node.schema.get("patternProperties")) else node.schema.get("additionalProperties")
    nodes = {name: node.checker.node(schema) for name, schema in _named(named).items()}
    optional = {*nodes}.difference(_strings(node.schema.get("required")))
    return [(_members, (nodes, node.checker.node(rest), optional))]


def _items(node: _Node, base: type, rest: Any) -> list[Row]:
    first = node.schema.get("prefixItems")
    if isinstance(rest, (list, tuple)):  # before 2020-12
        first, rest = rest, node.schema.get("additionalItems")
    nodes = {index: node.checker.node(schema) for index, schema in enumerate(_list(first))}
    return [(_members, (nodes, node.checker.node(rest), ()))]


def _at_least(node: _Node, base: type, schema: Any) -> list[Row]:
    least = node.schema.get("minContains")
    row = (_contains, (node.checker.node(schema), least if isinstance(least, (int, float)) else 1))
    return [row] if isinstance(schema, (dict, bool)) else []


def _dependent(node: _Node, base: type, needed: Any) -> list[Row]:
    """Names, or a schema, that count if a property is there."""
    found: list[Row] = []
    for name, more in _named(needed).items():
        rows: list[Row] = [(_required, (_strings(more), f"missing beside {shown(name)}"))]
        found.append((_given, (_Rows(rows if _list(more) else node.same(more, base)), name)))
    return found


def _refer(node: _Node, base: type, reference: Any) -> list[Row]:
    return node.same(referred(node.checker.root, reference), base) if isinstance(reference, str) else []


def _all_of(node: _Node, base: type, schemas: Any) -> list[Row]:
    return [row for schema in _list(schemas) for row in node.same(schema, base)]


def _any_of(node: _Node, base: type, schemas: Any) -> list[Row]:
    choices = [node.checker.node(schema)[base] for schema in _list(schemas)]
    alike = [rows for rows in choices if rows and rows[0][0] is not _refuse]
    if not all(choices) or not choices:
        return []
    if not alike:
        return [(_refuse, tuple(dict.fromkeys([one for rows in choices for one in rows[0][1]])))]
    return [(_first, alike)] if len(alike) > 1 else [(_read, alike[0])]


_BASES = (dict, list, str, bool, int, float, type(None), object)
_ANY, _NUMBER = (object,), (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    **{"object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),)},
    **{"number": _NUMBER, "integer": _NUMBER},
}
_AGAIN = {_read, _first, _given, _contains}  # ask of a value, or of its items, what other schemas say
# Keyword -> the values it is about, and what makes rows of what it says. What is asked first is
# told first. Source: JSON Schema 2020-12, Core section 10 and Validation section 6; draft 7.
_KEYWORDS: dict[str, tuple[tuple[type, ...], Make]] = {
    "const": (_ANY, lambda node, base, value: _enum(node, base, [value])),
    "enum": (_ANY, _enum),
    "type": (_ANY, _type),
    "minimum": (_NUMBER, _limit("at least {}", operator.ge)),
    "maximum": (_NUMBER, _limit("at most {}", operator.le)),
    "exclusiveMinimum": (_NUMBER, _limit("more than {}", operator.gt)),
    "exclusiveMaximum": (_NUMBER, _limit("less than {}", operator.lt)),
    "multipleOf": (_NUMBER, _limit("a multiple of {}", _is_multiple)),
    "minLength": ((str,), _limit("at least {}", _is_long, "character characters")),
    "maxLength": ((str,), _limit("at most {}", _is_short, "character characters")),
    "minItems": ((list,), _limit("at least {}", _is_long, "item items")),
    "maxItems": ((list,), _limit("at most {}", _is_short, "item items")),
    "uniqueItems": ((list,), lambda node, base, asked: [(_unique, node.checker.key)] * (asked is True)),
    "prefixItems": ((list,), lambda node, base, _: [] if "items" in node.schema else _items(node, base, None)),
    "items": ((list,), _items),
    "contains": ((list,), _at_least),
    "properties": ((dict,), _properties),
    "additionalProperties": (
        (dict,),
        lambda node, base, _: [] if "properties" in node.schema else _properties(node, base, None),
    ),
    "required": ((dict,), lambda node, base, names: [(_required, (_strings(names), "missing"))]),
    "propertyNames": ((dict,), lambda node, base, schema: [(_names, node.checker.node(schema)[str])]),
    "minProperties": ((dict,), _limit("at least {}", _is_long, "property properties")),
    "maxProperties": ((dict,), _limit("at most {}", _is_short, "property properties")),
    "dependentRequired": ((dict,), _dependent),
    "dependentSchemas": ((dict,), _dependent),
    "dependencies": ((dict,), _dependent),
    "$ref": (_ANY, _refer),
    "allOf": (_ANY, _all_of),
    "anyOf": (_ANY, _any_of),
    "oneOf": (_ANY, _any_of),
}
