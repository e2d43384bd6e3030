"""Failover: what each failure means, who is asked when, for how long, and what is told of it."""

from __future__ import annotations

import gc
import logging
import math
import pickle
import threading

import pytest
from helpers import HANGS, Clock, Lab, Takes, outcomes

from majordomo import (
    APIError,
    Capabilities,
    ChainError,
    ConfigError,
    DeadlineError,
    Done,
    ErrorKind,
    Image,
    MajordomoError,
    Model,
    ProtocolError,
    Provider,
    Registry,
    Request,
    Response,
    Stream,
    TextDelta,
    Tool,
    TransportError,
    TruncatedError,
    UnsupportedError,
    assistant,
    media,
    user,
)
from majordomo.testing import RED, FakeServer, Reply, Status, cut, dead_port, hang

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
TOKEN = "sk-secret-0123456789"

# name: (maker of the error, kind, seconds of cooldown or None, tried again in the same call)
KINDS = {
    "refused or reset": (lambda: TransportError("refused"), ErrorKind.TRANSIENT, 1, True),
    "cut": (lambda: TruncatedError("cut"), ErrorKind.TRANSIENT, 1, True),
    "no sense in a 2xx": (lambda: ProtocolError("no JSON"), ErrorKind.TRANSIENT, 1, True),
    "attempt timed out": (lambda: DeadlineError("slow", limit="attempt_timeout"), ErrorKind.TRANSIENT, 1, True),
    "silent stream": (lambda: DeadlineError("slow", limit="idle_timeout"), ErrorKind.TRANSIENT, 1, True),
    **{
        str(status): (lambda status=status: APIError(status), ErrorKind.TRANSIENT, 1, True)
        for status in (408, 409, 425, 500, 502, 503, 504, 529, 599)
    },
    "429": (lambda: APIError(429), ErrorKind.RATE_LIMITED, 1, True),
    "429, Retry-After": (lambda: APIError(429, retry_after=30), ErrorKind.RATE_LIMITED, 30, True),
    "503, Retry-After": (lambda: APIError(503, retry_after=30), ErrorKind.TRANSIENT, 30, True),
    "429, Retry-After of a week": (lambda: APIError(429, retry_after=604800), ErrorKind.RATE_LIMITED, 86400, False),
    "402": (lambda: APIError(402), ErrorKind.QUOTA, 300, False),
    "429, quota": (lambda: APIError(429, code="insufficient_quota"), ErrorKind.QUOTA, 300, False),
    "401": (lambda: APIError(401), ErrorKind.AUTH, 1, False),
    "403": (lambda: APIError(403), ErrorKind.AUTH, 1, False),
    "404": (lambda: APIError(404), ErrorKind.NOT_FOUND, 1, False),
    "301": (lambda: APIError(301), ErrorKind.CONFIG, None, False),
    "302": (lambda: APIError(302), ErrorKind.CONFIG, None, False),
    "no key": (lambda: ConfigError("no key"), ErrorKind.CONFIG, None, False),
    "certificate": (lambda: TransportError("not verified", code="certificate"), ErrorKind.CONFIG, None, False),
    "cannot": (lambda: UnsupportedError("no images"), ErrorKind.UNSUPPORTED, None, False),
    "server says it cannot": (lambda: APIError(500, code="images_not_supported"), ErrorKind.UNSUPPORTED, None, False),
    "413": (lambda: APIError(413), ErrorKind.TOO_LONG, None, False),
    "too long": (lambda: APIError(400, code="context_length_exceeded"), ErrorKind.TOO_LONG, None, False),
    "filtered": (lambda: APIError(400, code="content_filter"), ErrorKind.FILTERED, None, False),
    "400": (lambda: APIError(400), ErrorKind.INVALID, None, False),
    "422": (lambda: APIError(422), ErrorKind.INVALID, None, False),
    "unknown 4xx": (lambda: APIError(418), ErrorKind.INVALID, None, False),
}
each_kind = pytest.mark.parametrize(("fails", "kind", "cooldown", "again"), KINDS.values(), ids=KINDS)


def streamed(chain, **options):
    """The text of an answer that was asked for as a stream."""
    with chain.stream("Hi", **options) as stream:
        text = "".join(stream.text_deltas())
        assert text == stream.response.text
        return stream.response


def asked_whole(chain, **options):
    return chain.generate("Hi", **options)


both_ways = pytest.mark.parametrize("ask", [asked_whole, streamed], ids=["generate", "stream"])


# What a failure means


@both_ways
@each_kind
def test_every_kind_of_failure_leads_to_the_next_target(fails, kind, cooldown, again, ask):
    """Whatever went wrong with the first target, the second one answers, at once, and the story says so."""
    error = fails()
    lab = Lab({"a": error, "b": "yes"})
    reply = ask(lab.chain)
    assert reply.text == "yes"
    assert reply.model == "lab/b"
    assert [(a.target, a.outcome, a.kind) for a in reply.attempts] == [
        ("lab/a", "skipped" if isinstance(error, UnsupportedError) else "failed", kind),
        ("lab/b", "answered", None),
    ]
    assert lab.asked == ["a", "b"]
    assert lab.clock.slept == []


@both_ways
@each_kind
def test_only_what_is_broken_cools_down(fails, kind, cooldown, again, ask):
    """A cooldown is earned by what says something of the target, not of the request or the settings."""
    lab = Lab({"a": fails(), "b": "yes"})
    ask(lab.chain)
    assert lab.cooldowns() == ({} if cooldown is None else {"a": cooldown})


@both_ways
@each_kind
def test_only_what_may_pass_is_tried_again(fails, kind, cooldown, again, ask):
    """Alone in its chain, a target is asked retries + 1 times if the failure may pass, else once."""
    error = fails()
    lab = Lab({"a": error}, retries=2)
    with pytest.raises(type(error)):
        ask(lab.chain)
    assert len(lab.asked) == (3 if again else 1)


