"""Types as schemas: the schema of a large dataclass, and answers read back against `json.loads` alone."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Optional

import _measure

from majordomo import schema
from majordomo._types import Root

RECORDS = 1000
FIELDS = 50


class Status(enum.Enum):
    OPEN = "open"
    PAID = "paid"


@dataclasses.dataclass
class Line:
    article: str
    count: int
    price: float


@dataclasses.dataclass
class Invoice:
    number: int
    customer: str
    paid: bool
    total: float
    status: Status
    due: datetime.date
    note: str | None
    lines: list[Line]
    tags: list[str] = dataclasses.field(default_factory=list)


Large = dataclasses.make_dataclass(
    "Large", [(f"field_{n}", [int, str, float, Optional[str], list[int]][n % 5]) for n in range(FIELDS)]
)


def record(number: int) -> dict:
    lines = [{"article": f"article {n} of {number}", "count": n, "price": n + 0.5} for n in range(3)]
    return {
        "number": number,
        "customer": f"Somebody of No. {number}",
        "paid": number % 2 == 0,
        "total": 12.5 + number,
        "status": "open",
        "due": "2026-11-22",
        "note": None if number % 3 else "in a hurry",
        "lines": lines,
        "tags": ["a", "b"],
    }


def main() -> None:
    schema.json_schema(Large)
    made = _measure.in_turns(
        9,
        cached=lambda: _measure.cpu(lambda: schema.json_schema(Large), 2000),
        fresh=lambda: _measure.cpu(lambda: Root(Large), 5),
    )
    first = f"(made anew {made['fresh'] * 1e3:.1f} ms)"
    _measure.row(f"schema of {FIELDS} fields, kept {first}", f"{made['cached'] * 1e3:.4f} ms", "at most 1 ms")
    for what, text, of in (
        ("invoices", json.dumps([record(n) for n in range(RECORDS)]), list[Invoice]),
        ("lines", json.dumps([line for n in range(RECORDS) for line in record(n)["lines"][:1]]), list[Line]),
    ):
        found = _measure.in_turns(
            15,
            hand=lambda text=text: _measure.cpu(lambda: json.loads(text), 10),
            ours=lambda text=text, of=of: _measure.cpu(lambda: schema.read_answer(text, of), 10),
        )
        figure = f"{found['ours'] / found['hand']:.2f} of loads"
        _measure.row(f"{RECORDS} {what} read (loads {found['hand'] * 1e3:.1f} ms)", figure, "at most 3")


if __name__ == "__main__":
    main()
