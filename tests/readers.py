"""What servers read: one function a wire, from a request as it came to what it says.

A reader is as strict as the vendor's server, and knows nothing of our codecs: it takes
away every field it knows, holds the rules of the wire, and fails at what is left. Rules
that depend on the model are kept only where its name is known to demand them.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from urllib.parse import urlsplit

import pytest

pytest.register_assert_rewrite("contract")

from contract import Sent, Turn  # noqa: E402

# --- what several wires share

# Type of a picture -> how its bytes begin.
_BEGINNINGS = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
    "image/heic": b"\x00\x00\x00",
    "image/heif": b"\x00\x00\x00",
}


def _picture(text, mime, allowed):
    """The bytes of a picture in plain base64, of the type that it is said to be."""
    assert mime in allowed
    data = b64decode(text, validate=True)
    assert data.startswith(_BEGINNINGS[mime])
    return data


def _picture_of_url(url, allowed=("image/png", "image/jpeg", "image/gif", "image/webp")):
    head, comma, text = url.partition(",")
    kind = re.fullmatch(r"data:([a-z/]+);base64", head)
    assert kind
    assert comma
    return _picture(text, kind[1], allowed)


def _say(turn, text):
    turn.text += text
    turn.order.append("text")


def _show(turn, picture):
    turn.pictures.append(picture)
    turn.order.append("image")


def _emptied(value):
    """Nothing may be left of what was taken apart."""
    assert value == {}


def _words(text):
    return frozenset(text.split())


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _settings(body, names, kinds):
    """Take the settings out of a body: their names there -> ours, each of its kind."""
    found = {}
    for name in [name for name in body if name in names]:
        value = body.pop(name)
        assert kinds[names[name]](value), name
        found[names[name]] = value
    return found


_KINDS = {
    "max_tokens": lambda value: _is_int(value) and value >= 1,
    "temperature": lambda value: _is_number(value) and 0 <= value <= 2,
    "top_p": lambda value: _is_number(value) and 0 <= value <= 1,
    "seed": _is_int,
    "stop": lambda value: isinstance(value, list) and value and all(isinstance(one, str) and one for one in value),
}


def _schemas(schema):
    """A JSON Schema and all that are within it, each a dict of keywords."""
    assert isinstance(schema, dict)
    yield schema
    for name in ("properties", "$defs"):
        for inner in schema.get(name, {}).values():
            yield from _schemas(inner)
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(name, ()):
            yield from _schemas(inner)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _schemas(schema[name])


def _closed(schema):
    """Whether every object of a schema takes what it names and nothing else."""
    objects = [inner for inner in _schemas(schema) if inner.get("type") == "object" or "properties" in inner]
    return all(inner.get("additionalProperties") is False for inner in objects)


_STRICT_KEYWORDS = _words(
    "type properties required additionalProperties items minItems maxItems anyOf enum const $ref $defs title"
    " description pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"
)
_STRICT_FORMATS = _words("date-time time date duration email hostname ipv4 ipv6 uuid")


def hold_to_strict(schema):
    """OpenAI's rules for `strict`: what may be said, and that all of it is."""
    assert schema["type"] == "object"
    assert "anyOf" not in schema
    assert _closed(schema)
    places = {"#", *(f"#/$defs/{name}" for name in schema.get("$defs", ()))}
    for inner in _schemas(schema):
        assert set(inner) <= _STRICT_KEYWORDS
        assert inner.get("format", "date") in _STRICT_FORMATS
        assert not re.search(r"\(\?<?[=!]", inner.get("pattern", ""))
        if "$ref" in inner:
            assert set(inner) == {"$ref"}
            assert inner["$ref"] in places
            continue
        assert "type" in inner or inner["anyOf"]
        kinds = inner.get("type")
        if "object" in (kinds if isinstance(kinds, list) else [kinds]):
            assert sorted(inner["required"]) == sorted(inner["properties"])
        if "array" in (kinds if isinstance(kinds, list) else [kinds]):
            assert inner["items"]


def _paired(calls, answers):
    """Every call has its answer and every answer its call, one each."""
    assert len(set(calls)) == len(calls)
    assert sorted(calls) == sorted(answers)


# --- OpenAI's Chat Completions


