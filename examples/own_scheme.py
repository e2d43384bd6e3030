"""A scheme of your own: any program that reads a question and prints an answer is a target.

    export LLM_TOOL="program:///usr/local/bin/answer?format=plain"
    python3 own_scheme.py "tool/small, openai/gpt-5-mini" "Why is the sky blue?"

asks `/usr/local/bin/answer --model small --format plain`, and OpenAI when that fails or takes too
long. A `Model` has two duties beside its answer: to end before its deadline, and to raise the errors
of majordomo, whose classes tell a chain what to do next.
"""

from __future__ import annotations

import subprocess
import sys

from majordomo import (
    Capabilities,
    ConfigError,
    MajordomoError,
    Model,
    Provider,
    Response,
    TransportError,
    assistant,
    parse,
    register_scheme,
)

PIPES = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
DAY = 24 * 3600.0  # a deadline may be infinite, and a pipe cannot be waited for that long


class Program(Model):
    """One model of a program."""

    capabilities = Capabilities(max_images_per_request=0, tools=False, structured_output=False)  # then others are asked

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.command = name, command

    def complete(self, request, deadline) -> Response:
        """The answer, before the deadline."""
        question = "\n\n".join(filter(None, [request.system, *(message.text for message in request.messages)]))
        try:
            process = subprocess.Popen(self.command, encoding="utf-8", errors="replace", **PIPES)
        except OSError as error:
            raise TransportError(f"{self.command[0]} cannot be run: {error.strerror}") from error
        with process:
            try:
                printed, complaint = process.communicate(question, timeout=min(deadline.require(), DAY))
            except BaseException:  # whatever it is: nobody reads what the program would print
                process.kill()
                deadline.require()  # raises its own error if it was the deadline
                raise
        if process.returncode:
            raise TransportError(f"it ended with status {process.returncode}: {complaint.strip()[-200:]}")
        return Response(assistant(printed.strip()), model=self.name)


class Programs(Provider):
    """What `LLM_<NAME>=program:///PATH?OPTION=VALUE` stands for; the options become the program's own."""

    def __init__(self, name: str, dsn) -> None:
        if dsn.host or not dsn.path:
            raise ConfigError("a program is written program:///PATH, with three slashes")
        self.name, self.base_url = name, f"file://{dsn.path}"
        self._options = [word for name, value in dsn.options.items() for word in (f"--{name}", value)]
        self._path = dsn.path

    def model(self, id: str) -> Model:
        return Program(f"{self.name}/{id}", [self._path, "--model", id, *self._options])


register_scheme("program", Programs)

if __name__ == "__main__":
    try:
        reply = parse(sys.argv[1]).generate(sys.argv[2], timeout=float(sys.argv[3]) if sys.argv[3:] else 60)
    except MajordomoError as error:
        sys.exit(f"own_scheme: {error}")
    print(f"{reply.model}: {reply.text}")
