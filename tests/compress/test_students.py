"""Students of another kind learn what the original answers, and are bundles like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune import catalog, pipeline
from fewtune.bundle.export import STATIC_ROWS, export_bundle
from fewtune.bundle.read import read_manifest
from fewtune.compress.lessons import halves
from fewtune.compress.path import Wishes
from fewtune.errors import RecipeError
from fewtune.interfaces import Content, ImpossibleError, RunContext
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import Example, FloatArray
from tests.compress.conftest import content, texts, unigram, word_piece
from tests.compress.test_path import labelled, more

__all__ = ["more"]
STUDENTS = ("static", "tfidf")
TEXTS = [text for text, _ in texts(600)]


def taught(name: str, original: Content, given: Sequence[str], strength: float | None = None) -> Content:
    examples = [Example(text) for text in given]
    return catalog.compressors()[name].compress(original, examples, strength, RunContext(Path(), threads=1))


def probabilities(some: Content, given: Sequence[str]) -> FloatArray:
    logits = TextGraph(some.graphs["model.onnx"], some.assets["tokenizer.json"], threads=1).run(given, "logits")
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("tokenizer", [unigram, word_piece])
def test_a_student_answers_texts_that_it_has_not_seen_as_the_original_does(
    name: str, tokenizer: Callable[[], bytes]
) -> None:
    original = content(tokenizer())
    order = np.random.default_rng(0).permutation(len(TEXTS))
    learnt, unseen = ([TEXTS[i] for i in some] for some in (order[:300], order[300:]))
    student = taught(name, original, learnt)
    before, after = probabilities(original, unseen), probabilities(student, unseen)
    constant = np.abs(before - probabilities(original, learnt).mean(axis=0)).mean()
    # A random original: what it makes of a text depends on the order of the words as well.
    assert np.abs(before - after).mean() < 0.95 * constant
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] > 0.3
    assert len(student.graphs["model.onnx"]) < len(original.graphs["model.onnx"])
    assert taught(name, original, learnt).graphs == student.graphs
    # Padding and neighbours change nothing.
    long = " ".join(unseen[:3])
    np.testing.assert_allclose(probabilities(student, [unseen[0], long])[0], after[0], atol=1e-6)
    assert np.isfinite(probabilities(student, ["", "☃"])).all()


def test_strengths_are_the_width_of_the_vectors_and_the_number_of_terms() -> None:
    original = content(unigram())
    assert taught("static", original, TEXTS[:40], 8).backbone["static_width"] == 8
    assert taught("tfidf", original, TEXTS[:40], 10).backbone["terms"] == 10


def test_a_prefix_of_every_text_is_left_out() -> None:
    from tokenizers import Tokenizer, normalizers

    from fewtune.compress.static import _without_prefix

    tokenizer = Tokenizer.from_str(unigram().decode())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("query: "), normalizers.NFKC()])
    bare = Tokenizer.from_str(_without_prefix(tokenizer.to_str().encode()).decode())
    assert bare.encode("where").tokens == Tokenizer.from_str(unigram().decode()).encode("where").tokens


def test_common_pieces_count_less_and_special_ones_nothing() -> None:
    import onnx
    from onnx import numpy_helper
    from tokenizers import Tokenizer

    student = taught("static", content(unigram()), TEXTS[:40])
    stored = {
        t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(student.graphs["model.onnx"]).graph.initializer
    }
    lengths = np.linalg.norm(stored[f"{STATIC_ROWS}.int8"] * stored[f"{STATIC_ROWS}.int8_scales"], axis=1)
    tokenizer = Tokenizer.from_str(student.assets["tokenizer.json"].decode())
    special = [tokenizer.token_to_id(piece) for piece in ("<s>", "</s>", "<unk>")]
    assert (lengths[special] == 0).all()
    assert lengths[tokenizer.token_to_id("▁where")] < lengths[tokenizer.token_to_id("y")]


def test_halves_of_two_texts() -> None:
    assert halves("where is my refund", "thank you so much") == "where is so much"
    assert halves("谢谢很好", "不好") == "谢谢好"
    assert halves("one", "one") == "one"
    assert halves("", "") == ""


def test_what_cannot_be_taught_is_said(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    for name in STUDENTS:
        with pytest.raises(ImpossibleError, match=r"only 2 texts.*--unlabeled"):
            taught(name, content(unigram()), ["a", "b", "a"])
    with pytest.raises(RecipeError, match="counts words already"):
        pipeline.compress(tfidf_model.bundle, tmp_path / "small", Wishes(distill="tfidf"))
    with pytest.raises(RecipeError, match="no encoder"):
        pipeline.compress(tfidf_model.bundle, tmp_path / "small", Wishes(distill="static"))


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_is_a_bundle_that_keeps_its_promise(
    name: str, bundle: Path, tmp_path: Path, more: Callable[..., None]
) -> None:
    more()
    data, out = labelled(tmp_path / "new.csv", 400, bundle), tmp_path / "small"
    unlabelled = tmp_path / "more.csv"
    unlabelled.write_text("text\n" + "\n".join(TEXTS), encoding="utf-8")
    wishes = Wishes(distill=name, max_drop=0.9)
    found = pipeline.compress(bundle, out, wishes, data=str(data), unlabelled=str(unlabelled))
    assert found.kept
    assert found.name.startswith(name)
    assert "unlabelled inputs were learnt from too" in found.measured_on
    model = fewtune.load(out)
    assert model.predict(TEXTS[:5])
    assert model.manifest.answer_rules.scope_threshold is None
    assert "What being smaller costs" in (out / "README.md").read_text(encoding="utf-8")
    strict = pipeline.compress(bundle, tmp_path / "kept", Wishes(distill=name, max_drop=0.0), data=str(data))
    assert not strict.kept
    assert "score" in strict.trades[1].failed


def test_what_is_measured_on_is_not_learnt_from(bundle: Path, tmp_path: Path) -> None:
    from fewtune.compress.material import gather
    from fewtune.recipe import Recipe

    data = labelled(tmp_path / "new.csv", 40, bundle)
    measured = [line.rsplit(",", 1)[0] for line in data.read_text("utf-8").splitlines()[1:]]
    given = [(text,) for text in [*measured[:10], "quite another text", ""]]
    (tmp_path / "more.csv").write_text("text\n" + "\n".join(text for (text,) in given), encoding="utf-8")
    manifest = read_manifest(bundle)
    task = catalog.find_task(manifest.task)
    material = gather(
        bundle, manifest, task, str(data), str(tmp_path / "more.csv"), Recipe(), RunContext(Path(), threads=1)
    )
    learnt = [example.input for example in material.learnt]
    assert "quite another text" in learnt
    assert not set(learnt) & set(measured)


def test_a_target_lets_the_dearer_ways_be_tried(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    data = labelled(tmp_path / "new.csv", 400, bundle)
    size = sum(path.stat().st_size for path in bundle.glob("*.onnx")) / 1e6
    found = pipeline.compress(bundle, tmp_path / "small", Wishes(max_drop=0.9, target_mb=0.5 * size), data=str(data))
    assert found.name == "vocabulary + static"
    assert found.trades[-1].footprint.size_mb <= 0.5 * size


def test_other_tasks_learn_from_no_unlabelled_inputs(tmp_path: Path) -> None:
    from fewtune.compress.material import Material, _with_unlabelled
    from fewtune.recipe import Recipe
    from fewtune.types import Dataset

    empty = Material((), Dataset("translation", (), (), "", ""), np.zeros(0, np.int64), None, False, "")
    with pytest.raises(RecipeError, match="nothing that learns from unlabelled"):
        _with_unlabelled(empty, catalog.find_task("translation"), "x", Recipe())


def test_the_export_says_that_a_word_counter_has_no_place(
    bundle: Path, tmp_path: Path, more: Callable[..., None]
) -> None:
    more()
    data, out = labelled(tmp_path / "new.csv", 400, bundle), tmp_path / "small"
    assert pipeline.compress(bundle, out, Wishes(distill="tfidf", max_drop=0.9), data=str(data)).kept
    with pytest.raises(RecipeError, match="no encoder"):
        export_bundle(out, tmp_path / "hf", form="hf")


def test_sentence_transformers_loads_a_student_of_static_vectors(
    bundle: Path, tmp_path: Path, more: Callable[..., None]
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    more()
    data, out = labelled(tmp_path / "new.csv", 400, bundle), tmp_path / "small"
    assert pipeline.compress(bundle, out, Wishes(distill="static", max_drop=0.9), data=str(data)).kept
    export_bundle(out, tmp_path / "hf", form="hf")
    logits = sentence_transformers.SentenceTransformer(str(tmp_path / "hf"), device="cpu").encode(TEXTS[:8])
    powers = np.exp(logits)
    expected = fewtune.load(out).predict_proba(TEXTS[:8])
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), expected, atol=1e-5)