def _openai_turn(message):
    role = {"developer": "system"}.get(message["role"], message.pop("role"))
    assert role in ("system", "user", "assistant", "tool")
    message.pop("role", None)
    turn = Turn(role, thinking=message.pop("reasoning_content", "") if role == "assistant" else "")
    content = message.pop("content")
    assert isinstance(content, str) or role == "user" or (role == "assistant" and message.get("tool_calls"))
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        if part.pop("type") == "text":
            _say(turn, part.pop("text"))
        else:
            _show(turn, _picture_of_url(part["image_url"].pop("url")))
            _emptied(part.pop("image_url"))
        _emptied(part)
    for call in message.pop("tool_calls", ()):
        assert role == "assistant"
        assert call.pop("type") == "function"
        function = call.pop("function")
        turn.calls.append((call.pop("id"), function.pop("name"), json.loads(function.pop("arguments"))))
        _emptied(function)
        _emptied(call)
    if role == "tool":
        turn.answers = message.pop("tool_call_id")
    _emptied(message)
    return turn


def _openai_order(turns):
    """Each call is answered at once, in any order, and nothing else is an answer."""
    waiting: list[str] = []
    for turn in turns:
        if turn.role == "tool":
            waiting.remove(turn.answers)
        else:
            assert not waiting
            waiting = [id for id, _, _ in turn.calls]
            assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", id) for id in waiting)
    assert not waiting


def _openai_schema(named, sent):
    """A schema with its name, and whether the answer is held to it."""
    sent.schema = named.pop("schema")
    assert re.fullmatch(_NAME, named.pop("name"))
    assert isinstance(named.pop("description", ""), str)
    if named.pop("strict"):
        hold_to_strict(sent.schema)
    _emptied(named)


_OPENAI_SETTINGS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "reasoning_effort": "reasoning",
}


def read_openai(seen):
    """A request of Chat Completions; fails at what does not belong there."""
    assert seen.path.endswith("/v1/chat/completions")
    body = seen.json
    sent = Sent(body.pop("model"), stream=body.pop("stream", False))
    options = body.pop("stream_options", None)
    assert options == ({"include_usage": True} if sent.stream else None)
    body.pop("chat_template_kwargs", None)
    turns = [_openai_turn(message) for message in body.pop("messages")]
    if turns[0].role == "system":
        sent.system = turns.pop(0).text
    assert all(turn.role != "system" for turn in turns)
    _openai_order(turns)
    sent.turns = turns
    for tool in body.pop("tools", ()):
        assert tool.pop("type") == "function"
        function = tool.pop("function")
        assert function["parameters"]["type"] == "object"
        sent.tools[function.pop("name")] = (function.pop("description", ""), function.pop("parameters"))
        _emptied(function)
        _emptied(tool)
    choice = body.pop("tool_choice", "auto")
    sent.choice = choice if isinstance(choice, str) else choice["function"]["name"]
    assert sent.tools or sent.choice == "auto"
    if "response_format" in body:
        wanted = body.pop("response_format")
        if wanted["type"] == "json_object":
            assert "json" in " ".join([sent.system or "", *(turn.text for turn in turns)]).lower()
            sent.schema = wanted.pop("type")
        else:
            assert wanted.pop("type") == "json_schema"
            _openai_schema(wanted.pop("json_schema"), sent)
        _emptied(wanted)
    sent.settings = {_OPENAI_SETTINGS[name]: body.pop(name) for name in list(body) if name in _OPENAI_SETTINGS}
    assert body == {}
    return sent


# --- OpenAI's Responses


_RESPONSES_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_NAME = r"[a-zA-Z0-9_-]{1,64}"


def read_openai_responses(seen):
    """A request of Responses that leaves nothing with the server.

    `settings["reasoning"]` is the effort; the `summary` that is asked for beside it is no
    setting of ours. Consecutive items of the model are one turn.
    """
    assert urlsplit(seen.path).path.endswith("/v1/responses")
    assert not urlsplit(seen.path).query
    body = seen.json
    sent = Sent(body.pop("model"), body.pop("instructions", None), stream=body.pop("stream", False))
    assert sent.system != ""
    assert body.pop("store") is False
    assert body.pop("include", ["reasoning.encrypted_content"]) == ["reasoning.encrypted_content"]
    options = body.pop("stream_options", {})
    assert sent.stream in (True, False)
    assert options == {} or (sent.stream and options == {"include_obfuscation": options["include_obfuscation"]})
    sent.turns = _responses_turns(body.pop("input"))
    _responses_tools(body, sent)
    if "text" in body:
        text = body.pop("text")
        wanted = text.pop("format")
        assert wanted.pop("type") == "json_schema"
        _openai_schema(wanted, sent)
        _emptied(text)
    names = {"max_output_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p"}
    sent.settings = _settings(body, names, {**_KINDS, "max_tokens": lambda value: _is_int(value) and value >= 16})
    if "reasoning" in body:
        reasoning = body.pop("reasoning")
        assert reasoning
        assert reasoning.pop("summary", "auto") in ("auto", "concise", "detailed")
        if "effort" in reasoning:
            sent.settings["reasoning"] = reasoning.pop("effort")
            assert sent.settings["reasoning"] in _RESPONSES_EFFORTS
        _emptied(reasoning)
    _emptied(body)
    return sent


