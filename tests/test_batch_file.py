"""Batches in files: what a line asks, what is written of it, and that nothing is lost or asked twice."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from doers import PATIENCE, Does, Holds
from helpers import Clock
from players import LOOK, OSLO, Plays, says

import majordomo
from majordomo import (
    APIError,
    Attempt,
    ChainError,
    ConfigError,
    ErrorKind,
    MajordomoError,
    ProtocolError,
    Request,
    Response,
    Tool,
    ToolCall,
    TransportError,
    Usage,
    assistant,
    tool_result,
    user,
)
from majordomo import _batch_file as engine
from majordomo import _batch_lines as lines
from majordomo import _crew as crew
from majordomo._batch_file import Progress, Summary, Tally, run_batch
from majordomo._batch_lines import request_of
from majordomo._crew import NEXT
from majordomo.testing import FakeServer, Reply

ROOT = str(pathlib.Path(majordomo.__file__).parent.parent)
posix = pytest.mark.skipif(os.name != "posix", reason="files of another kind")


class Desk:
    """A folder with a file of prompts and one of results, and what was told."""

    def __init__(self, folder):
        self.source, self.target = folder / "in.jsonl", folder / "out.jsonl"
        self.problems, self.progress = [], []

    def put(self, *lines):
        """Write the file of prompts: rows, or lines as they are."""
        rows = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        self.source.write_bytes(b"".join(row + b"\n" for row in rows))
        return self

    def ask(self, *ids):
        """Prompts whose text is their id."""
        return self.put(*[{"id": id, "prompt": str(id)} for id in ids])

    def run(self, model, source=None, target=None, **settings):
        told = {"on_problem": self.problems.append, "on_progress": self.progress.append}
        return run_batch(model, source or self.source, target or self.target, **{"workers": 1, **told, **settings})

    @property
    def results(self):
        return [json.loads(line) for line in self.target.read_bytes().splitlines()]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def counts(summary):
    return summary.done, summary.failed, summary.bad, summary.skipped


# --- a line in

EVERYTHING = Request(
    [user("a"), assistant("b", OSLO)],
    system="s",
    tools=[Tool("look", "Look.", {"type": "object"})],
    tool_choice="look",
    schema={"type": "string"},
    reasoning="low",
    max_tokens=5,
    temperature=0.5,
    top_p=0.9,
    stop=("END",),
    seed=1,
    extra={"n": 1},
    schema_retries=2,
)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ({"prompt": "Hi"}, Request("Hi")),
        ({"prompt": ""}, Request("")),
        ({"prompt": "Hi", "system": "Be brief.", "max_tokens": 9}, Request("Hi", system="Be brief.", max_tokens=9)),
        ({"prompt": "Hi", "seed": None, "stop": ["a"]}, Request("Hi", stop=("a",))),
        ({"prompt": "Hi", "schema": {"type": "string"}}, Request("Hi", schema={"type": "string"})),
        (
            {"prompt": "Hi", "tools": [{"name": "look"}], "extra": {"n": 1}},
            Request("Hi", tools=[Tool("look")], extra={"n": 1}),
        ),
        ({"messages": [{"role": "user", "content": "Hi"}]}, Request("Hi")),
        (
            {
                "messages": [{"role": r, "content": r} for r in ("system", "user", "assistant", "developer")],
                "system": "s",
            },
            Request([user("user"), assistant("assistant")], system="s\n\nsystem\n\ndeveloper"),
        ),
        (
            {"messages": [m.to_dict() for m in (user("Hi"), assistant(LOOK), tool_result(LOOK, "Snow."))]},
            Request([user("Hi"), assistant(LOOK), tool_result(LOOK, "Snow.")]),
        ),
        (EVERYTHING.to_dict(), EVERYTHING),
    ],
)
def test_what_a_line_asks(line, wanted):
    """The fields of a request, with a prompt or messages, as this library keeps them or as people write them."""
    assert request_of({"id": 1, **line}, {}) == wanted


def test_options_are_for_lines_that_do_not_have_them():
    """What a line says wins; null says nothing."""
    defaults = {"system": "Be brief.", "max_tokens": 5}
    found = request_of({"id": 1, "prompt": "Hi", "max_tokens": 9, "system": None}, defaults)
    assert found == Request("Hi", system="Be brief.", max_tokens=9)


BAD_LINES = [
    (b"{", "not JSON"),
    (b"\xff\xfe{\x00", "not UTF-8"),
    (b"[1]", "JSON object, not an array"),
    (b'"x"', 'JSON object, not "x"'),
    ({"prompt": "Hi"}, "no id"),
    ({"id": None, "prompt": "Hi"}, "text or a whole number, not null"),
    ({"id": True, "prompt": "Hi"}, "whole number, not true"),
    ({"id": 1.5, "prompt": "Hi"}, "whole number, not 1.5"),
    ({"id": 1}, "a prompt or messages"),
    ({"id": 1, "prompt": "Hi", "messages": []}, "and not both"),
    ({"id": 1, "prompt": 5}, "a string, not 5"),
    ({"id": 1, "prompt": ["Hi"]}, "a string, not an array"),
    ({"id": 1, "prompt": "Hi", "max_token": 5}, 'unknown field "max_token"; did you mean max_tokens'),
    ({"id": 1, "prompt": "Hi", "max_tokens": "5"}, "max_tokens cannot be str"),
    ({"id": 1, "prompt": "Hi", "system": 5}, "system cannot be int"),
    ({"id": 1, "prompt": "Hi", "schema": "x"}, "request"),
    ({"id": 1, "prompt": "Hi", "tools": [{"type": "function"}]}, "request"),
    ({"id": 1, "messages": "Hi"}, 'an array, not "Hi"'),
    ({"id": 1, "messages": []}, "at least one message"),
    ({"id": 1, "messages": ["Hi"]}, "message"),
    ({"id": 1, "messages": [{"role": "system", "content": "s"}]}, "at least one message"),
    ({"id": 1, "messages": [{"role": "me", "content": "Hi"}]}, "not 'me'"),
    ({"id": 1, "messages": [{"role": "user", "content": None}]}, "a string, not null"),
    ({"id": 1, "messages": [{"role": "tool", "content": "x", "tool_call_id": "a"}]}, '"tool_call_id"'),
    ({"id": 1, "messages": [{"role": "user", "parts": [{"type": "image", "data": "?"}]}]}, "message"),
    (b'{"id": 1, "prompt": ' + b"[" * 5000, "line"),
]


def test_bad_lines_are_told_by_number_and_the_rest_is_done(desk):
    """On one line each, with the reason; they are no results."""
    model = Does()
    desk.put(*[line for line, _ in BAD_LINES], {"id": 1, "prompt": "good"})
    assert counts(desk.run(model)) == (1, 0, len(BAD_LINES), 0)
    assert len(desk.problems) == len(BAD_LINES)
    for number, ((_, words), problem) in enumerate(zip(BAD_LINES, desk.problems), 1):
        assert problem.startswith(f"{desk.source}:{number}: ")
        assert words in problem
        assert problem.isprintable()
    assert [row["id"] for row in desk.results] == [1]


def test_lines_as_editors_leave_them(desk):
    """A byte order mark, carriage returns, empty lines, no newline at the end."""
    desk.source.write_bytes(
        b'\xef\xbb\xbf\n\xef\xbb\xbf{"id": "a", "prompt": "a"}\r\n\r\n  \n{"id": "b", "prompt": "b"}'
    )
    assert desk.run(Does()) == Summary(2, 0, 0, 0, 2)
    assert desk.problems == []


def test_a_line_that_is_too_long_is_not_read(desk, monkeypatch):
    """It is bad, and those after it have their own numbers."""
    monkeypatch.setattr(engine, "LONGEST_LINE", 100)
    desk.put({"id": 1, "prompt": "x" * 1000}, {"id": 2, "prompt": "b"}, b"?")
    assert counts(desk.run(Does())) == (1, 0, 2, 0)
    assert [problem.split(":")[1] for problem in desk.problems] == ["1", "3"]
    assert desk.progress[0].total == 3


def test_an_id_counts_once(desk):
    """The first line that has it; 1 and "1" are two."""
    desk.put(
        *[{"id": id, "prompt": text} for id, text in ((1, "a"), ("1", "b"), (1, "c"), ("1", "d"), ("\ud800", "e"))]
    )
    assert counts(desk.run(Does())) == (3, 0, 2, 0)
    assert [(row["id"], row["text"]) for row in desk.results] == [(1, "A"), ("1", "B"), ("\ud800", "E")]
    assert desk.problems == [
        f"{desk.source}:3: the id 1 is that of line 1 already",
        f'{desk.source}:4: the id "1" is that of line 2 already',
    ]


# --- a line out

USAGE = {"input_tokens": 1, "output_tokens": 2, "cached_tokens": None, "reasoning_tokens": None}
PLAIN = {"text": "Yes.", "model": "mine/m", "usage": USAGE}


def plain(*parts, **fields):
    return says(*(parts or ("Yes.",)), usage=Usage(1, 2), model="mine/m", **fields)


@pytest.mark.parametrize(
    ("outcome", "line", "told"),
    [
        (plain(), {}, PLAIN),
        (plain(stop_reason="length"), {}, {**PLAIN, "stop_reason": "length"}),
        (plain(warnings=["seed: left out"], raw={"x": 1}), {}, {**PLAIN, "warnings": ["seed: left out"]}),
        (plain("5"), {"schema": {"type": "integer"}}, {**PLAIN, "text": "5", "parsed": 5}),
        (plain("null"), {"schema": {"type": "null"}}, {**PLAIN, "text": "null", "parsed": None}),
        (
            plain(OSLO),
            {},
            {
                **{**PLAIN, "text": "", "stop_reason": "tool_calls"},
                "tool_calls": [{"type": "tool_call", "id": "a", "name": "weather", "arguments": {"city": "Oslo"}}],
            },
        ),
        (
            Response(assistant(""), "refusal", Usage(1, 2), "mine/m", refusal="No."),
            {},
            {**PLAIN, "text": "", "stop_reason": "refusal", "refusal": "No."},
        ),
        (plain("a\n\u2028\ud800ü"), {}, {**PLAIN, "text": "a\n\u2028\ud800ü"}),
        (TransportError("down"), {}, {"error": "down", "kind": "transient"}),
        (APIError(400, "no"), {}, {"error": "HTTP 400: no", "kind": "invalid"}),
        (ProtocolError("odd", partial="Ye"), {}, {"error": "odd", "kind": "transient", "partial": "Ye"}),
    ],
)
def test_what_is_told_of_an_end(desk, outcome, line, told):
    """The answer and what is rare where it is there, or the error and its kind; always one line."""
    desk.put({"id": "a", "prompt": "Hi", **line}).run(Plays(outcome))
    assert desk.results == [{"id": "a", **told}]


def test_an_answer_that_json_has_no_words_for(desk):
    """Is a failure with the text of the answer."""
    desk.ask("a").run(Plays(says("Well.", ToolCall("c", "look", {"n": float("nan")}))))
    (found,) = desk.results
    assert (found["kind"], found["partial"]) == ("invalid", "Well.")
    assert "the answer cannot be written as JSON" in found["error"]


def test_results_stand_in_the_order_in_which_they_came(desk):
    """A slow prompt keeps nobody back."""
    hold = Holds()

    def let_go(progress):
        if progress.done == 20:
            hold.let_go.set()

    model = Does(lambda text: hold(text) if text == "slow" else text)
    desk.ask("slow", *range(20)).run(model, workers=2, on_progress=let_go)
    assert [row["id"] for row in desk.results] == [*range(20), "slow"]


# --- once more


def test_started_again_it_does_what_is_missing(desk):
    """Answers and failures are not asked again; new lines are."""
    first, second = Does(lambda text: TransportError("down") if text == "b" else text), Does()
    assert desk.ask("a", "b", "c").run(first) == Summary(2, 1, 0, 0, 3)
    before = desk.target.read_bytes()
    assert desk.ask("a", "b", "c", "d").run(second) == Summary(1, 0, 0, 3, 4, failed_before=1)
    assert [request.messages[0].text for request in second.requests] == ["d"]
    assert desk.target.read_bytes().startswith(before)
    assert desk.run(second) == Summary(0, 0, 0, 4, 4, failed_before=1)


def test_failures_are_asked_again_if_that_is_wanted(desk):
    """Those whose last line is a failure."""
    rows = [("a", "text"), ("a", "error"), ("b", "error"), ("b", "text"), ("c", "error"), ("d", "text")]
    desk.target.write_text("".join(json.dumps({"id": id, name: "x"}) + "\n" for id, name in rows))
    assert desk.ask("a", "b", "c", "d").run(Does(), retry_failed=True) == Summary(2, 0, 0, 2, 4)
    assert [row["id"] for row in desk.results[len(rows) :]] == ["a", "c"]


WHOLE = b'{"id": "a", "text": "A"}'


@pytest.mark.parametrize(
    ("before", "kept", "asked"),
    [
        (b"", b"", "ab"),
        (b"\n \n", b"\n \n", "ab"),
        (WHOLE, WHOLE + b"\n", "b"),
        (WHOLE + b"\r\n", WHOLE + b"\r\n", "b"),
        (WHOLE + b"\n  ", WHOLE + b"\n  \n", "b"),
        (WHOLE + b'\n{"id":"b","te', WHOLE + b"\n", "b"),
        (WHOLE + b'\n{"id":"b","text":"\xc3', WHOLE + b"\n", "b"),
        (WHOLE + b"\n\x00\x00\x00", WHOLE + b"\n", "b"),
        (WHOLE + b"\n{", WHOLE + b"\n", "b"),
        (WHOLE + b"\n{}", WHOLE + b"\n{}\n", "b"),
        (b'{"id":"a","te', b"", "ab"),
        (b'{"i', b"", "ab"),
    ],
)
def test_a_torn_last_line(desk, before, kept, asked):
    """Is completed if only its newline is missing, and cut off otherwise; then its id is asked."""
    desk.target.write_bytes(before)
    model = Does()
    desk.ask("a", "b").run(model)
    assert [request.messages[0].text for request in model.requests] == list(asked)
    after = desk.target.read_bytes()
    assert after.startswith(kept)
    assert [json.loads(line)["id"] for line in after[len(kept) :].splitlines()] == list(asked)


def test_garbage_in_the_middle_stays(desk):
    """It is told by its number."""
    desk.target.write_bytes(WHOLE + b"\n\x00\x00\n[]\n" + b'{"id": "b", "error": "x"}\n')
    desk.ask("a", "b", "c").run(Does())
    stays = "no result of a batch; it stays as it is"
    assert desk.problems == [f"{desk.target}:2: {stays}", f"{desk.target}:3: {stays}"]
    assert desk.target.read_bytes().splitlines()[1:3] == [b"\x00\x00", b"[]"]
    assert [json.loads(line)["id"] for line in desk.target.read_bytes().splitlines()[3:]] == ["b", "c"]


@pytest.mark.parametrize(
    "content",
    [b"notes", b"notes\n", b'{"id": 1, "prompt": "Hi"}\n', b'{"id":1,"prompt":"Hi"}', b'{"text": "x"}\n', b"\x00\n"],
)
def test_a_file_of_something_else_is_refused(desk, content):
    """And not touched: the two names may have been swapped."""
    desk.ask("a").target.write_bytes(content)
    with pytest.raises(ConfigError, match="something else"):
        desk.run(Does())
    assert desk.target.read_bytes() == content


@posix
@pytest.mark.parametrize("make", [lambda s, t: t.mkdir(), lambda s, t: os.link(s, t), lambda s, t: t.symlink_to(s)])
def test_a_target_that_is_none(desk, make):
    """A folder, or the file of prompts by another name."""
    make(desk.ask("a").source, desk.target)
    before = desk.source.read_bytes()
    with pytest.raises(ConfigError, match="results go into a file"):
        desk.run(Does())
    assert desk.source.read_bytes() == before


def test_files_that_cannot_be_opened(desk):
    """The error is the system's; without prompts no file of results is made."""
    with pytest.raises(FileNotFoundError):
        desk.run(Does())
    assert not desk.target.exists()
    with pytest.raises(FileNotFoundError):
        desk.ask("a").run(Does(), target=desk.target / "deeper")


