"""A network in torch written as an ONNX graph."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import torch
from torch import nn
from torch.onnx.errors import OnnxExporterError

from fewtune.errors import RecipeError, first_line

_OPSET = 17


def write_onnx(module: nn.Module, pixels: tuple[int, int, int, int], axes: Mapping[str, Mapping[int, str]]) -> bytes:
    """A serialised ONNX model: `pixels` in; batch norm is folded into the convolutions before it.

    Args:
        module: in evaluation mode.
        pixels: (batch, 3, height, width) that it is traced with.
        axes: of `pixels` and of every output, the places of the axes of any length and their names.

    Raises:
        RecipeError: ONNX cannot express what it computes; names the operation.
    """
    file, outputs = io.BytesIO(), [name for name in axes if name != "pixels"]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The exporter that needs no further package says that there is another one.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (torch.zeros(pixels),),
                file,
                input_names=["pixels"],
                output_names=outputs,
                dynamic_axes={name: dict(places) for name, places in axes.items()},
                opset_version=_OPSET,
                dynamo=False,
            )
    except OnnxExporterError as error:
        raise RecipeError(
            f"The network cannot be written as ONNX: {_reason(error)}",
            where="--model",
            how="Choose another --model; `fewtune models` lists those that are known to work.",
        ) from None
    return file.getvalue()


def _reason(error: Exception) -> str:
    """What the exporter says, without its plea for a pull request and what it has seen."""
    return first_line(error).partition(". Please ")[0]