@pytest.mark.parametrize(
    ("script", "due"),
    [
        ([APIError(500)] * 1, 1),
        ([APIError(500)] * 2, 2),
        ([APIError(500)] * 5, 16),
        ([APIError(500)] * 9, 256),
        ([APIError(500)] * 10, 300),
        ([APIError(500)] * 40, 300),
        ([APIError(402), APIError(500)], 300),
        ([APIError(429, retry_after=1000), APIError(500)], 1000),
        ([APIError(500), APIError(400)], 1),
    ],
)
def test_a_cooldown_doubles_and_is_never_shortened(script, due):
    """1 s to 5 min, doubled by each failure in a row; neither a later failure nor a wrong request shortens it."""
    lab = Lab({"a": script}, retries=0)
    for _ in script:
        with pytest.raises(APIError):
            lab.chain.generate("Hi")
    assert lab.cooldowns() == {"a": due}


def test_a_success_clears_the_cooldown():
    """One answer, and the target is as good as new."""
    lab = Lab({"a": [APIError(500), APIError(500), "yes"]}, retries=0)
    for _ in range(2):
        with pytest.raises(APIError):
            lab.chain.generate("Hi")
    assert lab.chain.generate("Hi").text == "yes"
    assert lab.cooldowns() == {}


def test_health_is_kept_per_target_and_base_url():
    """The same name at another address starts with a clean slate."""
    clock = Clock()
    environ = {"LLM_BOX": f"openai+http://127.0.0.1:{dead_port()}"}
    registry = Registry(environ, clock=clock, sleep=clock.sleep, retries=0)
    with pytest.raises(TransportError):
        registry.parse("box/m").generate("Hi", timeout=5)
    with FakeServer() as server:
        environ["LLM_BOX"] = server.dsn("openai")
        reply = registry.parse("box/m").generate("Hi", timeout=5)
    assert outcomes(reply.attempts) == [("m", "answered", None)]


def test_health_can_be_read_and_reset():
    """Whoever has mended a server can say so, for one target or for all."""
    lab = Lab({"a": APIError(500), "b": APIError(402)}, retries=0)
    with pytest.raises(ChainError):
        lab.chain.generate("Hi")
    (key,) = [key for key in lab.registry.health.snapshot() if key.startswith("lab/a")]
    assert lab.registry.health.snapshot()[key] == {"state": "open", "failures": 1, "seconds": 1.0}
    lab.registry.health.reset("lab/a")
    assert lab.cooldowns() == {"b": 300}
    lab.registry.health.reset()
    assert lab.cooldowns() == {}


def test_models_without_a_name_are_not_mixed_up():
    """A target is named by the spec, also if its provider did not name it: for health and in the story."""

    class Nameless(Model):
        def __init__(self, id):
            self.id = id

        def complete(self, request, deadline):
            if self.id == "bad":
                raise APIError(500)
            return Response(assistant("yes"))

    class Mine(Provider):
        def model(self, id):
            return Nameless(id)

    registry = Registry({})
    registry.register_provider("Mine", Mine())
    reply = registry.parse("mine/bad, mine/good").generate("Hi")
    assert [a.target for a in reply.attempts] == ["mine/bad", "mine/good"]
    assert reply.model == "mine/good"
    assert registry.parse("mine/good").generate("Hi").attempts[0].outcome == "answered"


# Passes, retries and waits


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
@both_ways
def test_each_target_is_asked_retries_plus_one_times(retries, ask):
    """N retries are N further passes over all that may pass, in order: N + 1 requests a target."""
    lab = Lab({"a": APIError(503), "b": TransportError("reset"), "c": APIError(429)}, retries=retries)
    with pytest.raises(ChainError):
        ask(lab.chain)
    assert lab.asked == ["a", "b", "c"] * (retries + 1)


def test_later_passes_are_for_those_that_may_pass():
    """A wrong key is asked once, however many passes there are; a late answer still counts."""
    lab = Lab({"a": APIError(401), "b": [APIError(503), APIError(503), "yes"], "c": APIError(400)})
    assert lab.chain.generate("Hi").text == "yes"
    assert lab.asked == ["a", "b", "c", "b", "b"]


def test_a_failure_that_cannot_pass_ends_the_retries_of_a_target():
    """What a target said last decides."""
    lab = Lab({"a": [APIError(503), APIError(401)], "b": APIError(400)}, retries=5)
    with pytest.raises(ChainError):
        lab.chain.generate("Hi")
    assert lab.asked == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("jitter", "waits"), [(1.0, [0.5, 1, 2, 4, 8, 8, 8]), (0.5, [0.25, 0.5, 1, 2, 4, 4, 4]), (0.0, [])]
)
def test_the_backoff_doubles_up_to_its_cap_with_full_jitter(jitter, waits):
    """Between passes: something from 0 to 0.5 s, 1 s, 2 s ... 8 s."""
    lab = Lab({"a": APIError(503), "b": APIError(503)}, jitter=jitter, retries=7)
    with pytest.raises(ChainError):
        lab.chain.generate("Hi")
    assert [wait for wait in lab.clock.slept if wait] == waits


@pytest.mark.parametrize(("wait", "moments"), [(0.1, [0, 0.5, 1.5]), (3.0, [0, 3, 6]), (0.7, [0, 0.7, 1.7])])
def test_retry_after_is_a_floor_of_the_backoff(wait, moments):
    """A target is never asked again before its Retry-After, and the backoff is not added to it."""
    lab = Lab({"a": APIError(429, retry_after=wait)})
    began, seen = lab.clock(), []
    lab.targets["a"].script = [lambda: seen.append(lab.clock() - began) or APIError(429, retry_after=wait)]
    with pytest.raises(APIError):
        lab.chain.generate("Hi")
    assert seen == pytest.approx(moments)


def test_the_latest_retry_after_counts():
    """An older, longer one is forgotten."""
    lab = Lab({"a": [APIError(429, retry_after=2), APIError(429, retry_after=4), "yes"]})
    lab.chain.generate("Hi")
    assert sum(lab.clock.slept) == pytest.approx(6)


@pytest.mark.parametrize("timeout", [10, None])
@pytest.mark.parametrize("retries", [1, 2, 5])
def test_a_retry_after_that_does_not_fit_is_not_waited_for(timeout, retries):
    """The error comes at once, no second is slept for nothing, and the target cools down for that long."""
    lab = Lab({"a": APIError(429, retry_after=1000)}, retries=retries)
    with pytest.raises(APIError) as caught:
        lab.chain.generate("Hi", timeout=timeout)
    assert lab.asked == ["a"]
    assert sum(lab.clock.slept) == 0
    assert caught.value.retry_after == 1000
    assert lab.cooldowns() == {"a": 1000}


