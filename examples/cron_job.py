"""A cron job: says in a few lines what a log is about, in a file that is never half written.

    MAJORDOMO_MODEL=box/qwen3:14b, openai/gpt-5-mini
    MAJORDOMO_HEALTH=/home/joe/.majordomo-health
    LLM_BOX=llama-swap://TOKEN@192.168.1.20:8080
    OPENAI_API_KEY=sk-...
    7 * * * *  python3 /home/joe/jobs/cron_job.py /var/log/backup.log /home/joe/public/backup.txt

This is a whole crontab: cron reads no shell profile, and takes variables as they stand, without
`export`. With MAJORDOMO_HEALTH the run of the next hour knows already which host is down. Cron mails
whatever a job prints, so it prints nothing when all is well, and one line when not.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from pathlib import Path

from majordomo import MajordomoError, parse

SPEC = os.environ.get("MAJORDOMO_MODEL", "ollama/qwen3:4b, openai/gpt-5-mini")
TIMEOUT = 15 * 60  # seconds for all targets and retries: well below the hour between two runs
MAX_BYTES = 30_000  # of the log's end: what the smallest of the targets can read

SYSTEM = "You read logs for a busy administrator. Name what went wrong and what to do, in five lines at most."


def end_of(path: Path) -> str:
    """The last part of a log, which may be huge and is not always UTF-8."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_BYTES))
        return file.read(MAX_BYTES).decode("utf-8", "replace")


def write_whole(path: Path, text: str) -> None:
    """The old file or the new one, whenever somebody looks and whatever happens meanwhile."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def run(log: Path, result: Path) -> None:
    with open(f"{result}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go when the process ends, however it ends
        reply = parse(SPEC).generate(end_of(log), system=SYSTEM, timeout=TIMEOUT)
        if reply.stop_reason != "stop" or not reply.text.strip():
            raise MajordomoError(
                f"{reply.model} gave no whole answer ({reply.stop_reason}, {len(reply.text)} characters)"
            )
        write_whole(result, reply.text.strip() + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("result", type=Path)
    asked = parser.parse_args()
    try:
        run(asked.log, asked.result)
    except BlockingIOError:
        print("cron_job: the run before is still at it", file=sys.stderr)
    except (MajordomoError, OSError) as error:
        print("cron_job:", "; ".join(str(error).split("\n  ")), file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