def _responses_turns(items):
    """The turns of a list of items, whose calls are answered and whose thinking leads to something."""
    assert isinstance(items, list)
    assert items
    turns, calls, answers, ids = [], [], [], []
    for number, item in enumerate(items):
        kind = item.pop("type")
        role = item.pop("role") if kind == "message" else "tool" if kind == "function_call_output" else "assistant"
        assert role in ("user", "assistant", "tool")
        if role != "assistant" or not turns or turns[-1].role != "assistant":
            turns.append(Turn(role))
        turn = turns[-1]
        if kind == "message":
            _responses_message(item, turn)
        elif kind == "function_call":
            id, arguments = item.pop("call_id"), json.loads(item.pop("arguments"))
            assert 1 <= len(id) <= 64
            assert isinstance(arguments, dict)
            assert isinstance(item.pop("namespace", ""), str)
            turn.calls.append((id, item.pop("name"), arguments))
            assert re.fullmatch(_NAME, turn.calls[-1][1])
            calls.append(id)
        elif kind == "function_call_output":
            turn.answers = item.pop("call_id")
            assert turn.answers in calls
            answers.append(turn.answers)
            _responses_content(item.pop("output"), turn)
        else:
            assert kind == "reasoning"
            following = items[number + 1]
            assert following["type"] in ("reasoning", "function_call") or following["role"] == "assistant"
            ids += [item["id"]] if "id" in item else []
            _responses_reasoning(item, turn)
        _emptied(item)
    _paired(calls, answers)
    assert len(set(ids)) == len(ids)
    return turns


def _responses_message(item, turn):
    phase = item.pop("phase", None)
    assert phase is None or (turn.role == "assistant" and phase in ("commentary", "final_answer"))
    content = item.pop("content")
    assert content
    if turn.role == "user":
        return _responses_content(content, turn)
    for part in [{"type": "output_text", "text": content}] if isinstance(content, str) else content:
        said = {"output_text": "text", "refusal": "refusal"}[part.pop("type")]
        _say(turn, part.pop(said))
        assert (part.pop("annotations", []), part.pop("logprobs", [])) == ([], [])
        _emptied(part)


def _responses_content(content, turn):
    """What a user or a tool says: text, or parts of text and pictures."""
    if isinstance(content, str):
        return _say(turn, content)
    assert content
    for part in content:
        if part.pop("type") == "input_text":
            _say(turn, part.pop("text"))
        else:
            _show(turn, _picture_of_url(part.pop("image_url")))
            assert part.pop("detail", "auto") in ("auto", "low", "high", "original")
        _emptied(part)


def _responses_reasoning(item, turn):
    """Either sealed, or an open model's text; nothing of it can be looked up on the server."""
    assert item.pop("id", "rs_").startswith("rs_")
    summary, sealed, content = item.pop("summary"), item.pop("encrypted_content", None), item.pop("content", [])
    assert bool(sealed) != bool(content and not summary)
    for part in [*summary, *content]:
        assert part.pop("type") == ("reasoning_text" if content else "summary_text")
        turn.thinking += ("\n\n" if turn.thinking else "") + part.pop("text")
        _emptied(part)