def test_a_retry_after_that_does_not_fit_does_not_hold_up_the_others():
    """They have all their passes."""
    lab = Lab({"a": APIError(429, retry_after=1000), "b": APIError(503), "c": APIError(503)})
    with pytest.raises(ChainError):
        lab.chain.generate("Hi", timeout=100)
    assert lab.asked == ["a", "b", "c", "b", "c", "b", "c"]
    assert lab.clock.slept == [0.5, 1.0]


def test_targets_that_are_ready_go_first_in_later_passes():
    """Who must wait for its Retry-After lets the others go first."""
    lab = Lab({"a": APIError(429, retry_after=20), "b": APIError(503), "c": APIError(429, retry_after=5)}, retries=1)
    with pytest.raises(ChainError):
        lab.chain.generate("Hi")
    assert lab.asked == ["a", "b", "c", "b", "c", "a"]


def test_a_cooldown_earned_in_a_call_does_not_stop_its_later_passes():
    """It is for other calls; this one has its retries."""
    lab = Lab({"a": [APIError(500), "yes"]})
    reply = lab.chain.generate("Hi")
    assert outcomes(reply.attempts) == [("a", "failed", "transient"), ("a", "answered", None)]
    assert lab.clock.slept == [0.5]


def test_no_backoff_is_slept_past_the_deadline():
    """A wait that would end after the timeout is not begun."""
    lab = Lab({"a": APIError(503)}, retries=9)
    with pytest.raises(APIError):
        lab.chain.generate("Hi", timeout=4)
    assert sum(lab.clock.slept) < 4
    assert lab.asked == ["a"] * 4


# The deadline


@both_ways
def test_the_timeout_is_shared_fairly(ask):
    """Three hung targets have a third each; what one leaves over is the others'."""
    lab = Lab({"a": HANGS, "b": HANGS, "c": HANGS})
    with pytest.raises(DeadlineError) as caught:
        ask(lab.chain, timeout=12)
    assert [target.spans for target in lab.targets.values()] == [[4], [4], [4]]
    assert lab.clock() == 1012
    assert outcomes(caught.value.attempts) == [
        ("a", "failed", "transient"),
        ("b", "failed", "transient"),
        ("c", "failed", "deadline"),
    ]


@both_ways
def test_a_quick_failure_leaves_its_part_to_the_others(ask):
    """Parts are of what remains."""
    lab = Lab({"a": Takes(1, APIError(500)), "b": HANGS, "c": Takes(4, "yes")})
    assert ask(lab.chain, timeout=13).text == "yes"
    assert [target.spans for target in lab.targets.values()] == [[pytest.approx(13 / 3)], [6], [6]]


@both_ways
def test_a_hung_first_target_leaves_the_next_one_time(ask):
    """Half the timeout is enough for the second of two, and the first one cools down."""
    lab = Lab({"a": HANGS, "b": Takes(4, "yes")})
    reply = ask(lab.chain, timeout=10)
    assert outcomes(reply.attempts) == [("a", "failed", "transient"), ("b", "answered", None)]
    assert lab.registry.health.snapshot()["lab/a"]["failures"] == 1


def test_a_target_that_cools_down_is_left_its_part_too():
    """It comes last and it does come: a hung healthy target does not take its time away."""
    lab = Lab({"a": [HANGS], "b": [APIError(500), "yes"]}, retries=0)
    with pytest.raises(APIError):
        lab.parse("b").generate("Hi")
    assert lab.chain.generate("Hi", timeout=1.0).text == "yes"


@pytest.mark.parametrize(
    ("timeout", "spans"),
    [
        (None, [[3], [3]]),
        (100, [[3], [3]]),
        (5, [[3], [2]]),
        (math.inf, [[3], [3]]),
    ],
)
def test_attempt_timeout_sets_the_part_by_hand(timeout, spans):
    """For every target, the last one too; the fair part is not taken then, the call's end still holds."""
    lab = Lab({"a": HANGS, "b": HANGS}, attempt_timeout=3, retries=0)
    with pytest.raises((ChainError, DeadlineError)):
        lab.chain.generate("Hi", timeout=timeout)
    assert [target.spans for target in lab.targets.values()] == [[pytest.approx(s) for s in row] for row in spans]


def test_a_hung_attempt_is_tried_again_within_the_timeout():
    """An attempt's limit is no verdict on the call: there are later passes."""
    lab = Lab({"a": [HANGS, Takes(1, "yes")]}, attempt_timeout=3)
    reply = lab.chain.generate("Hi", timeout=60)
    assert outcomes(reply.attempts) == [("a", "failed", "transient"), ("a", "answered", None)]


@both_ways
def test_without_a_timeout_each_attempt_has_its_targets_default(ask):
    """Ten minutes for one, an hour for the other, and no common limit."""
    lab = Lab({"a": ([HANGS], {"default_timeout": 600}), "b": ([HANGS], {"default_timeout": 3600})}, retries=1)
    with pytest.raises(ChainError):
        ask(lab.chain)
    assert [target.spans for target in lab.targets.values()] == [[600, 600], [3600, 3600]]


def test_a_registrys_timeout_holds_for_calls_that_give_none():
    """And the call's own wins."""
    lab = Lab({"a": "yes"}, timeout=7)
    lab.chain.generate("Hi")
    lab.chain.generate("Hi", timeout=3)
    assert lab.targets["a"].spans == [7, 3]


def test_infinity_waits_for_ever():
    """`math.inf` overrides the target's default."""
    lab = Lab({"a": "yes"})
    lab.chain.generate("Hi", timeout=math.inf)
    assert lab.targets["a"].spans == [math.inf]


def test_the_deadline_error_tells_who_was_tried_and_who_had_no_turn():
    """The timeout, the targets tried, the targets that had no turn, and the attempts."""
    stubborn = Takes(20, TransportError("reset"), obedient=False)
    lab = Lab({"a": stubborn, "b": "yes", "c": "yes"})
    with pytest.raises(DeadlineError) as caught:
        lab.chain.generate("Hi", timeout=10)
    assert str(caught.value) == "no answer within the timeout of 10 s; tried lab/a; no turn for lab/b, lab/c"
    assert caught.value.limit == "timeout"
    assert isinstance(caught.value, TimeoutError)
    assert lab.asked == ["a"]