@pytest.mark.skipif(engine.fcntl is None, reason="no locks")
def test_two_batches_do_not_write_one_file(desk):
    """The second is refused, and the first goes on."""
    refused = []

    def say(text):
        with pytest.raises(ConfigError, match="another batch is writing") as caught:
            desk.run(Does())
        refused.append(caught.value)
        return text

    assert desk.ask("a", "b").run(Does(say)).done == 2
    assert len(refused) == 2
    assert len(desk.results) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "box/m"}, "parse"),
        ({"workers": 0}, "workers"),
        ({"timeout": -1}, "timeout"),
        ({"options": {"max_token": 5}}, "max_token"),
    ],
)
def test_settings_that_cannot_work(desk, settings, words):
    """Are refused before there is a file."""
    with pytest.raises(ConfigError, match=words):
        desk.ask("a").run(settings.pop("model", Does()), **settings)
    assert not desk.target.exists()


# --- how it ends before its time


def sized(limit):
    """No file of this process may be larger, as if the disk were full."""
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if limit is None else limit, hard))


@posix
@pytest.mark.parametrize("workers", [1, 3])
def test_a_full_disk(desk, workers):
    """It ends with one clear line; what was written is whole, and with room again the rest is done."""
    ids = [f"number {n}" for n in range(30)]
    desk.ask(*ids)
    sized(1000)
    try:
        with pytest.raises(MajordomoError, match="cannot be written: File too large; what was written stays") as caught:
            desk.run(Does(), workers=workers)
    finally:
        sized(None)
    assert caught.value.__cause__.errno == errno.EFBIG
    some = len(desk.results)
    assert 0 < some < 30
    assert desk.target.read_bytes().endswith(b"}\n")
    assert desk.run(Does(), workers=workers) == Summary(30 - some, 0, 0, some, 30)
    assert Counter(row["id"] for row in desk.results) == Counter(ids)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_no_room_for_the_first_result(desk):
    """The same for a target that is no file."""
    with pytest.raises(MajordomoError, match=r"/dev/full cannot be written: No space left"):
        desk.ask("a").run(Does(), target="/dev/full")


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no /dev/fd")
def test_results_can_go_into_a_pipe(desk):
    """Where there is nothing to be read, each line is written as it comes; a reader that leaves ends it."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as file:
        desk.ask("a", "b").run(Does(), target=f"/dev/fd/{writing}")
        assert [json.loads(line)["id"] for line in file.read(10_000).splitlines()] == ["a", "b"]
        with pytest.raises(MajordomoError, match="Broken pipe"):
            desk.run(Does(), target=f"/dev/fd/{writing}", on_progress=lambda p: p.done and file.close())
    os.close(writing)


@pytest.mark.parametrize("workers", [1, 3])
def test_it_stops_where_all_must_fail(desk, monkeypatch, workers):
    """After so many failures in a row that are not the lines'; another run asks them, too."""
    monkeypatch.setattr(engine, "MOST_IN_A_ROW", 10)
    model = Does(lambda text: APIError(401, "who are you?"))
    with pytest.raises(MajordomoError, match="stopped after 10 failures in a row.*who are you"):
        desk.ask(*range(100)).run(model, workers=workers)
    assert desk.results == []
    assert len(model.requests) <= 10 + NEXT * workers
    assert counts(desk.run(Does())) == (100, 0, 0, 0)


