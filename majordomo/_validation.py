"""Whether a JSON value follows a JSON Schema that is a dict of the user's, and where it does not.

A schema of the user's may be odd, and is not ours to judge: what means nothing is ignored. A
value is a server's, and may be hostile: each part of it meets each part of the schema once,
whatever the references. Keywords are those of 2020-12 and their older forms. What is not
checked lets any value pass, also inside of `not`, `oneOf` and `if`:

- `format`, which the specification calls an annotation;
- `pattern` and `patternProperties`: Python's `re` knows no limit of time, so that a text made
  for it would hang the call. Beside `patternProperties`, properties of any name are let through;
- `unevaluatedItems` and `unevaluatedProperties`; `$dynamicRef`, `$id`, `$anchor` and references
  that need them, or that lead out of the schema, or back to where they stand.

`null` stands for an absent property where a property may be absent and may not be null: a
strict form of a schema makes each property required and nullable, and a server that was sent
one says null where it means nothing.
"""

from __future__ import annotations

import operator
from urllib.parse import unquote

from ._mismatch import Mismatch, expected, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ._mismatch import Problem, Step

    Prepare = Callable[[Any], Any]  # a keyword's value as `Apply` takes it; None if it means nothing
    Apply = Callable[["_Case", Any], None]
    Row = tuple[Any, Prepare, Apply]  # with the types of the values that the keyword is about

__all__ = ["check", "referred"]

_MOST_KEPT = 1000  # mismatches; an answer may have a million
_MOST_NAMED = 10  # values in a message
_ROUNDS = 4  # of leaving nulls out: what is left may follow another branch of the schema
_MOST_STEPS = 100  # references that are followed from one to the next
_HUGE = 10**400  # limits beyond say nothing of numbers that JSON can hold, and could not be told


def check(schema: Any, value: Any) -> Any:
    """The value, without the nulls that stand for absent properties; Mismatch, with all places, if it does not fit.

    What is given back follows the schema. It is the same object if nothing had to be left
    out, else a copy.
    """
    try:
        for _ in range(_ROUNDS):
            case = _Checker(schema).case(schema, value)
            if case.exact:
                return value
            if not case.has_nulls:
                raise Mismatch(_problems(case))
            value = _without(value, _nulls(case))
    except RecursionError:
        raise Mismatch([((), "nested too deeply")]) from None
    raise Mismatch([((), "expected no null for what is absent")])