def test_who_had_no_turn_has_not_failed():
    """The story holds attempts that were made: a target that was never asked is not among the failed."""
    stubborn = Takes(20, TransportError("reset"), obedient=False)
    lab = Lab({"a": stubborn, "b": "yes"})
    with pytest.raises(DeadlineError) as caught:
        lab.chain.generate("Hi", timeout=10)
    assert [a.target for a in caught.value.attempts if a.outcome == "failed"] == ["lab/a"]
    assert lab.noted == list(caught.value.attempts)


@pytest.mark.parametrize("first", [None, APIError(400), APIError(503)], ids=["alone", "after a 400", "after a 503"])
@pytest.mark.parametrize("retries", [0, 2])
def test_a_timeout_that_ran_out_is_always_a_deadline_error(first, retries):
    """Whatever the last target said when the time was over."""
    targets = {} if first is None else {"a": first}
    lab = Lab({**targets, "z": Takes(20, TransportError("reset"), obedient=False)}, retries=retries)
    with pytest.raises(DeadlineError, match="tried .*lab/z"):
        lab.chain.generate("Hi", timeout=10)


@both_ways
def test_the_deadline_stops_the_chain_and_cools_nobody_down(ask):
    """The caller's own timeout says nothing of the last target."""
    lab = Lab({"a": HANGS})
    with pytest.raises(DeadlineError) as caught:
        ask(lab.chain, timeout=10)
    assert lab.asked == ["a"]
    assert lab.cooldowns() == {}
    assert "tried lab/a" in str(caught.value)
    assert outcomes(caught.value.attempts) == [("a", "failed", "deadline")]


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, math.nan, -math.inf, "5", b"5", True, False, [5], object()])
@pytest.mark.parametrize("ask", ["generate", "stream"])
def test_timeouts_that_are_none_are_refused_before_anything_is_sent(timeout, ask):
    """0, negatives, NaN and what is no number are a ConfigError, at the call, not at the first event."""
    lab = Lab({"a": "yes"})
    with pytest.raises(ConfigError):
        getattr(lab.chain, ask)("Hi", timeout=timeout)
    assert lab.asked == []


@pytest.mark.parametrize("setting", ["timeout", "attempt_timeout", "idle_timeout"])
@pytest.mark.parametrize("value", [0, -1, math.nan, "5", True])
def test_a_registry_refuses_limits_that_are_none(setting, value):
    """When it is built, with the setting's name."""
    with pytest.raises(ConfigError, match=setting):
        Registry({}, **{setting: value})


@pytest.mark.parametrize("value", [-1, 1.5, "2", None, True])
def test_a_registry_refuses_retries_that_are_no_count(value):
    """A whole number from 0."""
    with pytest.raises(ConfigError, match="retries"):
        Registry({}, retries=value)


def test_a_chain_within_a_chain_keeps_the_outer_timeout():
    """`timeout` bounds the whole call, also where a provider of one's own gives a chain."""
    inner = Lab({"a": HANGS, "b": HANGS})

    class Mine(Provider):
        def model(self, id):
            return inner.chain

    registry = Registry({}, clock=inner.clock, sleep=inner.clock.sleep, retries=0)
    registry.register_provider("mine", Mine())
    with pytest.raises(MajordomoError):
        registry.parse("mine/x, mine/y").generate("Hi", timeout=10)
    assert inner.clock() <= 1010


# Targets that cool down


def cooled(lab, **seconds):
    """Let targets cool down for so long."""
    for name, wait in seconds.items():
        lab.registry.health.failed(f"lab/{name}", ErrorKind.RATE_LIMITED, lab.clock(), wait)


@both_ways
def test_a_target_that_cools_down_is_passed_over(ask):
    """And it is told, with the seconds that are left."""
    lab = Lab({"a": "a!", "b": "b!"})
    cooled(lab, a=30)
    reply = ask(lab.chain)
    assert reply.text == "b!"
    assert outcomes(reply.attempts) == [("a", "skipped", None), ("b", "answered", None)]
    assert reply.attempts[0].error == "cooling down for 30.0 s more"
    assert lab.asked == ["b"]


def test_targets_that_cool_down_come_last_soonest_due_first():
    """A chain never refuses without having tried."""
    lab = Lab(dict.fromkeys("abcd", APIError(400)))
    cooled(lab, a=30, b=10, d=20)
    with pytest.raises(ChainError) as caught:
        lab.chain.generate("Hi")
    assert lab.asked == ["c", "b", "d", "a"]
    assert [a.outcome for a in caught.value.attempts].count("skipped") == 3


def test_a_lone_target_that_cools_down_is_tried():
    """There is nobody else."""
    lab = Lab({"a": "yes"})
    cooled(lab, a=3000)
    assert lab.chain.generate("Hi").text == "yes"
    assert lab.cooldowns() == {}


def test_a_cooldown_that_is_over_is_ended_by_one_probe():
    """Half-open: the target has its old place again, and its answer clears it."""
    lab = Lab({"a": "a!", "b": "b!"})
    cooled(lab, a=30)
    lab.clock.now += 30
    assert lab.registry.health.snapshot()["lab/a"]["state"] == "half-open"
    assert lab.chain.generate("Hi").text == "a!"
    assert lab.cooldowns() == {}


def test_a_probe_that_fails_doubles_the_cooldown():
    """And the next target answers."""
    lab = Lab({"a": APIError(500), "b": "b!"})
    lab.chain.generate("Hi")
    lab.clock.now += 1
    assert lab.chain.generate("Hi").text == "b!"
    assert lab.cooldowns() == {"a": 2}


def blocked_probe(lab, ends_with):
    """A thread whose call of the chain is in the middle of its probe of `a`."""
    inside, go_on, results = threading.Event(), threading.Event(), []

    def probe():
        inside.set()
        assert go_on.wait(10)
        return ends_with

    def call():
        try:
            results.append(lab.chain.generate("Hi").text)
        except BaseException as exc:
            results.append(exc)

    lab.targets["a"].script = [probe, "a!"]
    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(10)
    return thread, go_on, results