@pytest.mark.parametrize("turn", range(5))
def test_it_stops_or_goes_on_but_not_both(desk, monkeypatch, turn):
    """A server that comes back just then: either nothing of its failures is written, or all of it."""
    monkeypatch.setattr(engine, "MOST_IN_A_ROW", 10)
    model = Does(lambda text: TransportError("down") if int(text) < 10 else text)
    try:
        desk.ask(*range(12)).run(model, workers=8, on_progress=lambda progress: time.sleep(0.002))
    except MajordomoError as exc:
        assert "stopped after 10" in str(exc)
        assert desk.results == []
    else:
        assert len(desk.results) == 12


@pytest.mark.parametrize(
    ("attempts", "vain"),
    [
        ([("failed", ErrorKind.TRANSIENT)], True),
        ([("failed", ErrorKind.TRANSIENT), ("failed", ErrorKind.TOO_LONG)], False),
        ([("failed", ErrorKind.TOO_LONG), ("failed", ErrorKind.TRANSIENT)], False),
        ([("skipped", ErrorKind.UNSUPPORTED), ("failed", ErrorKind.AUTH)], True),
        ([("skipped", None), ("failed", ErrorKind.QUOTA)], True),
        ([("skipped", ErrorKind.UNSUPPORTED)], False),
    ],
)
def test_whose_fault_the_failure_of_a_chain_is(desk, monkeypatch, attempts, vain):
    """The line's, if any target that was asked says so; one that cannot take such lines at all says nothing."""
    monkeypatch.setattr(engine, "MOST_IN_A_ROW", 3)
    error = ChainError(
        tuple(Attempt(f"box/{n}", outcome, kind, "no", 0.0) for n, (outcome, kind) in enumerate(attempts))
    )
    desk.ask(*range(5))
    if vain:
        with pytest.raises(MajordomoError, match="stopped after 3"):
            desk.run(Does(lambda text: error))
    else:
        assert counts(desk.run(Does(lambda text: error))) == (0, 5, 0, 0)


