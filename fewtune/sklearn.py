"""fewtune as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fewtune.bundle.read import read_manifest
from fewtune.model import Model, fit, load_files
from fewtune.types import FloatArray


class TextClassifier(ClassifierMixin, BaseEstimator):
    """Sorts texts into classes; clone, Pipeline, cross_val_score and GridSearchCV work.

    Args:
        method: how to tune: "auto" climbs the ladder; "tfidf", "head", "prompt", "contrastive", "partial", "lora" or
            "full" do one thing.
        model: a pretrained model by name or folder; "auto" tries all that fit.
        augment: views of the training texts: "auto" keeps what helps, "none", or names with commas between them.
        unlabeled: texts without a class that may be learnt from too, as a list or the path of a file; kept where the
            folds say that it pays.
        budget: time to spend on one fit, e.g. "5m"; cross-validation spends it on every fold.
        seed: where all randomness comes from.
        threads: threads to use; 0: all cores that this process may use.
        settings: hyper-parameters of the method, e.g. {"C": 1.0}.

    Attributes:
        classes_: (k,) the classes, sorted, in the type that `y` had.
        result_: what the fit reports: rungs, scores with intervals.
    """

    def __init__(
        self,
        method: str = "auto",
        model: str = "auto",
        augment: str = "auto",
        budget: str = "5m",
        seed: int = 0,
        threads: int = 0,
        settings: Mapping[str, Any] | None = None,
        unlabeled: Sequence[str] | str | None = None,
    ) -> None:
        self.method = method
        self.model = model
        self.augment = augment
        self.budget = budget
        self.seed = seed
        self.threads = threads
        self.settings = settings
        self.unlabeled = unlabeled

    def fit(self, X: Sequence[str] | np.ndarray, y: Sequence[Any] | np.ndarray) -> TextClassifier:
        """Tune a model.

        Args:
            X: n texts: a list, an array or a Series.
            y: n classes of any sortable type.

        Raises:
            ValueError: lengths differ, or there is one class only.
            TypeError: X holds something else than texts.
            UserError: a parameter cannot be used.
        """
        texts = _texts(X)
        targets = np.asarray(y)
        if targets.ndim != 1:
            raise ValueError(f"y should be a 1d array, got an array of shape {targets.shape} instead")
        if len(texts) != len(targets):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {[len(texts), len(targets)]}"
            )
        self.classes_, indices = np.unique(targets, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y should hold at least 2 classes, got {len(self.classes_)} class")
        names = _class_names(self.classes_)
        model = fit(
            [(text, names[i]) for text, i in zip(texts, indices, strict=True)],
            method=self.method,
            model=self.model,
            augment=self.augment,
            unlabeled=self.unlabeled,
            budget=self.budget,
            seed=self.seed,
            threads=self.threads,
            settings=dict(self.settings or {}),
        )
        self.result_ = model.result
        self._columns = [model.labels.index(name) for name in names]
        self._model: Model | None = model
        self._files = _files_of(model.bundle)
        return self

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """(n,) the likeliest class of each text."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: Sequence[str]) -> FloatArray:
        """(n, k) probabilities, columns in the order of `classes_`."""
        check_is_fitted(self, "classes_")
        return self._opened().predict_proba(_texts(X))[:, self._columns]

    def _opened(self) -> Model:
        """The model; in a copy of this estimator it is opened anew from the bundle's files."""
        if self._model is None:
            self._model = load_files(self._files, threads=self.threads)
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        """The estimator without its open session."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {name: None if name == "_model" else value for name, value in state.items()}

    def __sklearn_tags__(self) -> Any:
        """Text in, not numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags


def _texts(X: Any) -> list[str]:
    array = np.asarray(X, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"X should be n texts, got an array of shape {array.shape} instead")
    for position, text in enumerate(array):
        if not isinstance(text, str):
            raise TypeError(f"X[{position}] is a {type(text).__name__}, not a text")
    return [str(text) for text in array]


def _class_names(classes: np.ndarray) -> list[str]:
    """A name for each class: its own where those are distinct and not empty, numbers in front where they are not."""
    names = [str(value).strip() for value in classes.tolist()]
    if len(set(names)) == len(names) and all(names) and isinstance(classes[0], str):
        return names
    # Numbers stand for classes here, not for quantities; the prefix says so to the reader of labels.
    return [f"class {i} {name}".strip() for i, name in enumerate(names)]


def _files_of(bundle: Path) -> dict[str, bytes]:
    manifest = read_manifest(bundle)
    return {name: (bundle / name).read_bytes() for name in (*manifest.files, "bundle.json")}