@pytest.mark.parametrize("verdict", ["a!", APIError(500), APIError(400)], ids=["answers", "fails", "no verdict"])
def test_one_thread_probes_and_the_others_go_on(verdict):
    """While a probe is under way the target counts as cooling down; afterwards its verdict counts."""
    lab = Lab({"a": "", "b": "b!"}, retries=0)
    cooled(lab, a=5)
    lab.clock.now += 5
    thread, go_on, results = blocked_probe(lab, verdict)
    try:
        reply = lab.chain.generate("Hi")
        assert outcomes(reply.attempts) == [("a", "skipped", None), ("b", "answered", None)]
    finally:
        go_on.set()
        thread.join()
    assert results == ["a!" if verdict == "a!" else "b!"]
    assert lab.chain.generate("Hi").text == ("b!" if lab.cooldowns().get("a") else "a!")
    assert (lab.cooldowns().get("a", 0) > 0) == (isinstance(verdict, APIError) and verdict.status == 500)


@both_ways
@pytest.mark.parametrize(
    "end",
    [
        APIError(400),
        APIError(413),
        UnsupportedError("no"),
        ConfigError("no key"),
        KeyboardInterrupt(),
        ZeroDivisionError(),
    ],
    ids=lambda end: type(end).__name__,
)
def test_a_probe_without_a_verdict_is_free_again(end, ask):
    """A wrong request, Ctrl-C or a bug change nothing: the next call probes."""
    lab = Lab({"a": [end, "a!"]})
    cooled(lab, a=5)
    lab.clock.now += 5
    with pytest.raises(type(end)):
        ask(lab.chain)
    assert lab.registry.health.snapshot()["lab/a"] == {"state": "half-open", "failures": 1, "seconds": 0.0}
    reply = ask(lab.chain)
    assert outcomes(reply.attempts) == [("a", "answered", None)]


@both_ways
def test_a_probe_that_the_deadline_ended_is_free_again(ask):
    """The caller's timeout is no verdict."""
    lab = Lab({"a": [HANGS, "a!"]})
    cooled(lab, a=5)
    lab.clock.now += 5
    with pytest.raises(DeadlineError):
        ask(lab.chain, timeout=3)
    reply = ask(lab.chain)
    assert outcomes(reply.attempts) == [("a", "answered", None)]


def test_a_probe_that_a_reader_left_is_free_again():
    """Leaving a stream before its end is no verdict either."""
    lab = Lab({"a": [["a", "!"], "a!"], "b": "b!"})
    cooled(lab, a=5)
    lab.clock.now += 5
    with lab.chain.stream("Hi") as stream:
        next(stream)
    assert lab.chain.generate("Hi").text == "a!"


def test_a_cooldown_is_shared_by_the_threads_and_chains_of_a_registry():
    """A target that one chain found dead is passed over by another, in another thread."""
    lab = Lab({"a": APIError(500), "b": "b!", "c": "c!"})
    lab.parse("a", "b").generate("Hi")
    found = []
    thread = threading.Thread(target=lambda: found.append(lab.parse("a", "c").generate("Hi")))
    thread.start()
    thread.join()
    assert outcomes(found[0].attempts) == [("a", "skipped", None), ("c", "answered", None)]


def test_an_attempt_that_ends_late_does_not_double_the_cooldown():
    """Ten threads that met one outage are one failure."""
    lab = Lab({"a": "", "b": "b!"}, retries=0)
    thread, go_on, _ = blocked_probe(lab, APIError(500))
    lab.clock.now += 1
    lab.registry.health.failed("lab/a", ErrorKind.TRANSIENT, lab.clock())
    lab.clock.now += 0.5
    go_on.set()
    thread.join()
    assert lab.registry.health.snapshot()["lab/a"]["failures"] == 1


# What a target is known not to take

TOOL = Tool("look", "", {"type": "object"})


@both_ways
@pytest.mark.parametrize(
    ("lacks", "options", "word"),
    [
        ({"max_images_per_request": 0}, {"image": True}, "images"),
        ({"max_images_per_request": 0}, {"image": True, "twice": True}, "images"),
        ({"allowed_image_mime": ("image/svg+xml",)}, {"image": True}, "image/png"),
        ({"max_image_bytes": 5}, {"image": True}, "5"),
        ({"tools": False}, {"tools": (TOOL,)}, "tools"),
        ({"structured_output": False}, {"schema": {}}, "schema"),
    ],
)
def test_a_target_that_cannot_is_skipped(lacks, options, word, ask):
    """It is not asked, it is told as skipped, and it does not cool down; nothing is dropped from the request."""
    options = dict(options)
    parts = [Image(PNG)] * (options.pop("image", False) + options.pop("twice", False))
    lab = Lab({"a": (["a!"], {"capabilities": Capabilities(**lacks)}), "b": '"b!"'})
    prompt = user("Hi", *parts)
    if ask is streamed:
        with lab.chain.stream(prompt, **options) as stream:
            list(stream)
            reply = stream.response
    else:
        reply = lab.chain.generate(prompt, **options)
    assert reply.text == '"b!"'
    assert outcomes(reply.attempts) == [("a", "skipped", "unsupported"), ("b", "answered", None)]
    assert word in reply.attempts[0].error
    assert lab.asked == ["b"]
    assert lab.cooldowns() == {}
    assert lab.targets["b"].requests == [Request.of(prompt, options)]


def test_fitting_is_not_the_targets_time(monkeypatch):
    """However long it takes: the target is asked with all that its share has left, and does not cool down for it."""

    def slow(data, mime, misfit, limits):
        lab.clock.now += 3.0
        return Image(RED)

    monkeypatch.setattr(media, "_made_to_fit", slow)
    small = ([("a!")], {"capabilities": Capabilities(max_image_bytes=69)})
    pictures = [Image(RED + bytes([number])) for number in range(4)]
    lab = Lab({"a": small, "b": "b!"})
    assert lab.chain.generate(user(pictures[0]), timeout=10).text == "a!"
    assert lab.targets["a"].spans == [3.5]
    lab = Lab({"a": small, "b": "b!"})
    with pytest.raises(DeadlineError):
        lab.chain.generate(user(*pictures[1:]), timeout=4)
    assert (lab.asked, lab.cooldowns()) == ([], {})


@pytest.mark.parametrize("options", [{}, {"tools": (TOOL,)}, {"schema": {}}], ids=["image", "tools", "schema"])
def test_a_target_of_which_nothing_is_known_is_tried(options):
    """No list of models decides what a target can."""
    lab = Lab({"a": '"a!"'})
    assert lab.chain.generate(user("Hi", Image(PNG)), **options).text == '"a!"'