def test_numbers_that_json_does_not_have_are_a_lines_own(desk, monkeypatch):
    """They stop nobody else."""
    monkeypatch.setattr(engine, "MOST_IN_A_ROW", 3)
    with FakeServer() as server:
        chain = majordomo.Registry({"LLM_BOX": server.dsn()}).parse("box/m")
        desk.put(*[b'{"id": %d, "prompt": "Hi", "extra": {"n": NaN}}' % number for number in range(5)])
        assert counts(desk.run(chain)) == (0, 5, 0, 0)
    assert {row["kind"] for row in desk.results} == {"invalid"}


def test_failures_that_are_no_lines_own_are_written_when_others_have_not_failed(desk):
    """They are held back only as long as all fail, and not at the end."""
    written = []

    def say(text):
        written.append(len(desk.results))
        return TransportError("down") if text in "bce" else text

    assert counts(desk.ask(*"abcde").run(Does(say))) == (2, 3, 0, 0)
    assert written == [0, 1, 1, 1, 4]
    assert len(desk.results) == 5


def test_failures_of_before_are_told(desk):
    """They are not asked again, and not forgotten."""
    desk.ask("a", "b", "c").run(Does(lambda text: APIError(400, "no") if text == "b" else text))
    assert desk.run(Does()) == Summary(0, 0, 0, 3, 3, failed_before=1)
    assert desk.run(Does(), retry_failed=True) == Summary(1, 0, 0, 2, 3)


