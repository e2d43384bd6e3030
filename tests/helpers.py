"""What several test modules share: a clock that only sleeping moves, and targets that follow a script."""

from __future__ import annotations

import copy

from majordomo import Capabilities, Done, Model, Provider, Registry, Response, TextDelta, assistant


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Takes:
    """A step that needs some time; a target that keeps its deadline gives up when that comes first."""

    def __init__(self, seconds: float, step="too late", obedient: bool = True) -> None:
        self.seconds, self.step, self.obedient = seconds, step, obedient


HANGS = Takes(float("inf"))


class Scripted(Model):
    """A target that plays its script, then repeats the last step.

    A step is an answer (str), an exception, a `Takes`, a function that makes one of these,
    or, for a stream, a list of pieces, of which each is such a step.
    """

    def __init__(self, lab: Lab, name: str, script, capabilities=Capabilities(), default_timeout=600.0) -> None:
        self.lab, self.name, self.script = lab, name, list(script)
        self.capabilities, self.default_timeout = capabilities, default_timeout
        self.requests, self.spans, self.limits, self.closed = [], [], [], 0

    def complete(self, request, deadline):
        return self._answer(self._said(self._asked(request, deadline), deadline))

    def events(self, request, deadline):
        step = self._asked(request, deadline)
        pieces = step if isinstance(step, list) else [step]
        told = []
        try:
            for piece in pieces:
                told.append(self._said(piece, deadline))
                yield TextDelta(told[-1])
            yield Done(self._answer("".join(told)))
        finally:
            self.closed += 1

    def _asked(self, request, deadline):
        self.lab.asked.append(self.name.partition("/")[2])
        self.requests.append(request)
        self.spans.append(deadline.left())
        self.limits.append(deadline.limit)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def _said(self, step, deadline):
        while not isinstance(step, (str, BaseException)):
            if isinstance(step, Takes):
                fits = step.seconds < deadline.left() or not step.obedient
                self.lab.clock.now += step.seconds if fits else deadline.left()
                if step.obedient:
                    deadline.require()
                step = step.step
            else:
                step = step()
        if isinstance(step, BaseException):
            raise step
        return step

    def _answer(self, text):
        return Response(assistant(text))


class Lab(Provider):
    """Scripted targets `lab/NAME` in a registry whose time is a `Clock`.

    targets: name -> script, or (script, keywords of `Scripted`). settings: those of `Registry`.
    """

    name = "lab"

    def __init__(self, targets, jitter: float = 1.0, **settings) -> None:
        self.clock, self.asked, self.noted = Clock(), [], []
        settings.setdefault("on_attempt", self.noted.append)
        self.registry = Registry({}, clock=self.clock, sleep=self.clock.sleep, random=lambda: jitter, **settings)
        self.registry.register_provider("lab", self)
        self.targets = {}
        for name, script in targets.items():
            script, keywords = script if isinstance(script, tuple) else (script, {})
            script = script if isinstance(script, list) else [script]
            self.targets[name] = Scripted(self, f"lab/{name}", script, **keywords)
        self.chain = self.parse(*self.targets)

    def model(self, id: str) -> Model:
        return self.targets[id]

    def parse(self, *names: str):
        return self.registry.parse(", ".join(f"lab/{name}" for name in names))

    def cooldowns(self):
        """Seconds until due, by target name."""
        found = self.registry.health.snapshot()
        return {key.partition(" ")[0].partition("/")[2]: round(row["seconds"], 6) for key, row in found.items()}


def outcomes(attempts):
    """Attempts in short: `[("a", "failed", "transient"), ...]`."""
    return [(a.target.partition("/")[2], a.outcome, a.kind.value if a.kind else None) for a in attempts]


# Bodies and values that no server should send.

ODD_BODIES = [
    "",
    " ",
    "{",
    "[",
    "[]",
    "{}",
    "null",
    "7",
    '"x"',
    "[[[[1]]]]",
    '{"error": 7}',
    '{"error": {"message": {}}}',
    "\x00",
    "<",
]
ODD_BODIES += ["[" * depth + "]" * depth for depth in (500, 900, 980, 2000, 100_000)]
ODD_BODIES += ['{"error": {"code": "0429' + "0" * 5000 + '"}}', '{"error": {"code": ' + "4" * 5000 + "}}"]
ODD_BODIES += [
    '{"error": {"code": 1e999, "message": NaN}}',
    '{"detail": [{"loc": {}, "msg": []}]}',
    '{"error": {"code": {}, "type": []}}',
]

ODD_VALUES = [
    None,
    True,
    False,
    0,
    -1,
    7,
    10**30,
    0.5,
    float("nan"),
    "",
    "x",
    "null",
    "[DONE]",
    [],
    [None],
    {},
    {"error": "x"},
    {"": {}},
]


def mutated(value, rng):
    """A JSON value with one random place changed: a wrong type, a missing, doubled or foreign member."""
    if rng.random() < 0.12 or not isinstance(value, (dict, list)) or not value:
        return copy.deepcopy(rng.choice(ODD_VALUES))
    if isinstance(value, list):
        at = rng.randrange(len(value))
        changed = value[:]
        changed[at] = mutated(value[at], rng)
        return [*changed, value[at]] if rng.random() < 0.1 else changed
    name = rng.choice(list(value))
    if rng.random() < 0.15:
        return {key: inner for key, inner in value.items() if key != name}
    if rng.random() < 0.1:
        return {
            **value,
            rng.choice(["error", "message", "choices", "usage", "detail", "x_groq"]): rng.choice(ODD_VALUES),
        }
    return {**value, name: mutated(value[name], rng)}


def told_of(wire, request, quirks, **more):
    """What a wire says of a request that it does not send as asked."""
    told: list[str] = []
    wire.encode(request, "m", quirks, told=told, **more)
    return tuple(told)