def test_when_no_target_can_the_error_says_so():
    """Alone: the UnsupportedError; in company: a line for each."""
    lab = Lab({name: (["no"], {"capabilities": Capabilities(tools=False)}) for name in "ab"})
    with pytest.raises(UnsupportedError, match="tools"):
        lab.parse("a").generate("Hi", tools=[TOOL])
    with pytest.raises(ChainError) as caught:
        lab.chain.generate("Hi", tools=[TOOL])
    assert str(caught.value).count("skipped (unsupported)") == 2
    assert lab.asked == []


# What the caller is told


@both_ways
@each_kind
def test_a_chain_of_one_raises_its_targets_own_error(fails, kind, cooldown, again, ask):
    """The same object, with the target's name and the attempts."""
    error = fails()
    lab = Lab({"a": error}, retries=0)
    with pytest.raises(type(error)) as caught:
        ask(lab.chain)
    assert caught.value is error
    assert caught.value.target == "lab/a"
    assert [(a.target, a.kind) for a in caught.value.attempts] == [("lab/a", kind)]


@both_ways
def test_a_longer_chain_raises_a_chain_error_with_a_line_for_each_attempt(ask):
    """Target, kind, seconds and reason, readable."""
    lab = Lab(
        {
            "a": Takes(1.5, APIError(401, "bad key")),
            "b": TransportError("host:1 refused the connection"),
            "c": (["c!"], {"capabilities": Capabilities(tools=False)}),
            "d": APIError(400, "two\nlines"),
        },
        retries=0,
    )
    cooled(lab, b=5)
    with pytest.raises(ChainError) as caught:
        ask(lab.chain, tools=[TOOL])
    assert str(caught.value).splitlines() == [
        "no target of the chain answered",
        "  lab/a: failed (auth) after 1.50 s: HTTP 401: bad key; check the token of this provider",
        "  lab/b: skipped: cooling down for 3.5 s more",
        "  lab/c: skipped (unsupported): the target takes no tools",
        "  lab/d: failed (invalid) after 0.00 s: HTTP 400: two",
        "  lab/b: failed (transient) after 0.00 s: host:1 refused the connection",
    ]
    assert len(caught.value.attempts) == 5
    assert isinstance(caught.value.__cause__, TransportError)


@both_ways
def test_the_response_tells_the_story(ask):
    """The target that answered, and every attempt with its class and seconds, oldest first."""
    lab = Lab({"a": Takes(2, APIError(500)), "b": [APIError(429), Takes(3, "yes")]})
    reply = ask(lab.chain)
    assert reply.model == "lab/b"
    assert [(a.target, a.outcome, a.kind, a.seconds) for a in reply.attempts] == [
        ("lab/a", "failed", ErrorKind.TRANSIENT, 2),
        ("lab/b", "failed", ErrorKind.RATE_LIMITED, 0),
        ("lab/a", "failed", ErrorKind.TRANSIENT, 2),
        ("lab/b", "answered", None, 3),
    ]
    assert all(a.error is None or "\n" not in a.error for a in reply.attempts)


@both_ways
def test_on_attempt_is_told_each_attempt_as_it_happens(ask):
    """The same values that the response carries, in the same order."""
    lab = Lab({"a": APIError(500), "b": "yes"})
    cooled(lab, a=5)
    reply = ask(lab.chain)
    assert lab.noted == list(reply.attempts)


@both_ways
def test_on_attempt_sees_those_of_a_call_that_failed(ask):
    """Without an answer too."""
    lab = Lab({"a": APIError(500), "b": APIError(400)}, retries=1)
    with pytest.raises(ChainError) as caught:
        ask(lab.chain)
    assert lab.noted == list(caught.value.attempts)
    assert len(lab.noted) == 3


@both_ways
def test_the_log_has_one_quiet_line_an_attempt(ask, caplog):
    """On the logger `majordomo`, at INFO or below."""
    caplog.set_level(logging.DEBUG, "majordomo")
    lab = Lab({"a": APIError(500), "b": (["b!"], {"capabilities": Capabilities(tools=False)}), "c": "yes"})
    reply = ask(lab.chain, tools=[TOOL])
    records = [record for record in caplog.records if record.name.startswith("majordomo")]
    assert [record.getMessage() for record in records] == [str(attempt) for attempt in reply.attempts]
    assert all(record.levelno <= logging.INFO for record in records)


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(3), ZeroDivisionError("a bug"), ValueError("x"), TimeoutError(), OSError(5)],
)
@both_ways
def test_what_is_no_majordomo_error_passes_through(error, ask):
    """A bug, Ctrl-C and a signal handler's exception are not failures of a target: the same object comes out."""
    lab = Lab({"a": error, "b": "never"})
    with pytest.raises(type(error)) as caught:
        ask(lab.chain)
    assert caught.value is error
    assert lab.asked == ["a"]
    assert lab.cooldowns() == {}


# Streams


def test_nothing_is_sent_before_the_first_event_is_asked_for():
    """And no time runs."""
    lab = Lab({"a": Takes(8, "yes")})
    stream = lab.chain.stream("Hi", timeout=10)
    lab.clock.now += 100
    assert lab.asked == []
    assert "".join(stream.text_deltas()) == "yes"


def test_a_stream_fails_over_until_its_first_event():
    """Silently for the reader."""
    lab = Lab({"a": APIError(500), "b": [[TruncatedError("cut")]], "c": [["on", "e"]]})
    with lab.chain.stream("Hi") as stream:
        events = list(stream)
    assert events[:-1] == [TextDelta("on"), TextDelta("e")]
    assert type(events[-1]) is Done
    assert events[-1].response is stream.response
    assert lab.asked == ["a", "b", "c"]