def referred(root: Any, reference: str) -> Any:
    """What a reference into a schema names: `#`, or `#/` and a path from the root. None if that is nothing."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    place = root
    for step in unquote(reference).split("/")[1:]:
        if isinstance(place, (list, tuple)):
            place = place[int(step)] if step.isdecimal() and len(step) < 7 and int(step) < len(place) else None
        else:
            place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    return place


class _Case:
    """One value under one schema, and what comes of it.

    fits: whether it follows the schema, once what stands for absent properties is left out.
    exact: whether it does as it is. sure: whether all that the schema says was looked at.
    """

    fits = exact = sure = True
    texts: tuple[str, ...] = ()  # what is wrong with the value itself
    nulls: tuple[str, ...] = ()  # properties to leave out
    has_nulls = False  # here, or in a part
    wanted: tuple[str, ...] = ()  # types or values: the value should be one of them
    other_kind = False  # and is not even of the type of one
    faults = 0  # roughly, of the value and its members, to compare choices by

    def __init__(self, checker: _Checker, node: Any, value: Any) -> None:
        self.checker = checker
        self.node = node
        self.value = value
        self.parts: list[tuple[Step | None, _Case]] = []  # what is not exact; None leads to the value itself
        self.blamed: list[tuple[Step | None, _Case]] = []  # of choices that all failed, the likeliest

    def fail(self, text: str) -> None:
        self.fits = self.exact = False
        self.texts += (text,)
        self.faults += 1

    def want(self, wanted: tuple[str, ...], said: str = "", *, other_kind: bool) -> None:
        """Fail, for the value is none of these; said: the same in words."""
        self.wanted, self.other_kind = wanted, other_kind
        self.fail(_expected(said or _either(wanted), self.value))

    def fail_at(self, step: Step, text: str) -> None:
        """Fail for a member, which need not be there."""
        member = _Case(self.checker, None, None)
        member.fail(text)
        self.take(step, member)

    def must(self, schema: Any) -> None:
        """The value has to follow another schema, too."""
        self.take(None, self.checker.case(schema, self.value))

    def member(self, step: Any, schema: Any) -> None:
        """A member of the value has to follow a schema."""
        self.take(step, self.checker.case(schema, self.value[step]))

    def take(self, step: Step | None, case: _Case) -> None:
        """What came of a member, or (None) of the value itself, counts here."""
        if not case.sure:
            self.sure = False
        if not case.exact:
            self.exact = False
            self.fits = self.fits and case.fits
            self.has_nulls = self.has_nulls or case.has_nulls
            if case.has_nulls or len(self.parts) < _MOST_KEPT:
                self.parts.append((step, case))
            self.faults += case.faults if step is None else not case.fits
            if step is None:
                self.wanted = self.wanted or case.wanted
                self.other_kind = self.other_kind or case.other_kind

    def blame(self, step: Step | None, case: _Case) -> None:
        """Fail as one of several choices did; nothing is left out for its sake."""
        self.fits = self.exact = False
        self.blamed.append((step, case))
        self.faults += case.faults

    def has(self, name: str) -> bool:
        return name in self.value and name not in self.nulls


class _Checker:
    """One value on its way through one schema. Both stay as they are meanwhile, so that ids are names."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._plans: dict[tuple[int, type], tuple[list[tuple[Apply, Any]], dict[int, _Case] | None]] = {}
        self._choices: dict[int, tuple[set[str], tuple[str, ...], str, set[str]]] = {}
        self._keys: dict[int, str] = {}
        self._names: dict[tuple[str, ...], str] = {}

    def case(self, schema: Any, value: Any) -> _Case:
        """What a value comes to under a schema; looked into once, by however many ways one gets there."""
        place = (id(schema), type(value))
        plan = self._plans.get(place)
        if plan is None:
            plan = self._plans[place] = _plan(schema, type(value))
        rows, known = plan
        if not rows:
            return _FITS
        found = None if known is None else known.get(id(value))
        if found is None:
            if known is not None:
                known[id(value)] = _UNSURE  # of references that lead back here
            found = _Case(self, schema, value)
            for apply, argument in rows:
                apply(found, argument)
                if found.wanted:  # no need to tell the faults of what should be something else
                    break
            if found.exact:
                found = _FITS if found.sure else _UNSURE
            if known is not None:
                known[id(value)] = found
        return found

    def referred(self, reference: str) -> Any:
        return referred(self._root, reference)

    def followed(self, schema: Any) -> dict[str, Any]:
        """What a schema that is a reference stands for; nothing for what is no schema."""
        for _ in range(_MOST_STEPS):
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                break
            schema = self.referred(schema["$ref"])
        return schema if isinstance(schema, dict) else {}

    def choices(self, values: Any) -> tuple[set[str], tuple[str, ...], str, set[str]]:
        """The keys of the values of an `enum`, the values as they are told, one by one and as a whole, their types."""
        found = self._choices.get(id(values))
        if found is None:
            keys, kinds = set(), set()
            told: list[str] = []
            for value in values:
                key = self.key(value)
                if key is not None:
                    keys.add(key)
                    kinds.add(_kind(value))
                    told += [shown(value)] * (len(told) <= _MOST_NAMED)
            found = self._choices[id(values)] = (keys, tuple(told), _either(tuple(told)), kinds)
        return found

    def key(self, value: Any) -> str | None:
        """What equal JSON values have in common with no others; None for what is no JSON.

        It is a text because a server can make up numbers, but no texts, that all fall into
        one slot of a set. Each part of a value is looked into once.
        """
        try:
            return self._key(value)
        except TypeError:
            return None

    def _key(self, value: Any) -> str:
        if isinstance(value, str):
            return f'"{value}'
        if value is None or isinstance(value, bool):
            return str(value)
        if isinstance(value, (int, float)):
            return hex(int(value)) if isinstance(value, int) or value.is_integer() else value.hex()
        found = self._keys.get(id(value))
        if found is None:
            if isinstance(value, dict):
                parts = ("{", *[text for name in sorted(value) for text in (name, self._key(value[name]))])
            elif isinstance(value, (list, tuple)):
                parts = ("[", *[self._key(item) for item in value])
            else:
                raise TypeError(type(value).__name__)
            found = self._keys[id(value)] = self._names.setdefault(parts, f"#{len(self._names)}")
        return found


