"""The real command, in a process of its own."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

import fewtune
from fewtune.cli import _print_json, _reporting
from tests.conftest import needs_encoder


def run(*arguments: object, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fewtune", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=300, encoding="utf-8")


def test_fit_predict_evaluate_export(csv_file: Path, tmp_path: Path) -> None:
    done = run("fit", csv_file, "--method", "tfidf", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    wanted = "bundle task method model scores primary_metric rungs left_out seconds peak_memory_mb"
    assert set(wanted.split()) <= set(result)
    assert set(result["scores"]["accuracy"]) == {"value", "low", "high", "n", "level", "interval_method"}
    bundle = tmp_path / result["bundle"]
    assert bundle.name == "tickets.fewtune"

    (tmp_path / "new.csv").write_text('id,text\n1,"Where, oh where is my parcel"\n2,\n')
    done = run("predict", bundle, "new.csv", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "id,text,prediction,confidence"
    assert lines[1].startswith('1,"Where, oh where is my parcel",')
    assert len(lines) == 3
    done = run("predict", bundle, "-", "--json", stdin="text\nhello\n", cwd=tmp_path)
    assert set(json.loads(done.stdout)["predictions"][0]) == {"prediction", "confidence"}
    assert run("predict", bundle, "new.csv", "--out", "out.jsonl", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["id"] == "1"

    done = run("evaluate", bundle, csv_file, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["scores"]["accuracy"]["value"] > 0.9
    assert run("export", bundle, "--out", "exported", cwd=tmp_path).returncode == 0
    assert fewtune.load(tmp_path / "exported").labels == tuple(result["labels"])


@needs_encoder
def test_demo_makes_a_good_bundle_twice(tmp_path: Path) -> None:
    for _ in range(2):
        done = run("demo", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["scores"]["accuracy"]["value"] > 0.85
        bundle = tmp_path / result["bundle"]
        graphs = json.loads((bundle / "bundle.json").read_text())["graphs"]
        assert graphs
        assert all((bundle / graph["file"]).is_file() for graph in graphs)


def test_predict_says_what_is_unsure_and_which_labels_are_possible(csv_file: Path, tmp_path: Path) -> None:
    done = run("fit", csv_file, "--method", "tfidf", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    thresholds = {row["target_error"]: row["below"] for row in result["answer_rules"]["thresholds"]}
    (tmp_path / "new.csv").write_text('text\n"Where, oh where is my parcel"\nqwertz uiop\n')
    done = run("predict", "tickets.fewtune", "new.csv", "--sets", "0.9", cwd=tmp_path)
    assert done.stdout.splitlines()[0] == "text,prediction,confidence,labels"
    for goal, below in thresholds.items():
        done = run("predict", "tickets.fewtune", "new.csv", "--max-error", goal, "--json", cwd=tmp_path)
        if below is None:
            assert done.returncode == 2
        else:
            for row in json.loads(done.stdout)["predictions"]:
                assert row["unsure"] == (row["confidence"] < below)
                assert row["outside"] is False
    for wrong in (("--max-error", "0.0001"), ("--sets", "1.5"), ("--sets", "x")):
        done = run("predict", "tickets.fewtune", "new.csv", *wrong, "--json", cwd=tmp_path)
        assert done.returncode == 2
        assert json.loads(done.stdout)["error"]["how"]


def test_augment(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text(
        "id,text,label\n1,where is the parcel that I have ordered,x\n2,酒店的房间很干净,y\n3,,y\n", encoding="utf-8"
    )
    named = ("--with", "swap,deletion,keyboard,punctuation")
    done = run("augment", data, "--out", "out.jsonl", *named, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["augmentations"]["swap"] == {"wanted": 3, "views": 2, "unchanged": 1}
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == result["rows"]
    assert [row["id"] for row in rows if not row["augmentation"]] == ["1", "2", "3"]
    assert all(row["label"] == "x" for row in rows if row["id"] == "1")
    assert run("augment", data, "--out", "again.jsonl", *named, cwd=tmp_path).returncode == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()
    assert run("augment", data, "--out", "out.tsv", *named, "--seed", "1", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out.tsv").read_text(encoding="utf-8").startswith("id\ttext\tlabel\tgroup\taugmentation\n")
    for wrong in (("--with", "deletoin"), ("--strength", "2"), ("--copies", "0"), ("--out", "out.xml")):
        done = run("augment", data, "--out", "wrong.csv", *wrong, "--json", cwd=tmp_path)
        assert done.returncode == 2
        assert json.loads(done.stdout)["error"]["how"]
    assert not (tmp_path / "wrong.csv").exists()


def test_check_and_models(csv_file: Path, tmp_path: Path) -> None:
    assert "examples in 5 classes" in run("check", csv_file).stderr.replace("\n", " ")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("en,pt\nthe cat,o gato\nthe dog,o cão\n")
    assert "2 examples (" in run("check", pairs).stderr
    done = run("check", csv_file, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["examples"] == 110
    names = [model["name"] for model in json.loads(run("models", "--json").stdout)["models"]]
    encoders = ["all-MiniLM-L6-v2", "multilingual-e5-small"]
    assert names == [
        *encoders,
        "smollm2-135m",
        "marian-tiny-en-pt",
        "marian-tiny-pt-en",
        "efficientnet-lite0",
    ]


BAD_FILES = {
    "empty.csv": b"",
    "binary.csv": b"\x89PNG\r\n\x1a\n\0\0\0",
    "ragged.csv": b"text,label\na,b\nc,d,e\n",
    "broken.xlsx": b"PK\x03\x04 no",
    "broken.jsonl": b'{"text": "a", "label": "b"}\n{\n',
    "no-label.csv": b"text,when\n" + b"".join(b"some text %d,day %d\n" % (i, i) for i in range(9)),
    "one-class.csv": b"text,label\na,x\nb,x\n",
    "numbers.csv": b"text,label\n" + b"".join(b"some text %d,%.3f\n" % (i, i * 0.37) for i in range(30)),
}


@pytest.mark.parametrize(
    "arguments",
    [
        *(("fit", name) for name in BAD_FILES),
        ("fit", "nowhere.csv"),
        ("fit",),
        ("fit", "good.csv", "--method", "tfdif"),
        ("fit", "good.csv", "--model", "minilm-l7"),
        ("fit", "good.csv", "--task", "text-clasification"),
        ("fit", "good.csv", "--budget", "never"),
        ("fit", "good.csv", "--label", "lable"),
        ("fit", "good.csv", "--set", "C"),
        ("fit", "good.csv", "--set", "c=1", "--method", "tfidf"),
        ("fit", "good.csv", "--config", "nowhere.toml"),
        ("fit", "good.csv", "--out", "taken"),
        ("fit", "good.csv", "--metod", "tfidf"),
        ("fit", "good.csv", "--seed", "x"),
        ("predict", "nowhere", "good.csv"),
        ("predict", "taken", "good.csv"),
        ("evaluate", "nowhere", "good.csv"),
        ("export", "nowhere", "--out", "x"),
        ("trian", "good.csv"),
    ],
    ids=" ".join,
)
def test_bad_input_exits_2_in_words_and_writes_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    for name, content in BAD_FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.csv").write_text("text,label\na b,x\nc d,y\ne f,x\ng h,y\n")
    (tmp_path / "taken").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    done = run(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 2, done
    error = json.loads(done.stdout)["error"]
    assert set(error) == {"what", "where", "how"}
    assert error["what"]
    assert error["how"]
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_errors_go_to_standard_error_without_json(tmp_path: Path) -> None:
    done = run("fit", "nowhere.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "nowhere.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_misspelt_words_get_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("text,label\na b,x\nc d,y\ne f,x\ng h,y\n")
    for arguments, wanted in [
        (("fit", "good.csv", "--method", "tfdif"), "tfidf"),
        (("fit", "good.csv", "--metod", "tfidf"), "--method"),
        (("trian", "good.csv"), "Known"),
        (("fit", "good.csv", "--model", "minilm-l6"), "MiniLM"),
    ]:
        assert wanted in json.loads(run(*arguments, "--json", cwd=tmp_path).stdout)["error"]["how"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@needs_encoder
def test_ctrl_c_exits_130_and_leaves_no_half_bundle(tmp_path: Path) -> None:
    rows = "".join(f"this is the text of number {i} and it goes on for quite a while,{i % 3}\n" for i in range(4000))
    (tmp_path / "many.csv").write_text("text,label\n" + rows)
    command = [sys.executable, "-m", "fewtune", "fit", "many.csv", "--method", "head", "--json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    work = tmp_path / "many.fewtune.work"
    for _ in range(600):
        if (work / "run.json").exists():
            break
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout + stderr
    assert "--resume" in json.loads(stdout)["error"]["how"]
    assert "Traceback" not in stderr
    assert not (tmp_path / "many.fewtune").exists()


@pytest.mark.parametrize("became", [KeyboardInterrupt, ImportError, SystemError])
def test_ctrl_c_is_an_interrupt_whatever_a_library_makes_of_it(
    became: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def a_library() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise became("of a library") from None

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(typer.Exit) as caught, _reporting(True, on_interrupt="Again."):
            a_library()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.exit_code == 130
    assert json.loads(capsys.readouterr().out)["error"]["how"] == "Again."


def test_an_error_without_ctrl_c_is_our_fault() -> None:
    with pytest.raises(typer.Exit) as caught, _reporting(True):
        raise ImportError("of a library")
    assert caught.value.exit_code == 1


def test_what_is_no_number_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    _print_json({"a": [math.nan, 1.0, {"b": math.inf}], "c": (2, "x")})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.0, {"b": None}], "c": [2, "x"]}