def _responses_tools(body, sent):
    for tool in body.pop("tools", ()):
        assert tool.pop("type") == "function"
        name, parameters = tool.pop("name"), tool.pop("parameters")
        assert re.fullmatch(_NAME, name)
        assert parameters["type"] == "object"
        assert tool["strict"] in (True, False)  # always written: left out, it means true here
        if tool.pop("strict"):
            hold_to_strict(parameters)
        sent.tools[name] = (tool.pop("description", ""), parameters)
        _emptied(tool)
    if "parallel_tool_calls" in body:
        assert sent.tools
        assert body.pop("parallel_tool_calls") in (True, False)
    choice = body.pop("tool_choice", "auto")
    assert sent.tools or choice == "auto"
    if isinstance(choice, dict):
        kind = choice.pop("type")
        if kind == "allowed_tools":
            assert choice.pop("mode") == "required"
            (choice,) = choice.pop("tools")
            assert choice.pop("type") == "function"
        else:
            assert kind == "function"
        name = choice.pop("name")
        _emptied(choice)
        assert name in sent.tools
        choice = name
    else:
        assert choice in ("auto", "none", "required")
    sent.choice = choice


# --- Anthropic's Messages


DEFAULT_MAX_TOKENS = 20000
_ANTHROPIC_MIMES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ANTHROPIC_ID = r"[a-zA-Z0-9_-]+"
_ANTHROPIC_FORMATS = _words("date-time time date duration email hostname uri ipv4 ipv6 uuid")
_ANTHROPIC_UNKNOWN = _words(
    "minimum maximum multipleOf minLength maxLength pattern maxItems uniqueItems prefixItems default oneOf"
)
_ANTHROPIC_TYPED = _words("type enum const anyOf $ref")


def read_anthropic(seen, default_max_tokens=DEFAULT_MAX_TOKENS):
    """A request of Messages.

    `max_tokens` must be sent, and is no setting where it is the client's own default.
    `settings["reasoning"]` is (thinking, effort) as they stand there, None for what is
    not sent. That a tool failed is a flag there; it is read as the word it stands for.
    """
    assert seen.path.endswith("/v1/messages")
    version = seen.headers["anthropic-version"]
    assert version in ("2023-06-01", "2026-10-21")
    assert not {"x-api-key", "authorization"} <= set(seen.headers)
    body = seen.json
    sent = Sent(body.pop("model"), _anthropic_system(body), stream=body.pop("stream", False))
    assert sent.stream in (True, False)
    sent.turns = _anthropic_turns(body.pop("messages"))
    _anthropic_tools(body, sent)
    assert body.get("output_config") != {}  # which would say nothing
    thinking, output = body.pop("thinking", None), body.pop("output_config", {})
    effort = output.pop("effort", None)
    assert effort in (None, "low", "medium", "high", "xhigh", "max")
    if "format" in output:
        wanted = output.pop("format")
        assert wanted.pop("type") == "json_schema"
        sent.schema = wanted.pop("schema")
        _anthropic_schema(sent.schema)
        _emptied(wanted)
    _emptied(output)
    names = {"max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "stop_sequences": "stop"}
    assert "max_tokens" in body
    sent.settings = _settings(body, names, _KINDS)
    assert version == "2023-06-01" or not {"temperature", "top_p"} & set(sent.settings)
    assert not {"temperature", "top_p"} <= set(sent.settings)
    assert sent.settings.get("temperature", 0) <= 1
    if thinking is not None or effort is not None:
        _anthropic_thinking(thinking, sent)
        sent.settings["reasoning"] = (thinking, effort)
    if sent.settings["max_tokens"] == default_max_tokens:
        del sent.settings["max_tokens"]
    _emptied(body)
    return sent


def _anthropic_system(body):
    system = body.pop("system", None)
    if isinstance(system, list):
        assert all(set(block) == {"type", "text"} and block["type"] == "text" for block in system)
        system = "".join(block["text"] for block in system)
    assert system is None or system.strip()
    return system


def _anthropic_thinking(thinking, sent):
    if thinking is None:
        return
    fields = {"enabled": {"type", "budget_tokens"}, "disabled": {"type"}}.get(thinking["type"], {"type"})
    assert thinking["type"] in ("adaptive", "enabled", "disabled", "between_tools")
    assert fields <= set(thinking) <= fields | ({"display"} if thinking["type"] != "disabled" else set())
    assert thinking.get("display", "omitted") in ("summarized", "omitted")
    if thinking["type"] == "enabled":
        assert 1024 <= thinking["budget_tokens"] < sent.settings["max_tokens"]
        assert sent.choice in ("auto", "none")
        assert sent.settings.get("temperature", 1) == 1


def _anthropic_turns(messages):
    """Turns that alternate, begin with the user's, and answer all calls first of all."""
    assert 1 <= len(messages) <= 100_000
    turns, pending = [], []
    for number, message in enumerate(messages):
        role, content = message.pop("role"), message.pop("content")
        _emptied(message)
        assert role == ("assistant" if number % 2 else "user")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        assert blocks
        if role == "assistant":
            turn = _anthropic_assistant(blocks)
            turns.append(turn)
            pending = [id for id, _, _ in turn.calls]
        else:
            results = [block for block in blocks if block["type"] == "tool_result"]
            assert blocks[: len(results)] == results
            _paired(pending, [block["tool_use_id"] for block in results])
            pending = []
            rest = blocks[len(results) :]
            turns += map(_anthropic_result, results)
            turns += [_anthropic_content(rest, Turn("user"))] if rest else []
    assert not pending
    if turns[-1].role == "assistant":
        assert turns[-1].text == turns[-1].text.rstrip()
    return turns


def _anthropic_assistant(blocks):
    turn = Turn("assistant")
    for block in blocks:
        kind = block.pop("type")
        if kind == "text":
            assert block["text"].strip()
            _say(turn, block.pop("text"))
        elif kind == "thinking":
            turn.thinking += block.pop("thinking")
            assert b64decode(block.pop("signature"), validate=True)
        elif kind == "redacted_thinking":
            assert b64decode(block.pop("data"), validate=True)
        else:
            assert kind == "tool_use"
            turn.calls.append((block.pop("id"), block.pop("name"), block.pop("input")))
            id, name, arguments = turn.calls[-1]
            assert re.fullmatch(_ANTHROPIC_ID, id)
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name)
            assert isinstance(arguments, dict)
        _emptied(block)
    return turn


