"""From data and a bundle to the bundle's report; with TextAttack where its environment is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fewtune
from fewtune.attack.environment import VARIABLE, has_environment
from fewtune.attack.recipes import PARTS, RECIPES, VECTORS, WORDNET
from fewtune.augment.neighbours import has_english
from fewtune.augment.wordnet import find_wordnet
from fewtune.errors import RecipeError
from fewtune.report.write import write_report

needs_textattack = pytest.mark.skipif(not has_environment(), reason="TextAttack's environment is not there")
FEW = [
    ("Where is my parcel? It should have been here last week, order 4711.", "delivery"),
    ("The app crashes when I turn the phone", "technical"),
    ("You took the monthly fee from my card two times", "billing"),
]


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fewtune", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        encoding="utf-8",
        env={**os.environ, **environment},
    )


@pytest.fixture
def model(tfidf_model: fewtune.Model, tmp_path: Path) -> fewtune.Model:
    """A bundle that may be written to."""
    return fewtune.load(tfidf_model.save(tmp_path / "tickets.fewtune"))


@needs_textattack
def test_an_attack_is_kept_in_the_bundle_and_its_report(model: fewtune.Model, tickets: list[tuple[str, str]]) -> None:
    data = [*FEW, *tickets[:9]]
    before = {name: (model.bundle / name).read_bytes() for name in ("model.onnx", "tokenizer.json", "recipe.toml")}
    found = model.attack(data, "deepwordbug", 8, seed=1)
    summary = found.summary
    assert (summary.recipe, summary.examples, summary.stopped) == ("deepwordbug", 8, "")
    assert summary.attacked == sum(text.outcome != "wrong" for text in found.texts) > 0
    assert summary.accuracy_after is not None
    assert summary.accuracy_after.value <= summary.accuracy_before.value
    for text in found.texts:
        if text.outcome == "broken":
            assert model.predict([text.attacked]) == [text.attacked_prediction] != [text.prediction]
            assert text.attacked != text.text
            assert 0 < text.changed <= text.words
    # It opens as before, holds the same model, and says so.
    again = fewtune.load(model.bundle)
    assert {name: (again.bundle / name).read_bytes() for name in before} == before
    assert [attack.recipe for attack in again.manifest.attacks] == ["deepwordbug"]
    page = (again.bundle / "private" / "report.html").read_text(encoding="utf-8")
    assert "Under attack" in page
    assert "对抗攻击" in page
    public = again.bundle.parent / "public.html"
    assert "Under attack" in write_report(again.bundle, public).read_text(encoding="utf-8")
    assert not list(again.bundle.parent.glob("*.work"))
    # The same seed attacks the same texts in the same way; a second attack of a kind takes the first one's place.
    repeated = model.attack(data, "deepwordbug", 8, seed=1)
    assert [(t.text, t.attacked) for t in repeated.texts] == [(t.text, t.attacked) for t in found.texts]
    model.attack(data, "input-reduction", 2)
    assert [attack.recipe for attack in model.manifest.attacks] == ["deepwordbug", "input-reduction"]


@needs_textattack
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "deepwordbug"])
def test_every_recipe_runs_without_a_download(name: str, model: fewtune.Model) -> None:
    replaced = RECIPES[name].replaced
    if find_wordnet() is None and (WORDNET in replaced or PARTS in replaced):
        pytest.skip("WordNet is not installed")
    if VECTORS in replaced and not has_english():
        pytest.skip("the English encoder is not installed")
    found = model.attack(FEW, name, max_queries=60)
    assert found.summary.examples == 3
    assert all(0 < text.queries <= 60 for text in found.texts if text.outcome != "wrong")
    assert all("instead of" in line or "own lists" in line for line in found.summary.replaced)


@needs_textattack
def test_chinese_texts_keep_what_is_not_changed(model: fewtune.Model) -> None:
    text = "包裹什么时候能到，订单号 4711？"
    found = model.attack([(text, model.predict([text])[0])], "deepwordbug")
    assert "，" in found.texts[0].attacked
    assert found.texts[0].attacked.endswith("？")


@needs_textattack
def test_the_command(csv_file: Path, model: fewtune.Model) -> None:
    cwd = csv_file.parent
    done = run("attack", model.bundle, csv_file, "-n", 3, "--out", "texts.csv", "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["examples"] == len(found["texts"]) == 3
    assert {"accuracy_before", "accuracy_after", "success_rate", "words_changed", "queries", "replaced"} <= set(found)
    assert len((cwd / "texts.csv").read_text(encoding="utf-8").splitlines()) == 4
    done = run("attack", model.bundle, csv_file, "-n", 2, "--recipe", "pruthi", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "accuracy under attack" in done.stderr


@needs_textattack
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_tells_what_was_done_and_the_rest_comes_with_resume(csv_file: Path, model: fewtune.Model) -> None:
    command = ["attack", str(model.bundle), str(csv_file), "--recipe", "pwws", "-n", "30", "--json"]
    if find_wordnet() is None:
        command[4] = "pruthi"
    process = subprocess.Popen(
        [sys.executable, "-m", "fewtune", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    journal = model.bundle.with_name(f"{model.bundle.name}.{command[4]}.work") / "journal.jsonl"
    for _ in range(6000):
        if journal.is_file() and journal.read_text().count("\n") > 2:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout + stderr
    begun = json.loads(stdout)
    assert begun["stopped"] == "interrupted"
    assert 0 < begun["examples"] < 30
    assert fewtune.load(model.bundle).manifest.attacks == ()
    done = run(*command, "--resume", cwd=csv_file.parent)
    assert done.returncode == 0, done.stderr
    whole = json.loads(done.stdout)
    assert whole["examples"] == 30
    assert whole["texts"][: begun["examples"]] == begun["texts"]


def test_bad_input_exits_2_with_how_to_mend_it(csv_file: Path, model: fewtune.Model, tmp_path: Path) -> None:
    (tmp_path / "unlabelled.csv").write_text("text\nhello\n")
    (tmp_path / "labels.csv").write_text("text,label\nhello,nothing\nbye,billing\n")
    for arguments, wanted in [
        ((csv_file, "--recipe", "textfoler"), "textfooler"),
        ((csv_file, "--recipe", "bae"), "deepwordbug"),
        ((csv_file, "-n", "0"), "from 1"),
        ((csv_file, "--queries", "-1"), "from 0"),
        ((csv_file, "--out", "texts.xml"), ".csv"),
        ((tmp_path / "unlabelled.csv",), ""),
        ((tmp_path / "labels.csv",), ""),
    ]:
        done = run("attack", model.bundle, *arguments, "--json", cwd=tmp_path)
        assert done.returncode == 2, done
        error = json.loads(done.stdout)["error"]
        assert wanted in error["how"]
        assert error["how"]


def test_without_the_environment_the_command_that_makes_it_is_told(
    csv_file: Path, model: fewtune.Model, tmp_path: Path
) -> None:
    done = run("attack", model.bundle, csv_file, "--json", cwd=tmp_path, **{VARIABLE: str(tmp_path / "gone")})
    assert done.returncode == 2
    assert "make install" in json.loads(done.stdout)["error"]["how"]
    assert not list(tmp_path.glob("*.work"))


def test_only_texts_with_classes_are_attacked(model: fewtune.Model) -> None:
    from dataclasses import replace

    model.manifest = replace(model.manifest, task="translation")
    with pytest.raises(RecipeError, match="this bundle is for translation"):
        model.attack(FEW)
