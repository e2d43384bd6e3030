"""Who is compared: a row each, with the lines that somebody writes who uses it.

The lines stand here as text, because they are run as a whole program, as an import alone
and as calls of a program that is running already; a program has nothing else in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from floors import PROMPT

URLOPEN = """
import json, sys, urllib.request
body = json.dumps({"model": "m", "messages": PROMPT}).encode()
headers = {"Content-Type": "application/json", "Authorization": "Bearer t"}
request = urllib.request.Request("http://" + host + "/v1/chat/completions", body, headers)
with urllib.request.urlopen(request, timeout=60) as answer:
    payload = json.loads(answer.read())
text = payload["choices"][0]["message"]["content"]
"""


@dataclass(frozen=True)
class Contender:
    """One column on one wire.

    imports: what its user imports. client: makes what is kept between calls, from `host`.
    call: the text of an answer. pieces: an iterable of the pieces of a streamed one.
    package: what pip calls it, None if there is nothing to install. environ: what its
    documentation says to set, `{host}` filled in. whole: the shortest program, if that is another one.
    """

    name: str
    wire: str
    imports: str
    client: str
    call: str
    pieces: str
    package: str | None = None
    environ: dict[str, str] = field(default_factory=dict)
    whole: str | None = None

    @property
    def key(self) -> str:
        return f"{self.name} {self.wire}"

    def lines(self) -> dict[str, str]:
        """What `_worker` wants to know."""
        return {
            "name": self.name,
            "prompt": f"PROMPT = {PROMPT!r}\n",
            "imports": self.imports,
            "client": self.client,
            "call": self.call,
            "pieces": self.pieces,
        }

    def settings(self, host: str) -> dict[str, str]:
        """Its environment."""
        return {name: value.format(host=host) for name, value in self.environ.items()}

    def program(self) -> str:
        """A program that asks one question and ends; the host is its argument."""
        asked = self.whole or f"{self.imports}\nclient = {self.client}\ntext = {self.call}\n"
        return f"import sys\nhost = sys.argv[1]\nPROMPT = {PROMPT!r}\n{asked}\nassert text.startswith('word')\n"


def _floor(wire: str, name: str) -> Contender:
    client = f"floors.ByHand(floors.{name}, host)"
    return Contender("by hand", wire, "import floors", client, "client.call()", "client.pieces()", whole=URLOPEN)


def _ours(wire: str, scheme: str) -> Contender:
    return Contender(
        "majordomo",
        wire,
        "from majordomo import parse",
        "parse('box/m')",
        "client.generate('Hi').text",
        "client.stream('Hi').text_deltas()",
        environ={"LLM_BOX": scheme + "://t@{host}"},
    )


FLOORS = {
    "chat": _floor("chat", "Chat"),
    "responses": _floor("responses", "Responses"),
    "anthropic": _floor("anthropic", "Anthropic"),
    "google": _floor("google", "Google"),
    "ollama": _floor("ollama", "Ollama"),
}
OURS = {
    "chat": _ours("chat", "llama-swap"),
    "responses": _ours("responses", "openai-responses+http"),
    "anthropic": _ours("anthropic", "anthropic+http"),
    "google": _ours("google", "google+http"),
    "ollama": _ours("ollama", "ollama+http"),
}
SDKS = (
    Contender(
        "openai",
        "chat",
        "from openai import OpenAI",
        "OpenAI(base_url=f'http://{host}/v1', api_key='t')",
        "client.chat.completions.create(model='m', messages=PROMPT).choices[0].message.content",
        "(chunk.choices[0].delta.content or '' for chunk in"
        " client.chat.completions.create(model='m', messages=PROMPT, stream=True) if chunk.choices)",
        "openai",
    ),
    Contender(
        "anthropic",
        "anthropic",
        "from anthropic import Anthropic",
        "Anthropic(base_url=f'http://{host}', api_key='t')",
        "client.messages.create(model='m', max_tokens=1000, messages=PROMPT).content[0].text",
        "(event.delta.text for event in"
        " client.messages.create(model='m', max_tokens=1000, messages=PROMPT, stream=True)"
        " if event.type == 'content_block_delta')",
        "anthropic",
    ),
    Contender(
        "google-genai",
        "google",
        "from google import genai",
        "genai.Client(api_key='t', http_options={'base_url': f'http://{host}', 'api_version': 'v1beta'})",
        "client.models.generate_content(model='m', contents='Hi').text",
        "(chunk.text or '' for chunk in client.models.generate_content_stream(model='m', contents='Hi'))",
        "google-genai",
    ),
    Contender(
        "ollama",
        "ollama",
        "from ollama import Client",
        "Client(host=f'http://{host}')",
        "client.chat(model='m', messages=PROMPT).message.content",
        "(chunk.message.content or '' for chunk in client.chat(model='m', messages=PROMPT, stream=True))",
        "ollama",
    ),
    Contender(
        "litellm",
        "chat",
        "import litellm",
        "dict(model='openai/m', api_base=f'http://{host}/v1', api_key='t', messages=PROMPT)",
        "litellm.completion(**client).choices[0].message.content",
        "(chunk.choices[0].delta.content or '' for chunk in litellm.completion(**client, stream=True))",
        "litellm",
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # else its import fetches a list of prices
    ),
)
# The other wire of a vendor whose main one has the column.
MORE_SDKS = (
    Contender(
        "openai",
        "responses",
        "from openai import OpenAI",
        "OpenAI(base_url=f'http://{host}/v1', api_key='t')",
        "client.responses.create(model='m', input=PROMPT).output_text",
        "(event.delta for event in client.responses.create(model='m', input=PROMPT, stream=True)"
        " if event.type == 'response.output_text.delta')",
        "openai",
    ),
)