def _anthropic_result(block):
    turn = Turn("tool", answers=block.pop("tool_use_id"))
    assert block.pop("type") == "tool_result"
    failed = block.pop("is_error", False)
    assert failed in (True, False)
    content = block.pop("content", None)
    assert content is None or content
    _emptied(block)
    if failed:
        turn.text = "error: "
        assert not isinstance(content, list) or all(part["type"] == "text" for part in content)
    if content is not None:
        _anthropic_content([{"type": "text", "text": content}] if isinstance(content, str) else content, turn)
    return turn


def _anthropic_content(blocks, turn):
    """Text and pictures, into a turn."""
    for block in blocks:
        if block.pop("type") == "text":
            assert block["text"].strip()
            _say(turn, block.pop("text"))
        else:
            source = block.pop("source")
            assert source.pop("type") == "base64"
            _show(turn, _picture(source.pop("data"), source.pop("media_type"), _ANTHROPIC_MIMES))
            assert len(turn.pictures[-1]) * 4 / 3 <= 10_485_760
            _emptied(source)
        _emptied(block)
    return turn


def _anthropic_tools(body, sent):
    for tool in body.pop("tools", ()):
        name, parameters = tool.pop("name"), tool.pop("input_schema")
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name)
        assert parameters["type"] == "object"
        if tool.pop("strict", False):
            _anthropic_schema(parameters)
        sent.tools[name] = (tool.pop("description", ""), parameters)
        _emptied(tool)
    if "tool_choice" in body:
        assert sent.tools
        choice = body.pop("tool_choice")
        kind = choice.pop("type")
        assert choice.pop("disable_parallel_tool_use", False) in (True, False)
        sent.choice = choice.pop("name") if kind == "tool" else {"any": "required"}.get(kind, kind)
        assert sent.choice in ("auto", "none", "required", *sent.tools)
        _emptied(choice)


def _anthropic_schema(schema):
    assert _closed(schema)
    for inner in _schemas(schema):
        assert not _ANTHROPIC_UNKNOWN & set(inner)
        assert _ANTHROPIC_TYPED & set(inner)
        assert "$ref" not in inner or all(name.startswith("$") for name in inner)
        assert inner.get("minItems", 0) in (0, 1)
        assert inner.get("format", "date") in _ANTHROPIC_FORMATS


# --- Google's Gemini


_GOOGLE_MIMES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
_GOOGLE_JSON_SCHEMA = _words(
    "$id $defs $ref $anchor type format title description enum items prefixItems minItems maxItems minimum maximum"
    " anyOf oneOf properties additionalProperties required propertyOrdering"
)
_GOOGLE_SCHEMA = _words(
    "type format title description nullable enum items minItems maxItems properties required minProperties"
    " maxProperties minLength maxLength pattern example anyOf propertyOrdering default minimum maximum"
)
_GOOGLE_SKIP = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")


