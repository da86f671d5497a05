"""A fit that was killed in the middle goes on to the same bytes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from tests.backbones.test_text_encoder import tiny_bert

WORDS = ("small", "test", "another", "longer", "very", "same", "thing")


def write_data(path: Path, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for i in range(60):
            words = [*generator.choice(WORDS, size=5), f"n{i}", *["small"] * (i % 2)]
            writer.writerow((" ".join(words), "ab"[i % 2]))
    return path


def command(data: Path, model: Path, out: Path, *more: str) -> list[str]:
    options = ["--model", str(model), "--method", "contrastive", "--set", "epochs=8", "--budget", "1h"]
    return [sys.executable, "-m", "fewtune", "fit", str(data), *options, "--out", str(out), "--json", *more]


def test_sigkill_and_resume_give_the_same_bytes(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data.csv"), tiny_bert(tmp_path / "bert")
    whole = subprocess.run(command(data, model, tmp_path / "whole"), capture_output=True, text=True, check=True)
    out = tmp_path / "killed"
    process = subprocess.Popen(command(data, model, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finished = out.with_name("killed.work") / "journal"
    deadline = time.monotonic() + 120
    while len(list(finished.glob("*.npy"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in finished.glob("*.npy")}
    assert len(before) >= 5
    assert not out.exists(), "it was done before it was killed"
    other = write_data(tmp_path / "other.csv", seed=1)
    refused = subprocess.run(command(other, model, out, "--resume"), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "data_sha256" in json.loads(refused.stdout)["error"]["what"]
    done = subprocess.run(command(data, model, out, "--resume"), capture_output=True, text=True, check=True)
    for name in ("model.onnx", "tokenizer.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    ours, theirs = (json.loads(some.stdout)["rungs"] for some in (done, whole))
    assert [rung["scores"] for rung in ours] == [rung["scores"] for rung in theirs]
    assert not finished.exists()