def _plan(schema: Any, kind: type) -> tuple[list[tuple[Apply, Any]], dict[int, _Case] | None]:
    """What a schema asks of values of a type; if other schemas are part of that, where to keep what came of it."""
    rows: list[tuple[Apply, Any]] = [(_is_finite, None)] if issubclass(kind, float) else []
    if schema is False:
        rows.append((_is_absent, None))
    flat = rows + _rows(_FLAT, schema, kind)
    deep = _rows(_DEEP, schema, kind)
    return flat + deep, {} if deep else None


def _rows(table: dict[str, Row], schema: Any, kind: type) -> list[tuple[Apply, Any]]:
    found = []
    for keyword, (kinds, prepare, apply) in table.items() if isinstance(schema, dict) else ():
        if keyword in schema and issubclass(kind, kinds) and not (kind is bool and kinds is _NUMBER):
            argument = prepare(schema[keyword])
            is_met = apply is _type and any([name in _ALWAYS.get(kind, ()) for name in argument or ()])
            if argument is not None and not is_met:
                found.append((apply, argument))
    return found


# --- what came of it


def _problems(case: _Case) -> list[Problem]:
    """The mismatches, each once, as far as they are kept."""
    found: dict[Problem, None] = {}
    seen = set()
    waiting: list[tuple[tuple[Step, ...], _Case]] = [((), case)]
    while waiting and len(found) < _MOST_KEPT:
        steps, case = waiting.pop()
        if not case.fits and (steps, id(case)) not in seen:
            seen.add((steps, id(case)))
            found.update(dict.fromkeys((steps, text) for text in case.texts))
            for step, part in reversed((*case.parts, *case.blamed)):
                waiting.append((steps if step is None else (*steps, step), part))
    return list(found)


def _nulls(case: _Case) -> dict[int, set[str]]:
    """The properties to leave out, by the id of the object that has them."""
    found: dict[int, set[str]] = {}
    seen = set()
    waiting = [case]
    while waiting:
        case = waiting.pop()
        if case.has_nulls and id(case) not in seen:
            seen.add(id(case))
            found.setdefault(id(case.value), set()).update(case.nulls)
            waiting += [part for _, part in case.parts]
    return found


def _without(value: Any, left_out: dict[int, set[str]]) -> Any:
    """A copy without these properties; of a value that has none, the value."""
    kept: Any
    if isinstance(value, dict):
        gone = left_out.get(id(value), ())
        kept = {name: _without(inner, left_out) for name, inner in value.items() if name not in gone}
        changed = len(kept) < len(value) or any([inner is not value[name] for name, inner in kept.items()])
    elif isinstance(value, list):
        kept = [_without(inner, left_out) for inner in value]
        changed = any([inner is not before for inner, before in zip(kept, value)])
    else:
        return value
    return kept if changed else value


def _expected(what: str, value: Any) -> str:
    return expected(what, value).problems[0][1]


def _either(wanted: tuple[str, ...]) -> str:
    """`integer or null`, `"a"`, `one of "a", "b"`."""
    if len(wanted) == 1 or all([one in _TYPES for one in wanted]):
        return " or ".join(wanted)
    return f"one of {', '.join(wanted[:_MOST_NAMED])}{', ...' * (len(wanted) > _MOST_NAMED)}"


def _together(cases: list[_Case]) -> tuple[str, ...]:
    """What is wanted by any of several."""
    return tuple(dict.fromkeys([one for case in cases for one in case.wanted]))[: _MOST_NAMED + 1]


def _kind(value: Any) -> str:
    """The JSON type of a value."""
    return next((name for name, is_one in _TYPES.items() if is_one(value)), "")


# --- what a keyword may say; None for what means nothing


def _number(argument: Any) -> Any:
    is_number = isinstance(argument, (int, float)) and not isinstance(argument, bool)
    return argument if is_number and -_HUGE < argument < _HUGE else None


def _positive(argument: Any) -> Any:
    return argument if _number(argument) is not None and argument > 0 else None


def _count(argument: Any) -> Any:
    return int(argument) if _number(argument) is not None and argument >= 0 and argument == int(argument) else None


def _true(argument: Any) -> Any:
    return True if argument is True else None


