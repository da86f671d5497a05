from __future__ import annotations

import numpy as np
import pytest

from fewtune.augment.punctuation import PunctuationNoise


class Removing:
    """Stands for a generator whose coin always says that marks go."""

    def random(self) -> float:
        return 0.0

    def permutation(self, indices: list[int]) -> np.ndarray:
        return np.array(indices)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("no,thanks", "no thanks"),
        ("wait..what", "wait what"),
        ("yes, please!", "yes please"),
        ("really ?", "really"),
        ("late!\nagain", "late\nagain"),
        ("好，谢谢。", "好谢谢"),
        ("用Word，好", "用Word 好"),
        ("he said 'no'!then left", "he said 'no' then left"),
    ],
)
def test_what_a_mark_parted_stays_apart(text: str, view: str) -> None:
    generator: np.random.Generator = Removing()  # type: ignore[assignment]
    assert PunctuationNoise(0.9).view(text, generator) == view
