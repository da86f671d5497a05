"""Linear layers that compute in the steps of the graph's integers while they learn; see `integers.py`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewtune.backbones.bert_onnx import ACTIVATION_STEPS, WEIGHT_STEPS

_LEAST_STEP = 1e-8


class RoundedLinear(nn.Linear):
    """Weights by output channel, activations by token, both rounded as `bert_onnx.py` writes them."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return nn.functional.linear(_rounded(input, ACTIVATION_STEPS), _rounded(self.weight, WEIGHT_STEPS), self.bias)


def _rounded(values: Tensor, steps: int) -> Tensor:
    """Each row on its own steps; the gradient passes as if it were not rounded."""
    exact = values.detach().float()
    size = (exact.abs().amax(dim=-1, keepdim=True) / steps).clamp(min=_LEAST_STEP)
    return values + (torch.round(exact / size) * size - exact).to(values.dtype)


def compute_in_steps(module: nn.Module) -> None:
    """Make every linear layer in a module a rounded one; parameters and their names stay."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                rounded = RoundedLinear(child.in_features, child.out_features, device="meta")
                rounded.weight, rounded.bias = child.weight, child.bias
                setattr(parent, name, rounded)