def _string(argument: Any) -> Any:
    return argument if isinstance(argument, str) else None


def _list(argument: Any) -> Any:
    return argument if isinstance(argument, (list, tuple)) and argument else None


def _only(argument: Any) -> Any:
    return (argument,)


def _types(argument: Any) -> Any:
    names = _list(argument) or (argument,)
    return tuple(names) if all([isinstance(name, str) and name in _TYPES for name in names]) else None


def _strings(argument: Any) -> Any:
    return [name for name in _list(argument) or () if isinstance(name, str)] or None


def _schema(argument: Any) -> Any:
    return argument if isinstance(argument, (dict, bool)) else None


def _schema_or_list(argument: Any) -> Any:
    return _list(argument) or _schema(argument)


def _named(argument: Any) -> Any:
    return argument if isinstance(argument, dict) and argument else None


# --- what a keyword asks of a value


def _is_finite(case: _Case, _: Any) -> None:
    if case.value - case.value != 0:
        case.want(("a finite number",), other_kind=True)


def _is_absent(case: _Case, _: Any) -> None:
    case.fail("not expected")
    case.other_kind = True


def _values(case: _Case, values: Any) -> None:
    keys, told, said, kinds = case.checker.choices(values)
    if keys and case.checker.key(case.value) not in keys:
        case.want(told, said, other_kind=_kind(case.value) not in kinds)


def _type(case: _Case, names: tuple[str, ...]) -> None:
    if not any([_TYPES[name](case.value) for name in names]):
        case.want(names, other_kind=True)


def _bound(what: str, fits: Callable[[Any, Any], bool]) -> Apply:
    """A limit. what: in words, with its place in them, and in the plural."""

    def apply(case: _Case, limit: Any) -> None:
        if not fits(case.value, limit):
            said = what.format(limit)
            case.fail(_expected(said[:-1] if limit == 1 and said.endswith("s") else said, case.value))

    return apply


def _is_long(value: Any, limit: int) -> bool:
    return len(value) >= limit


def _is_short(value: Any, limit: int) -> bool:
    return len(value) <= limit


def _decimal(number: Any) -> tuple[int, int]:
    """A number as it is written: (digits, power of ten)."""
    if isinstance(number, int):
        return number, 0
    digits, _, power = repr(number).partition("e")
    whole, _, rest = digits.partition(".")
    return int(whole + rest), int(power or 0) - len(rest)


def _is_multiple(value: Any, unit: Any) -> bool:
    """Whether it is, of the decimals that are written: 0.3 is no multiple of 0.1 in floats."""
    (digits, power), (unit_digits, unit_power) = _decimal(value), _decimal(unit)
    least = min(power, unit_power)
    return bool(digits * 10 ** (power - least) % (unit_digits * 10 ** (unit_power - least)) == 0)


def _unique(case: _Case, _: Any) -> None:
    seen = set()
    for index, item in enumerate(case.value):
        key = case.checker.key(item)
        if key in seen:
            case.fail_at(index, _expected("no item twice", item))
        elif key is not None:
            seen.add(key)


def _properties(case: _Case, schemas: dict[str, Any]) -> None:
    for name, schema in schemas.items():
        if name in case.value:
            member = case.checker.case(schema, case.value[name])
            if member.fits or case.value[name] is not None or name in (_strings(case.node.get("required")) or ()):
                case.take(name, member)
            else:
                case.nulls += (name,)
                case.exact, case.has_nulls = False, True


def _additional_properties(case: _Case, schema: Any) -> None:
    named = case.node.get("properties")
    if not _named(case.node.get("patternProperties")):
        for name in case.value:
            if not isinstance(named, dict) or name not in named:
                case.member(name, schema)


def _property_names(case: _Case, schema: Any) -> None:
    for name in case.value:
        found = case.checker.case(schema, name)
        case.sure = case.sure and found.sure
        for _, text in _problems(found):
            case.fail_at(name, f"its name: {text}")


def _required(case: _Case, names: list[str]) -> None:
    for name in names:
        if name not in case.value:
            case.fail_at(name, "missing")


def _dependent(case: _Case, needed: dict[str, Any]) -> None:
    """Names, or a schema, that count if a property is there."""
    for name, more in needed.items():
        if case.has(name):
            for other in _strings(more) or ():
                if not case.has(other):
                    case.fail_at(other, f"missing beside {shown(name)}")
            if _schema(more) is not None:
                case.must(more)


