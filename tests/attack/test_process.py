"""The conversation with the other process, spoken here by a small program without TextAttack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fewtune.attack.process import AttackProcess, JobError, OutOfTimeError
from fewtune.errors import InternalError, MissingExtraError

# Asks twice, prints on what would be its output, and fails where it is told to.
SPEAKER = """
import json, sys

def say(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()

def ask(**question):
    say(**question)
    return json.loads(sys.stdin.readline())["answer"]

say(ask="stop_words")
json.loads(sys.stdin.readline())
say(ready={})
for line in sys.stdin:
    job = json.loads(line)
    if job["job"] == "die":
        sys.exit("the disk is gone")
    if job["job"] == "hang":
        sys.stdin.readline()
    elif job["job"] == "fail":
        say(failed="TypeError: no")
    else:
        say(done=[ask(ask="probabilities", texts=[job["text"]]), job["text"]])
"""


@pytest.fixture
def process(tmp_path: Path):
    (tmp_path / "speaker.py").write_text(SPEAKER)
    process = AttackProcess((sys.executable, str(tmp_path / "speaker.py")))
    yield process
    process.close()


def test_questions_are_answered_on_the_way(process: AttackProcess) -> None:
    for text in ("a", "包裹 \n \ud83d"):
        assert process.do({"job": "x", "text": text}, {"probabilities": lambda texts: len(texts[0])}) == [
            len(text),
            text,
        ]


def test_what_fails_there_does_not_end_it(process: AttackProcess) -> None:
    with pytest.raises(JobError, match="TypeError: no"):
        process.do({"job": "fail"}, {})
    assert process.do({"job": "x", "text": "a"}, {"probabilities": lambda texts: 1}) == [1, "a"]


def test_its_death_is_told_with_its_last_words_and_the_next_job_starts_another(process: AttackProcess) -> None:
    with pytest.raises(InternalError, match="the disk is gone"):
        process.do({"job": "die"}, {})
    assert process.do({"job": "x", "text": "a"}, {"probabilities": lambda texts: 1}) == [1, "a"]


def test_a_job_that_takes_too_long_is_ended(process: AttackProcess) -> None:
    with pytest.raises(OutOfTimeError):
        process.do({"job": "hang"}, {}, seconds=0.2)
    assert process.do({"job": "x", "text": "a"}, {"probabilities": lambda texts: 1}, seconds=60) == [1, "a"]


def test_an_interrupt_leaves_nothing_unread_for_the_next_job(process: AttackProcess) -> None:
    def interrupted(texts: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.do({"job": "x", "text": "a"}, {"probabilities": interrupted})
    assert process.do({"job": "x", "text": "b"}, {"probabilities": lambda texts: 2}) == [2, "b"]


def test_where_textattack_cannot_be_loaded_the_command_that_installs_it_is_told() -> None:
    process = AttackProcess((sys.executable, "-c", """print('{"failed": "ModuleNotFoundError: textattack"}')"""))
    with pytest.raises(MissingExtraError, match="ModuleNotFoundError: textattack") as caught:
        process.start()
    assert "make install" in caught.value.how
    assert "fewtune[attack]" in caught.value.how
    with pytest.raises(MissingExtraError, match="no such thing"):
        AttackProcess((sys.executable, "-c", "raise SystemExit('no such thing')")).start()


def test_the_worker_without_textattack_says_so(tmp_path: Path) -> None:
    """It is run with `-S`, so that nothing that is installed is found."""
    import fewtune.attack.process as module

    worker = Path(module.__file__).with_name("worker.py")
    done = subprocess.run([sys.executable, "-S", str(worker)], capture_output=True, stdin=subprocess.DEVNULL, text=True)
    assert done.returncode == 0
    assert "ModuleNotFoundError" in done.stdout
