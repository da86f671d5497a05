"""A process that runs TextAttack (`worker.py`), and the conversation with it: JSON lines over its input and output."""

from __future__ import annotations

import atexit
import json
import math
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from threading import TIMEOUT_MAX, Event, Timer
from typing import Any

from fewtune.attack.environment import broken_environment, find_python
from fewtune.attack.resources import RESOURCES
from fewtune.errors import InternalError

Answer = Callable[..., Any]
_WORKER = Path(__file__).with_name("worker.py")
# What it printed, in a folder of its own, where TextAttack would keep its downloads. It would begin with data for
# NLTK, unless the other file says that this was done.
_PRINTED, _INSTALLED_MARK = "printed.txt", "post_install_check_3"


# What TextAttack raises over texts that its own words do not fit.
_OF_THE_TEXT = ("IndexError", "ValueError", "AssertionError")


class JobError(Exception):
    """What TextAttack could not do.

    Attributes:
        of_the_text: it cannot take this text; it may take others.
    """

    def __init__(self, why: str) -> None:
        """Say why, an exception's name first."""
        super().__init__(why)
        self.of_the_text = why.startswith(_OF_THE_TEXT)


class OutOfTimeError(Exception):
    """A job took longer than it might."""


class AttackProcess:
    """A worker that does one job at a time. Starts at the first job; `close` ends it."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        """Run `command`; without one, the worker in the environment that has TextAttack."""
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Start it, if it does not run; takes seconds.

        Raises:
            MissingExtraError: there is no environment with TextAttack, or it cannot be loaded there.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        command = self._command or (str(find_python()), str(_WORKER))
        self._folder = tempfile.TemporaryDirectory(prefix="fewtune-attack-")
        folder = Path(self._folder.name)
        (folder / _INSTALLED_MARK).touch()
        # What is set for our own libraries, and where they are, is not meant for another environment's.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
        environment |= {
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONHASHSEED": "0",
        }
        environment["TA_CACHE_DIR"] = str(folder)
        with (folder / _PRINTED).open("wb") as printed:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, env=environment
            )
        try:
            found = self._until_done(RESOURCES)
        except InternalError as error:
            raise broken_environment(Path(command[0]), error.what) from None
        except BaseException:
            self.close()
            raise
        if "ready" not in found:
            self.close()
            raise broken_environment(Path(command[0]), str(found.get("failed")))

    def do(self, job: Mapping[str, Any], answers: Mapping[str, Answer], *, seconds: float = math.inf) -> Any:
        """Have a job done.

        Args:
            job: "job" is its kind; the rest is the kind's own (see `worker.py`).
            answers: what answers each question that the worker may ask on the way, beside `RESOURCES`.
            seconds: how long it may take.

        Returns:
            What the job gave.

        Raises:
            MissingExtraError: there is no environment with TextAttack.
            JobError: TextAttack failed.
            OutOfTimeError: it took too long.
            InternalError: the worker died.
        """
        self.start()
        assert self._process is not None
        ended = Event()
        timer = Timer(min(seconds, TIMEOUT_MAX), _end, (self._process, ended))
        timer.daemon = True
        timer.start()
        try:
            self._send(job)
            found = self._until_done({**RESOURCES, **answers})
        except BaseException:
            # What was not read to its end would be taken for the next job's.
            self.close()
            if ended.is_set():
                raise OutOfTimeError from None
            raise
        finally:
            timer.cancel()
        if "failed" in found:
            raise JobError(found["failed"])
        return found["done"]

    def _until_done(self, answers: Mapping[str, Answer]) -> Mapping[str, Any]:
        """Answer questions until something else comes."""
        while True:
            message = self._receive()
            if "ask" not in message:
                return message
            what = message.pop("ask")
            self._send({"answer": answers[what](**message)})

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _receive(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        return json.loads(line)

    def _died(self) -> InternalError:
        assert self._folder is not None
        printed = (Path(self._folder.name) / _PRINTED).read_text("utf-8", "replace").strip().rpartition("\n")[2]
        self.close()
        return InternalError(f"The process that runs TextAttack ended{f': {printed}' if printed else '.'}")

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _end(process: subprocess.Popen[bytes], ended: Event) -> None:
    ended.set()
    process.kill()


@cache
def the_process() -> AttackProcess:
    """The process that all jobs of this one share; ends with it."""
    process = AttackProcess()
    atexit.register(process.close)
    return process