def _fewest_properties(case: _Case, limit: int) -> None:
    if len(case.value) - len(case.nulls) < limit:
        case.fail(_expected(f"at least {limit} propert{'y' if limit == 1 else 'ies'}", case.value))


def _most_properties(case: _Case, limit: int) -> None:
    if len(case.value) - len(case.nulls) > limit:
        case.fail(_expected(f"at most {limit} propert{'y' if limit == 1 else 'ies'}", case.value))


def _prefix_items(case: _Case, schemas: Any) -> None:
    for index, schema in enumerate(schemas[: len(case.value)]):
        case.member(index, schema)


def _items(case: _Case, schema: Any) -> None:
    first = _list(case.node.get("prefixItems")) or ()
    if isinstance(schema, (list, tuple)):
        _prefix_items(case, schema)
    else:
        for index in range(len(first), len(case.value)):
            case.member(index, schema)


def _additional_items(case: _Case, schema: Any) -> None:
    first = _list(case.node.get("items"))
    for index in range(len(first), len(case.value)) if first else ():
        case.member(index, schema)


def _contains(case: _Case, schema: Any) -> None:
    least, most = _count(case.node.get("minContains")), _count(case.node.get("maxContains"))
    least = 1 if least is None else least
    found = [one for one in [case.checker.case(schema, item) for item in case.value] if one.exact]
    sure = sum([one.sure for one in found])
    case.sure = case.sure and sure == len(found)
    if len(found) < least:
        case.fail(f"expected at least {least} that fit `contains`, got {len(found)}")
    if most is not None and sure > most:
        case.fail(f"expected at most {most} that fit `contains`, got {sure}")


def _all_of(case: _Case, schemas: Any) -> None:
    for schema in schemas:
        case.must(schema)


def _any_of(case: _Case, schemas: Any) -> None:
    choices = []
    for schema in schemas:
        choices.append(case.checker.case(schema, case.value))
        if choices[-1].exact:
            case.take(None, choices[-1])
            return
    fitting = [choice for choice in choices if choice.fits]
    if fitting:
        case.take(None, fitting[0])
    else:
        _blame(case, list(zip(schemas, choices)))


def _one_of(case: _Case, schemas: Any) -> None:
    choices = [case.checker.case(schema, case.value) for schema in schemas]
    fitting = [choice for choice in choices if choice.exact] or [choice for choice in choices if choice.fits]
    if sum([choice.sure for choice in fitting]) > 1:
        case.fail(_expected(f"what fits only one of {len(choices)} choices", case.value))
    elif fitting:
        case.take(None, fitting[0])
        case.sure = case.sure and len(fitting) == 1
    else:
        _blame(case, list(zip(schemas, choices)))


def _not(case: _Case, schema: Any) -> None:
    found = case.checker.case(schema, case.value)
    case.sure = case.sure and found.sure
    if found.exact and found.sure:
        case.fail(_expected("what does not fit `not`", case.value))


def _if(case: _Case, schema: Any) -> None:
    found = case.checker.case(schema, case.value)
    branch = case.node.get("then" if found.exact else "else")
    if found.exact and not found.sure:
        case.sure = False
    elif _schema(branch) is not None:
        case.must(branch)


def _refer(case: _Case, reference: str) -> None:
    named = case.checker.referred(reference)
    if _schema(named) is None:
        case.sure = False
    else:
        case.must(named)


def _unchecked(case: _Case, _: Any) -> None:
    case.sure = False


# --- which of several choices was meant


def _blame(case: _Case, choices: list[tuple[Any, _Case]]) -> None:
    """Fail, and tell what is most likely to help: what is wrong by the one choice that may have been meant."""
    alike = [choice for choice in choices if not choice[1].other_kind]
    if not alike:
        wanted = _together([choice for _, choice in choices])
        if wanted:
            case.want(wanted, other_kind=True)
        else:
            _is_absent(case, None)
        return
    alike = _tagged(case, alike) if len(alike) > 1 and isinstance(case.value, dict) else alike
    if len(alike) > 1:
        case.fail(f"fits none of {len(choices)} choices; to fit the nearest, mend what follows")
    if alike:
        nearest = min([choice for _, choice in alike], key=lambda choice: choice.faults)
        case.blame(None, nearest)