def read_google(seen):
    """A request of `generateContent` or its stream.

    `settings["reasoning"]` is `thinkingConfig` as it stands there, if it holds a level or
    a budget: to ask for thoughts alone is no setting of ours. A call or an answer without
    an id has the id `""`. What a tool answered is its `output` or `result`; of one that
    failed, the word that it is an error and its `error`.
    """
    url = urlsplit(seen.path)
    verb = url.path.rpartition(":")[2]
    assert verb in ("generateContent", "streamGenerateContent")
    assert re.search(r"/v1(beta)?/(models|tunedModels)/[^/]+$", url.path)
    assert url.query == ("alt=sse" if verb == "streamGenerateContent" else "")
    body = seen.json
    sent = Sent(seen.model, stream=verb == "streamGenerateContent")
    if "systemInstruction" in body:
        system = body.pop("systemInstruction")
        assert set(system) <= {"parts", "role"}
        assert all(set(part) == {"text"} and part["text"] for part in system["parts"])
        sent.system = "".join(part["text"] for part in system["parts"])
        assert sent.system
    sent.turns = _google_turns(body.pop("contents"), _generation(sent.model))
    _google_tools(body, sent)
    assert body.get("generationConfig") != {}  # which would say nothing
    config = body.pop("generationConfig", {})
    names = {
        "maxOutputTokens": "max_tokens",
        "temperature": "temperature",
        "topP": "top_p",
        "seed": "seed",
        "stopSequences": "stop",
    }
    sent.settings = _settings(config, names, _KINDS)
    _google_schema(config, sent)
    if "thinkingConfig" in config:
        _google_thinking(config.pop("thinkingConfig"), sent)
    _emptied(config)
    _emptied(body)
    return sent


def _generation(model):
    found = re.match(r"gemini-(\d+)", model)
    return int(found[1]) if found else 0


def _google_thinking(thinking, sent):
    assert thinking
    assert set(thinking) <= {"includeThoughts", "thinkingLevel", "thinkingBudget"}
    assert not {"thinkingLevel", "thinkingBudget"} <= set(thinking)
    assert thinking.get("includeThoughts", True) in (True, False)
    assert str(thinking.get("thinkingLevel", "LOW")).upper() in ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
    assert _is_int(thinking.get("thinkingBudget", -1))
    assert thinking.get("thinkingBudget", -1) >= -1
    if set(thinking) - {"includeThoughts"}:
        sent.settings["reasoning"] = thinking


def _google_schema(config, sent):
    mime = config.pop("responseMimeType", None)
    assert mime in (None, "application/json")
    assert not {"responseJsonSchema", "responseSchema"} <= set(config)
    for name, known in (("responseJsonSchema", _GOOGLE_JSON_SCHEMA), ("responseSchema", _GOOGLE_SCHEMA)):
        if name in config:
            assert mime == "application/json"
            sent.schema = config.pop(name)
            _google_keywords(sent.schema, known)


def _google_keywords(schema, known):
    for inner in _schemas(schema):
        assert set(inner) <= known
        assert "$ref" not in inner or all(name.startswith("$") for name in inner)
        assert all(isinstance(value, (str, int, float)) for value in inner.get("enum", ()))
    named = {f"#/$defs/{name}": inner for name, inner in schema.get("$defs", {}).items()}
    insisted = {place: set(_insisted(inner)) for place, inner in {"#": schema, **named}.items()}
    for place in insisted:
        ahead = insisted[place]
        for _ in insisted:
            ahead = ahead.union(*(insisted[other] for other in ahead))
        assert place not in ahead  # it would have no end