@pytest.mark.parametrize("goes", [os.unlink, lambda path: os.replace(path, f"{path}.old")], ids=["removed", "renamed"])
def test_results_that_nobody_would_find(desk, goes):
    """A file of results that has gone while it is written ends the batch."""

    def say(text):
        if text == "b":
            goes(desk.target)
        return text

    with pytest.raises(MajordomoError, match="removed, or replaced"):
        desk.ask(*"abc").run(Does(say))


def test_a_moment_in_which_nothing_ends_is_told_too(desk, monkeypatch):
    """Whoever looks on sees that time passes."""
    monkeypatch.setattr(crew, "LONGEST_WAIT", 0.01)
    hold = Holds()

    def see(progress):
        desk.progress.append(progress)
        if len(desk.progress) > 3:
            hold.let_go.set()

    assert desk.ask("a").run(Does(hold), workers=2, on_progress=see).done == 1
    assert [p.done for p in desk.progress[:4]] == [0, 0, 0, 0]


@pytest.mark.parametrize("other", [APIError(400, "no"), APIError(413, "too long"), "fine"])
def test_it_goes_on_where_only_some_fail(desk, monkeypatch, other):
    """An answer breaks the row, and so does a failure that is the line's own."""
    monkeypatch.setattr(engine, "MOST_IN_A_ROW", 10)
    model = Does(lambda text: other if int(text) % 10 == 9 else TransportError("down"))
    summary = desk.ask(*range(100)).run(model)
    assert summary.done + summary.failed == 100