@pytest.mark.parametrize("error", [APIError(503), TruncatedError("cut"), TransportError("reset"), APIError(400)])
def test_a_stream_that_has_begun_does_not_fail_over(error):
    """The error reaches the reader with what had arrived, its target and the attempts; nobody else is asked."""
    lab = Lab({"a": [["Hel", "lo", error]], "b": "never"})
    read = []
    with pytest.raises(type(error)) as caught, lab.chain.stream("Hi") as stream:
        for text in stream.text_deltas():
            read.append(text)
    assert read == ["Hel", "lo"]
    assert caught.value is error
    assert lab.asked == ["a"]
    assert outcomes(caught.value.attempts) == [("a", "failed", lab.noted[0].kind.value)]
    assert ("a" in lab.cooldowns()) == (lab.noted[0].kind is ErrorKind.TRANSIENT)


def test_the_error_of_a_stream_that_has_begun_names_its_target():
    """Also in a longer chain: it is that target's own error, and its message says against whom."""
    lab = Lab({"a": APIError(503), "b": [["Hel", TransportError("reset")]]})
    with pytest.raises(TransportError) as caught, lab.chain.stream("Hi") as stream:
        list(stream)
    assert caught.value.target == "lab/b"


def test_the_error_of_a_stream_that_has_begun_holds_what_had_arrived():
    """Whoever wrote the target: the chain has handed the text out."""
    lab = Lab({"a": [["Hel", "lo", TransportError("reset")]]})
    with pytest.raises(TransportError) as caught, lab.chain.stream("Hi") as stream:
        list(stream)
    assert caught.value.partial == "Hello"


def test_a_stream_that_ends_without_done_is_truncated():
    """A target's stream that just stops is never a normal answer."""

    class Stops(Model):
        name = "mine/x"

        def events(self, request, deadline):
            yield TextDelta("Hel")

    class Mine(Provider):
        def model(self, id):
            return Stops()

    registry = Registry({})
    registry.register_provider("mine", Mine())
    with pytest.raises(TruncatedError), registry.parse("mine/x").stream("Hi") as stream:
        list(stream)


def test_shares_end_at_the_first_event():
    """A stream that has begun has all that remains, not its part alone."""
    lab = Lab({"a": [["on", Takes(8, "e")]], "b": "never"})
    assert streamed(lab.chain, timeout=10).text == "one"


def test_a_stream_that_has_begun_still_ends_at_the_deadline():
    """With the caller's own limit."""
    lab = Lab({"a": [["on", HANGS]], "b": "never"})
    with pytest.raises(DeadlineError) as caught, lab.chain.stream("Hi", timeout=10) as stream:
        list(stream)
    assert lab.clock() == 1010
    assert caught.value.limit == "timeout"
    assert lab.asked == ["a"]
    assert lab.cooldowns() == {}


def test_a_stream_without_a_timeout_has_its_targets_default_from_the_first_event_on():
    """`attempt_timeout` bounds the wait for the first event, not the stream."""
    lab = Lab({"a": ([[Takes(2, "on"), Takes(500, "e")]], {"default_timeout": 600})}, attempt_timeout=3)
    assert streamed(lab.chain).text == "one"


@pytest.mark.parametrize("read", [1, 2])
def test_leaving_a_stream_closes_it_and_says_so(read):
    """One line in the story, no cooldown, and the target's stream is closed."""
    lab = Lab({"a": [["one", "two", "three"]], "b": "never"})
    with lab.chain.stream("Hi") as stream:
        for _ in range(read):
            next(stream)
    assert lab.targets["a"].closed == 1
    assert lab.cooldowns() == {}
    assert outcomes(lab.noted) == [("a", "answered", None)]
    with pytest.raises(MajordomoError, match="not ended"):
        stream.response  # noqa: B018


def test_a_stream_that_nobody_holds_any_more_is_closed():
    """Forgotten is left."""
    lab = Lab({"a": [["one", "two"]]})
    stream = lab.chain.stream("Hi")
    next(stream)
    del stream
    gc.collect()
    assert lab.targets["a"].closed == 1


def test_an_interrupted_stream_passes_the_interrupt_on():
    """Ctrl-C between two events is the caller's."""
    lab = Lab({"a": [["one", KeyboardInterrupt()]], "b": "never"})
    with pytest.raises(KeyboardInterrupt), lab.chain.stream("Hi") as stream:
        list(stream)
    assert lab.cooldowns() == {}
    assert lab.targets["a"].closed == 1


# Models of other makes


class Duck:
    """No `Model` of ours: a name, capabilities, generate and stream."""

    name = "duck/x"
    capabilities = Capabilities()

    def __init__(self, *script):
        self.script, self.timeouts = list(script), []

    def generate(self, prompt, *, timeout=None, **options):
        self.timeouts.append(timeout)
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return Response(assistant(step))

    def stream(self, prompt, *, timeout=None, **options):
        return Stream(self._events(prompt, timeout))

    def _events(self, prompt, timeout):
        response = self.generate(prompt, timeout=timeout)
        yield TextDelta(response.text)
        yield Done(response)


class SubDuck(Duck, Model):
    """A `Model` that overrides what a caller sees, and not what is below."""


class Pond(Provider):
    def __init__(self, model):
        self._model = model

    def model(self, id):
        return self._model


@pytest.mark.parametrize("make", [Duck, SubDuck])
@both_ways
def test_a_model_with_only_generate_and_stream_is_a_target(make, ask):
    """It gets its part of the time as a number, its errors count, its answer is told like any other."""
    lab = Lab({"b": "b!"})
    duck = make(APIError(503), "quack")
    lab.registry.register_provider("duck", Pond(duck))
    chain = lab.registry.parse("duck/x, lab/b")
    assert ask(chain, timeout=10).text == "b!"
    lab.registry.health.reset()
    reply = ask(chain, timeout=10)
    assert reply.text == "quack"
    assert reply.model == "duck/x"
    assert [a.outcome for a in reply.attempts] == ["answered"]
    assert duck.timeouts == [5, 5]


# Pickling


@each_kind
def test_errors_survive_pickling(fails, kind, cooldown, again):
    """With class, text, target, attempts and all facts: a worker process hands them back."""
    error = fails()
    lab = Lab({"a": error}, retries=0)
    with pytest.raises(type(error)) as caught:
        lab.chain.generate("Hi")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_chain_errors_deadline_errors_and_responses_survive_pickling(protocol):
    """In every protocol."""
    lab = Lab({"a": APIError(500), "b": HANGS, "c": "yes"}, retries=0)
    with pytest.raises(ChainError) as chain_error:
        lab.parse("a", "b").generate("Hi")
    lab.registry.health.reset()
    with pytest.raises(DeadlineError) as deadline_error:
        lab.parse("b").generate("Hi", timeout=1)
    reply = lab.parse("a", "c").generate("Hi")
    for value in (chain_error.value, deadline_error.value):
        again = pickle.loads(pickle.dumps(value, protocol))
        assert (str(again), again.attempts) == (str(value), value.attempts)
    assert pickle.loads(pickle.dumps(reply, protocol)) == reply


