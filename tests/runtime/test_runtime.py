from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fewtune


def test_an_answer_does_not_depend_on_its_neighbours(head_model: fewtune.Model) -> None:
    texts = ["hi", "where is my parcel " * 40, "快递到哪里了", "", "refund please, I was charged twice " * 5] * 20
    together = head_model.predict_proba(texts)
    alone = np.concatenate([head_model.predict_proba([text]) for text in texts[:5]])
    np.testing.assert_allclose(together[:5], alone, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n", "😀", "\u202eabc", "a" * 50_000, "字" * 20_000, "\0", "\ud800".encode("utf-8", "replace").decode()],
)
def test_odd_texts_get_an_answer(tfidf_model: fewtune.Model, head_model: fewtune.Model, text: str) -> None:
    for model in (tfidf_model, head_model):
        assert model.predict([text])[0] in model.labels


def test_no_texts_no_answers(tfidf_model: fewtune.Model) -> None:
    assert tfidf_model.predict([]) == []
    assert tfidf_model.predict_proba([]).shape == (0, 5)


def test_one_text_instead_of_a_list_is_refused(tfidf_model: fewtune.Model) -> None:
    with pytest.raises(TypeError, match=r"predict\(\[text\]\)"):
        tfidf_model.predict("one text")
    with pytest.raises(TypeError, match=r"inputs\[1\] is a int"):
        tfidf_model.predict(["a", 1])  # type: ignore[list-item]


def test_predicting_loads_no_training_library(tfidf_model: fewtune.Model) -> None:
    code = (
        "import sys; from pathlib import Path; from fewtune.runtime import open_bundle\n"
        "_, runtime = open_bundle(Path(sys.argv[1])); runtime.log_probs(['hello'])\n"
        "print([name for name in ('torch', 'sklearn', 'scipy', 'onnx', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tfidf_model.bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