def test_what_is_no_error_of_ours_ends_it(desk):
    """A bug or Ctrl-C passes, nothing more is asked, what is written is whole."""
    model = Does(lambda text: KeyboardInterrupt() if text == "3" else text)
    with pytest.raises(KeyboardInterrupt):
        desk.ask(*range(9)).run(model)
    assert [row["id"] for row in desk.results] == [0, 1, 2]
    assert desk.run(Does()) == Summary(6, 0, 0, 3, 9)


def test_whoever_is_interrupted_waits_for_nothing(desk):
    """What is under way is left behind, and asked by the next run."""
    hold = Holds()

    def say(text):
        if text != "0":
            return hold(text)
        end = time.monotonic() + PATIENCE
        while len(hold.begun) < 2 and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.05)  # in which more is made ready
        return text

    def stop(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        desk.ask(*range(9)).run(Does(say), workers=3, on_progress=stop)
    hold.let_go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("majordomo-batch"):
            thread.join(PATIENCE)
    assert len(hold.begun) <= 3
    assert caught.value.__traceback__ is not None  # for as long as it lives nothing that it holds is gone
    assert len(desk.results) == 1
    assert desk.run(Does()) == Summary(8, 0, 0, 1, 9)


# --- how far it is


def test_progress_is_told_at_the_begin_and_with_each_result(desk):
    """Counts of this run, and what an earlier one did."""
    desk.target.write_bytes(WHOLE + b"\n")
    desk.ask("a", "b", "c", "c", "d", "a").run(Does(lambda text: TransportError("x") if text == "c" else text))
    found = [(p.total, p.done, p.failed, p.skipped, p.bad) for p in desk.progress]
    assert found == [(6, 0, 0, 0, 0), (6, 1, 0, 1, 0), (6, 1, 1, 1, 0), (6, 2, 1, 1, 1), (6, 2, 1, 1, 2)]


def test_rate_and_time_left():
    """Lines a second of late, and what is left at that pace; unknown where the total is, or nothing is done yet."""
    clock = Clock()
    tally = Tally(1000, 90, clock)
    clock.now += 30  # until the first of them is asked others were passed over
    assert tally.progress() == Progress(1000, 0, 0, 0, 0, 30.0, 0.0, None)
    tally.begun()
    for _ in range(engine.LOOKED_BACK):
        clock.now += 2
        tally.ended(plain())
    tally.skipped, tally.bad = 90, 10
    assert tally.progress() == Progress(1000, 100, 0, 90, 10, 230.0, 0.5, 1600.0)
    for _ in range(engine.LOOKED_BACK):
        clock.now += 0.5
        tally.ended(TransportError("down"))
    assert tally.progress() == Progress(1000, 100, 100, 90, 10, 280.0, 2.0, 350.0)
    clock.now += 50  # nothing comes: the rate sinks
    assert tally.progress().rate == 1.0
    assert Tally(None, 0, clock).progress().left is None


def test_what_has_a_result_already_takes_no_time():
    """Nor does it count as left, wherever it stands."""
    clock = Clock()
    tally = Tally(1000, 900, clock)
    for _ in range(10):
        tally.begun()
        clock.now += 1
        tally.ended(plain())
    assert (tally.progress().rate, tally.progress().left) == (1.0, 90.0)


@pytest.mark.parametrize("text", ["\xe9" * 2000, "," * 2_000_000], ids=["too long", "too many values"])
def test_an_answer_that_could_not_be_read_back(desk, monkeypatch, text):
    """Is told to be that, with its beginning, and not paid for again by each run."""
    monkeypatch.setattr(lines, "COUNTED_FROM", 1000)
    monkeypatch.setattr(lines, "LONGEST_LINE", 5000 if len(text) < 5000 else 3_000_000)
    assert counts(desk.ask("a").run(Does(lambda asked: text))) == (0, 1, 0, 0)
    assert desk.results[0]["kind"] == "unsupported"  # a line's own, and not in vain
    assert "too long to be kept" in desk.results[0]["error"]
    assert text.startswith(desk.results[0]["partial"])
    assert desk.run(Does(lambda asked: text)).skipped == 1


def test_a_lines_own_system_prompt_wins(desk):
    """Also where it stands among the messages."""
    said = [{"role": "system", "content": "LINE"}, {"role": "user", "content": "Hi"}]
    model = Does()
    desk.put({"id": "a", "messages": said}, {"id": "b", "prompt": "Hi", "system": "LINE"}, {"id": "c", "prompt": "Hi"})
    desk.run(model, options={"system": "DEFAULT"})
    assert [request.system for request in model.requests] == ["LINE", "LINE", "DEFAULT"]


STDIN = """
import sys
from majordomo import Model, Response, assistant
from majordomo._batch_file import run_batch

class Does(Model):
    def complete(self, request, deadline):
        return Response(assistant("yes"))

totals = []
print(run_batch(Does(), "-", sys.argv[1], on_problem=print, on_progress=lambda p: totals.append(p.total)), totals[-1])
"""


@pytest.mark.parametrize("pipe", [True, False])
def test_prompts_from_the_standard_input(desk, pipe):
    """The total is known where it is a file; what was read of that before is nobody's."""
    desk.put(b"a head", {"id": 1, "prompt": "Hi"}, b"?", {"id": 2, "prompt": "Hi"})
    with open(desk.source, "rb") as file:
        file.seek(len(b"a head\n"))
        source = {"input": file.read()} if pipe else {"stdin": file}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", STDIN, desk.target],
            cwd=ROOT,
            capture_output=True,
            timeout=50,
            **source,
        )
    told, summary = done.stdout.decode().splitlines()
    assert told.startswith("<stdin>:2: the line is not JSON")
    assert summary == f"Summary(done=2, failed=0, bad=1, skipped=0, total=3, failed_before=0) {None if pipe else 3}"
    assert done.stderr == b""


