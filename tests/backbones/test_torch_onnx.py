"""What ONNX cannot express is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fewtune.backbones.torch_onnx import write_onnx  # noqa: E402
from fewtune.errors import RecipeError  # noqa: E402

AXES = {"pixels": {0: "batch"}, "features": {0: "batch"}}


class Unwritable(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.special.bessel_j0(x).mean((2, 3))


class Mean(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean((2, 3))


def test_an_operation_that_onnx_has_not_is_named() -> None:
    with pytest.raises(RecipeError, match="bessel_j0") as caught:
        write_onnx(Unwritable(), (1, 3, 8, 8), AXES)
    assert caught.value.where == "--model"


def test_batches_of_any_size_go_in(tmp_path: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(write_onnx(Mean(), (1, 3, 8, 8), AXES), providers=["CPUExecutionProvider"])
    (given,) = session.run(["features"], {"pixels": np.ones((5, 3, 8, 8), np.float32)})
    np.testing.assert_allclose(np.asarray(given), np.ones((5, 3)))