def _insisted(schema):
    """The references of a schema that cannot be left out with a property that is not required."""
    if "$ref" in schema:
        yield schema["$ref"]
    required = [inner for name, inner in schema.get("properties", {}).items() if name in schema.get("required", ())]
    lists = [inner for name in ("anyOf", "oneOf", "prefixItems") for inner in schema.get(name, ())]
    single = [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    for inner in (*required, *lists, *single):
        yield from _insisted(inner)


def _google_turns(contents, generation):
    """Turns in which the answers to all calls of one content are the next content, and nothing else is in it."""
    assert contents
    assert contents[0]["role"] == "user"
    step = _google_step(contents)
    turns, pending, before = [], [], ""
    for number, content in enumerate(contents):
        role, parts = content.pop("role"), content.pop("parts")
        _emptied(content)
        assert role in ("user", "model")
        assert parts
        if any("functionResponse" in part for part in parts) or pending:
            assert role == "user"
            answers = [_google_result(part) for part in parts]
            assert [(turn.answers, name) for turn, name in answers] == pending
            turns += [turn for turn, _ in answers]
            pending = []
        else:
            turn = Turn("assistant" if role == "model" else "user")
            first = next((place for place, part in enumerate(parts) if "functionCall" in part), None)
            signatures = [_google_part(part, turn) for part in parts]
            assert len(set(signatures) - {None}) == len(signatures) - signatures.count(None)
            assert first is None or before == "user"
            if first is not None and generation >= 3 and number > step:
                assert signatures[first]
            turns.append(turn)
            pending = [(id, name) for id, name, _ in turn.calls]
        before = role
    assert not pending
    return turns


def _google_step(contents):
    """Where the current turn begins: at the last content of the user's that holds text."""
    spoken = [
        number
        for number, content in enumerate(contents)
        if content["role"] == "user" and any("text" in part for part in content["parts"])
    ]
    return spoken[-1] if spoken else -1


def _google_part(part, turn):
    """One part, into a turn; its signature."""
    signature = part.pop("thoughtSignature", None)
    if signature is not None:
        assert turn.role == "assistant"
        assert signature in _GOOGLE_SKIP or b64decode(signature, validate=True)
    thought = part.pop("thought", False)
    if "text" in part:
        text = part.pop("text")
        assert text or signature
        if thought:
            assert turn.role == "assistant"
            turn.thinking += text
        elif text:
            _say(turn, text)
    elif "inlineData" in part:
        data = part.pop("inlineData")
        _show(turn, _picture(data.pop("data"), data.pop("mimeType"), _GOOGLE_MIMES))
        _emptied(data)
    else:
        assert turn.role == "assistant"
        call = part.pop("functionCall")
        turn.calls.append((call.pop("id", ""), call.pop("name"), call.pop("args", {})))
        id, name, arguments = turn.calls[-1]
        assert isinstance(id, str)
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", name)
        assert isinstance(arguments, dict)
        _emptied(call)
    _emptied(part)
    return signature


def _google_result(part):
    """(turn, name of the function) of an answer."""
    result = part.pop("functionResponse")
    _emptied(part)
    turn = Turn("tool", answers=result.pop("id", ""))
    name, said = result.pop("name"), result.pop("response")
    assert isinstance(said, dict)
    assert len(said) <= 1
    for key, value in said.items():
        assert key in ("output", "result", "error")
        text = value if isinstance(value, str) else json.dumps(value)
        _say(turn, f"error: {text}" if key == "error" else text)
    for inner in result.pop("parts", ()):
        data = inner.pop("inlineData")
        _show(turn, _picture(data.pop("data"), data.pop("mimeType"), ("image/png", "image/jpeg", "image/webp")))
        _emptied(data)
        _emptied(inner)
    _emptied(result)
    return turn, name


def _google_tools(body, sent):
    for tool in body.pop("tools", ()):
        declared = tool.pop("functionDeclarations")
        _emptied(tool)
        assert declared
        for function in declared:
            name = function.pop("name")
            assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", name)
            assert not {"parameters", "parametersJsonSchema"} <= set(function)
            parameters = {"type": "object", "properties": {}}  # what a function without any has
            for key, known in (("parametersJsonSchema", _GOOGLE_JSON_SCHEMA), ("parameters", _GOOGLE_SCHEMA)):
                if key in function:
                    parameters = function.pop(key)
                    _google_keywords(parameters, known)
            sent.tools[name] = (function.pop("description", ""), parameters)
            _emptied(function)
    if "toolConfig" in body:
        assert sent.tools
        config = body.pop("toolConfig")
        calling = config.pop("functionCallingConfig")
        mode, allowed = calling.pop("mode"), calling.pop("allowedFunctionNames", None)
        sent.choice = {"AUTO": "auto", "VALIDATED": "auto", "NONE": "none", "ANY": "required"}[mode]
        if allowed is not None:
            assert mode == "ANY"
            (sent.choice,) = allowed
            assert sent.choice in sent.tools
        _emptied(calling)
        _emptied(config)


# --- Ollama's own


def read_ollama(seen):
    """A request of `/api/chat`.

    `settings["reasoning"]` is `think`; `keep_alive` and options that have no name among
    ours stand in `settings` under their own. There is no choice of tools.
    """
    assert seen.path.endswith("/api/chat")
    body = seen.json
    sent = Sent(body.pop("model"), stream=body.pop("stream", True))
    assert sent.model
    assert sent.stream in (True, False)
    turns = _ollama_turns(body.pop("messages"))
    if turns[0].role == "system":
        sent.system = turns.pop(0).text
        assert sent.system
    sent.turns = turns
    assert all(turn.role != "system" for turn in turns)
    for tool in body.pop("tools", ()):
        assert tool.pop("type") == "function"
        function = tool.pop("function")
        _emptied(tool)
        name, parameters = function.pop("name"), function.pop("parameters")
        assert parameters["type"] == "object"
        assert isinstance(parameters["properties"], dict)
        assert not any("$ref" in inner for inner in _schemas(parameters))  # it would be dropped in silence
        sent.tools[name] = (function.pop("description", ""), parameters)
        _emptied(function)
    if "format" in body:
        sent.schema = body.pop("format")
        assert sent.schema == "json" or isinstance(sent.schema, dict)
    assert body.get("options") != {}  # which would say nothing
    sent.settings = _ollama_options(body.pop("options", {}))
    if "think" in body:
        think = sent.settings["reasoning"] = body.pop("think")
        assert isinstance(think, bool) or think in ("low", "medium", "high", "max")
    if "keep_alive" in body:
        keep = sent.settings["keep_alive"] = body.pop("keep_alive")
        assert _is_number(keep) or re.fullmatch(r"-?(\d+(\.\d+)?(ns|us|ms|s|m|h))+", keep)
    _emptied(body)
    return sent


_OLLAMA_NAMES = {"num_predict": "max_tokens"}
_OLLAMA_OPTIONS = {
    **dict.fromkeys(_words("temperature top_p min_p typical_p repeat_penalty presence_penalty frequency_penalty"), 1.0),
    **dict.fromkeys(_words("num_predict top_k seed repeat_last_n num_keep num_ctx num_batch num_gpu main_gpu"), 1),
    **dict.fromkeys(_words("num_thread draft_num_predict"), 1),
    "use_mmap": True,
    "stop": [""],
}


def _ollama_options(options):
    """Options by our names, each of the type that the server insists on."""
    found = {}
    for name, value in options.items():
        wanted = type(_OLLAMA_OPTIONS[name])
        assert isinstance(value, (int, float) if wanted is float else wanted)
        assert isinstance(value, bool) == (wanted is bool)
        assert wanted is not list or all(isinstance(one, str) for one in value)
        found[_OLLAMA_NAMES.get(name, name)] = value
    return found


def _ollama_turns(messages):
    """Turns with text as plain strings; behind calls stand their answers, in the order of the calls."""
    assert messages
    turns, pending = [], []
    for message in messages:
        turn = Turn(message.pop("role"))
        assert turn.role in ("system", "user", "assistant", "tool")
        content = message.pop("content")
        assert isinstance(content, str)
        if content:
            _say(turn, content)
        if turn.role in ("user", "tool"):
            for text in message.pop("images", ()):
                assert not text.startswith("data:")
                _show(turn, b64decode(text, validate=True))
        if turn.role == "tool":
            turn.answers = message.pop("tool_call_id")
            assert (turn.answers, message.pop("tool_name")) == pending.pop(0)
        else:
            assert not pending
        if turn.role == "assistant":
            turn.thinking = message.pop("thinking", "")
            turn.calls = [_ollama_call(call) for call in message.pop("tool_calls", ())]
            pending = [(id, name) for id, name, _ in turn.calls]
            assert len({id for id, _ in pending}) == len(pending)
        _emptied(message)
        turns.append(turn)
    assert not pending
    return turns


def _ollama_call(call):
    function = call.pop("function")
    found = call.pop("id"), function.pop("name"), function.pop("arguments")
    assert found[0]
    assert isinstance(found[2], dict)
    assert _is_int(function.pop("index", 0))
    _emptied(function)
    _emptied(call)
    return found


# Scheme -> reader.
READERS = {
    "openai": read_openai,
    "llama-swap": read_openai,
    "openai-responses": read_openai_responses,
    "anthropic": read_anthropic,
    "google": read_google,
    "gemini": read_google,
    "ollama": read_ollama,
    "ollama-cloud": read_ollama,
    "foreman": read_ollama,
}