# Over real sockets


def real(environ, **settings):
    """A registry on the real clock that waits for nothing between passes."""
    return Registry(environ, random=lambda: 0.0, **settings)


@both_ways
def test_a_refused_connection_a_503_and_an_answer(ask):
    """The whole way: two servers, a dead port, one answer."""
    with FakeServer(Status(503, "busy")) as busy, FakeServer(Reply("Hello.")) as good:
        dead = f"llama-swap://127.0.0.1:{dead_port()}"
        registry = real({"LLM_DEAD": dead, "LLM_BUSY": busy.dsn(), "LLM_GOOD": good.dsn("openai")})
        reply = ask(registry.parse("dead/m, busy/org/m:1, good/m"), timeout=10)
    assert reply.text == "Hello."
    assert reply.model == "good/m"
    assert [(a.target, a.outcome, a.kind) for a in reply.attempts] == [
        ("dead/m", "failed", ErrorKind.TRANSIENT),
        ("busy/org/m:1", "failed", ErrorKind.TRANSIENT),
        ("good/m", "answered", None),
    ]
    assert busy.requests[0].json["model"] == "org/m:1"


def test_what_belongs_to_one_target_is_sent_to_no_other():
    """Keys above all."""
    with FakeServer(Status(401, "no")) as first, FakeServer(Status(500, "no")) as second, FakeServer() as third:
        environ = {
            "LLM_ONE": first.dsn("openai", "key-of-one"),
            "LLM_TWO": second.dsn("llama-swap", "key-of-two"),
            "LLM_THREE": third.dsn("openai", None),
        }
        real(environ).parse("one/m, two/m, three/m").generate("Hi", timeout=10)
    for server, key in ((first, "key-of-one"), (second, "key-of-two"), (third, None)):
        (seen,) = server.requests
        assert seen.headers.get("authorization") == (key and f"Bearer {key}")
        assert repr(seen).count("key-of") == (1 if key else 0)


@both_ways
def test_a_hung_server_leaves_the_next_one_time_on_the_real_clock(ask):
    """Half of a short timeout, and the answer is there in time."""
    with FakeServer(hang()) as hung, FakeServer(Reply("Hello.")) as good:
        registry = real({"LLM_HUNG": hung.dsn(), "LLM_GOOD": good.dsn()})
        assert ask(registry.parse("hung/m, good/m"), timeout=3).text == "Hello."


def test_a_stream_cut_by_the_server_carries_what_had_arrived():
    """After content: the error, the text so far, and no second target."""
    pieces = [b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text for text in (b"Hel", b"lo")]
    broken = cut(Status(200, [*pieces, b": padding\n\n"], {"Content-Type": "text/event-stream"}), after=-20)
    with FakeServer(broken) as server, FakeServer() as other:
        registry = real({"LLM_BOX": server.dsn(), "LLM_OTHER": other.dsn()})
        read = []
        with (
            pytest.raises(MajordomoError) as caught,
            registry.parse("box/m, other/m").stream("Hi", timeout=5) as stream,
        ):
            read.extend(stream.text_deltas())
    assert "".join(read) == "Hello"
    assert isinstance(caught.value, (TruncatedError, TransportError))
    assert caught.value.partial == "Hello"
    assert caught.value.target == "box/m"
    assert other.requests == []


@both_ways
def test_a_token_that_a_server_echoes_is_in_nothing_that_can_be_seen(ask, caplog):
    """Not in the error, its repr, its pickle, its attempts, its cause, or the log at DEBUG."""
    caplog.set_level(logging.DEBUG)
    echo = Status(401, {"error": {"message": f"bad key {TOKEN}", "code": TOKEN}}, {"x-request-id": TOKEN})
    seen = []
    with FakeServer(echo, echo, Status(500, TOKEN)) as server:
        environ = {"LLM_ONE": server.dsn("openai", TOKEN), "LLM_TWO": server.dsn("llama-swap", TOKEN)}
        registry = real(environ, retries=0, on_attempt=seen.append)
        chain = registry.parse("one/m, two/m")
        with pytest.raises(ChainError) as caught:
            ask(chain, timeout=5)
        with pytest.raises(APIError) as alone:
            ask(registry.parse("one/m"), timeout=5)
    texts = [
        caplog.text,
        repr(seen),
        repr(chain),
        repr(chain.__dict__),
        repr(registry),
        repr(registry.health.snapshot()),
    ]
    for error in (caught.value, caught.value.__cause__, alone.value):
        texts += [str(error), repr(error), repr(error.__dict__), repr(error.args), repr(pickle.dumps(error))]
    assert "bad key ***" in str(caught.value)
    assert not [text for text in texts if TOKEN in text]


def test_nothing_is_written_to_the_standard_streams(capfd):
    """Success or failure: no word on stdout or stderr."""
    with FakeServer(Status(500, "no"), Reply("Hello.")) as server:
        real({"LLM_BOX": server.dsn()}).parse("box/m").generate("Hi", timeout=5)
    assert capfd.readouterr() == ("", "")


@both_ways
def test_a_watched_chain(ask):
    """`watched` tells each target that is about to be asked, the chain it was made from does not."""
    lab = Lab({"dead": TransportError("refused"), "busy": [APIError(429, retry_after=1), "Here."]})
    told = []
    watched = lab.chain._watched(told.append)
    assert ask(watched).text == "Here."
    assert told == ["lab/dead", "lab/busy", "lab/dead", "lab/busy"]
    lab.targets["dead"].script = ["Well."]
    assert ask(lab.chain).text
    assert len(told) == 4


def test_a_wait_of_ages_is_not_begun():
    """Even a caller who waits for ever does not wait for a Retry-After of ages."""
    lab = Lab({"a": [APIError(429, retry_after=1e300), "late"]})
    with pytest.raises(APIError):
        lab.chain.generate("Hi", timeout=math.inf)
    assert lab.clock.slept == []