# --- killed

KILLED = """
import sys
from majordomo import Registry
from majordomo._batch_file import run_batch

dsn, source, target = sys.argv[1:]
run_batch(Registry({"LLM_BOX": dsn}).parse("box/m"), source, target, workers=4)
"""


@posix
def test_killed_at_any_moment_nothing_is_lost_or_asked_twice(desk):
    """Every id has one result at the end, and the server heard no more than these and what was under way."""
    ids, kills, rng = [f"number {n}" for n in range(150)], 4, random.Random(7)
    desk.ask(*ids)

    def answer(seen):
        time.sleep(0.005)
        return Reply("On " + seen.json["messages"][-1]["content"])

    with FakeServer() as server:
        server.default = answer
        command = [sys.executable, "-c", KILLED, server.dsn(), str(desk.source), str(desk.target)]
        for part in range(1, kills + 1):
            with subprocess.Popen(command, cwd=ROOT) as process:
                enough, end = 25 * part * rng.uniform(0.8, 1.2), time.monotonic() + PATIENCE
                while len(server.requests) < enough and time.monotonic() < end:
                    time.sleep(rng.uniform(0.0005, 0.004))
                process.send_signal(signal.SIGKILL)
            before = desk.target.read_bytes()
        assert process.returncode == -signal.SIGKILL
        assert 0 < before.count(b"\n") < len(ids)
        subprocess.run(command, cwd=ROOT, check=True, timeout=50)
        asked = len(server.requests)
    assert desk.target.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert sorted((row["id"], row["text"]) for row in desk.results) == sorted((id, f"On {id}") for id in ids)
    assert len(ids) <= asked <= len(ids) + kills * 4 * NEXT
