"""A warm call and a streamed chunk of each wire, against the vendor's own SDK for it.

The SDKs are installed into a scratch environment, which goes when the run ends; with
`BENCH_SDKS=DIR` it is kept there for the next run. Both sides ask the same fake server, in
one process and in turns; what is compared is CPU time of that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import _measure

SDKS = ("openai", "anthropic", "google-genai", "ollama")
CALLS = 60
WORDS = 1500
PROMPT = [{"role": "user", "content": "Hi"}]


def _openai(host: str):
    from openai import OpenAI

    client = OpenAI(base_url=f"http://{host}/v1", api_key="t")

    def stream():
        for chunk in client.chat.completions.create(model="m", messages=PROMPT, stream=True):
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    return lambda: client.chat.completions.create(model="m", messages=PROMPT).choices[0].message.content, stream


def _responses(host: str):
    from openai import OpenAI

    client = OpenAI(base_url=f"http://{host}/v1", api_key="t")

    def stream():
        for event in client.responses.create(model="m", input=PROMPT, stream=True):
            if event.type == "response.output_text.delta":
                yield event.delta

    return lambda: client.responses.create(model="m", input=PROMPT).output_text, stream


def _anthropic(host: str):
    from anthropic import Anthropic

    client = Anthropic(base_url=f"http://{host}", api_key="t")
    asked = {"model": "m", "max_tokens": 1000, "messages": PROMPT}

    def stream():
        for event in client.messages.create(**asked, stream=True):
            if event.type == "content_block_delta":
                yield event.delta.text

    return lambda: client.messages.create(**asked).content[0].text, stream


def _google(host: str):
    from google import genai

    options = {"base_url": f"http://{host}", "api_version": "v1beta"}
    client = genai.Client(api_key="t", http_options=options)  # which closes when nobody holds it

    def stream():
        for chunk in client.models.generate_content_stream(model="m", contents="Hi"):
            yield chunk.text or ""

    return lambda: client.models.generate_content(model="m", contents="Hi").text, stream


def _ollama(host: str):
    from ollama import Client

    client = Client(host=f"http://{host}")

    def stream():
        for chunk in client.chat(model="m", messages=PROMPT, stream=True):
            yield chunk.message.content or ""

    return lambda: client.chat(model="m", messages=PROMPT).message.content, stream


# Scheme -> (the vendor's SDK for its wire, how many times its CPU time ours may be had).
WIRES = {
    "openai": (_openai, 4.0),
    "openai-responses": (_responses, 4.0),
    "anthropic": (_anthropic, 4.0),
    "google": (_google, 4.0),
    "ollama": (_ollama, 2.0),
}


def measured(host: str, many: str) -> dict[str, dict[str, float]]:
    """CPU seconds of a call and of a chunk, ours and theirs, by scheme. many: the host that streams long answers."""
    from majordomo import Registry

    found = {}
    for scheme, (sdk, _) in WIRES.items():
        (call, _), (_, stream) = sdk(host), sdk(many)
        registry = Registry({"LLM_A": f"{scheme}+http://t@{host}", "LLM_B": f"{scheme}+http://t@{many}"})
        short, long = registry.parse("a/m"), registry.parse("b/m")
        assert call() == short.generate("Hi").text
        assert "".join(stream()) == "".join(long.stream("Hi").text_deltas())
        found[scheme] = _measure.in_turns(
            7,
            call=lambda call=call: _measure.cpu(call, CALLS),
            our_call=lambda short=short: _measure.cpu(lambda: short.generate("Hi").text, CALLS),
            chunk=lambda stream=stream: _measure.cpu(lambda: "".join(stream()), 1) / WORDS,
            our_chunk=lambda long=long: _measure.cpu(lambda: "".join(long.stream("Hi").text_deltas()), 1) / WORDS,
        )
    return found


def _installed(folder: Path) -> str | None:
    """The Python of an environment that has the SDKs, None if they cannot be had."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", *SDKS], capture_output=True, check=False)
    return str(python) if done.returncode == 0 else None


def _report(found: dict[str, dict[str, float]]) -> None:
    fastest = min(figures["chunk"] for figures in found.values())
    for scheme, figures in found.items():
        times = figures["call"] / figures["our_call"]
        what = f"{scheme}: the SDK's call to ours ({figures['our_call'] * 1e6:.0f} us)"
        _measure.row(what, f"{times:.1f}", f"at least {WIRES[scheme][1]:.0f}")
        chunk = figures["our_chunk"]
        what = f"{scheme}: our chunk to its SDK's ({chunk * 1e6:.1f} us), to the fastest"
        _measure.row(what, f"{chunk / figures['chunk']:.2f} {chunk / fastest:.2f}", "at most 1")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        python = _installed(Path(os.environ.get("BENCH_SDKS") or scratch))
        if python is None:
            _measure.row("the vendors' SDKs", "not here", "they could not be installed")
            return
        with _measure.Server() as host, _measure.Server(WORDS) as many:
            done = subprocess.run([python, __file__, host, many], stdout=subprocess.PIPE, check=True)
        _report(json.loads(done.stdout))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(*sys.argv[1:])))
    else:
        main()