def _tagged(case: _Case, choices: list[tuple[Any, _Case]]) -> list[tuple[Any, _Case]]:
    """The choices by the property that tells them apart, if there is one; none, and it is told, if it fits none."""
    tags = [_tags(case, schema) for schema, _ in choices]
    for name in tags[0]:
        if all([name in tag for tag in tags]):
            meant = [choice for choice, tag in zip(choices, tags) if tag[name].fits]
            wanted = _together([tag[name] for tag in tags])
            if not meant and wanted:
                member = _Case(case.checker, None, case.value[name])
                member.want(wanted, other_kind=False)
                case.blame(name, member)
                return []
            if 0 < len(meant) < len(choices):
                return meant
    return choices


def _tags(case: _Case, schema: Any) -> dict[str, _Case]:
    """What comes of the members that a schema binds to certain values."""
    schemas = _named(case.checker.followed(schema).get("properties")) or {}
    found = {}
    for name, inner in schemas.items():
        node = case.checker.followed(inner)
        if name in case.value and ("const" in node or "enum" in node):
            found[name] = case.checker.case(inner, case.value[name])
    return found


_FITS, _UNSURE = _Case(_Checker(None), None, None), _Case(_Checker(None), None, None)
_UNSURE.sure = False

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}
# Type -> the JSON types that each value of it is of.
_ALWAYS: dict[type, tuple[str, ...]] = {
    **{dict: ("object",), list: ("array",), str: ("string",), bool: ("boolean",), type(None): ("null",)},
    **{int: ("integer", "number"), float: ("number",)},
}
_ANY, _NUMBER = object, (int, float)

# Keyword -> the values it is about, what it may say, what it asks. Those that fail first are
# told first. Source: JSON Schema Validation 2020-12, section 6.
_FLAT: dict[str, Row] = {
    "const": (_ANY, _only, _values),
    "enum": (_ANY, _list, _values),
    "type": (_ANY, _types, _type),
    "minimum": (_NUMBER, _number, _bound("at least {}", operator.ge)),
    "maximum": (_NUMBER, _number, _bound("at most {}", operator.le)),
    "exclusiveMinimum": (_NUMBER, _number, _bound("more than {}", operator.gt)),
    "exclusiveMaximum": (_NUMBER, _number, _bound("less than {}", operator.lt)),
    "multipleOf": (_NUMBER, _positive, _bound("a multiple of {}", _is_multiple)),
    "minLength": (str, _count, _bound("at least {} characters", _is_long)),
    "maxLength": (str, _count, _bound("at most {} characters", _is_short)),
    "minItems": (list, _count, _bound("at least {} items", _is_long)),
    "maxItems": (list, _count, _bound("at most {} items", _is_short)),
    "uniqueItems": (list, _true, _unique),
    "format": (str, _string, _unchecked),
    "pattern": (str, _string, _unchecked),
    "patternProperties": (dict, _named, _unchecked),
    "unevaluatedItems": (list, _schema, _unchecked),
    "unevaluatedProperties": (dict, _schema, _unchecked),
    "$dynamicRef": (_ANY, _string, _unchecked),
}
# The same for those that hold schemas, and those that ask what is left when these are done.
# Source: JSON Schema Core 2020-12, sections 8 and 10; draft 7 for the older ones.
_DEEP: dict[str, Row] = {
    "$ref": (_ANY, _string, _refer),
    "properties": (dict, _named, _properties),
    "required": (dict, _strings, _required),
    "additionalProperties": (dict, _schema, _additional_properties),
    "propertyNames": (dict, _schema, _property_names),
    "minProperties": (dict, _count, _fewest_properties),
    "maxProperties": (dict, _count, _most_properties),
    "dependentRequired": (dict, _named, _dependent),
    "dependentSchemas": (dict, _named, _dependent),
    "dependencies": (dict, _named, _dependent),
    "prefixItems": (list, _list, _prefix_items),
    "items": (list, _schema_or_list, _items),
    "additionalItems": (list, _schema, _additional_items),
    "contains": (list, _schema, _contains),
    "allOf": (_ANY, _list, _all_of),
    "anyOf": (_ANY, _list, _any_of),
    "oneOf": (_ANY, _list, _one_of),
    "not": (_ANY, _schema, _not),
    "if": (_ANY, _schema, _if),
}
