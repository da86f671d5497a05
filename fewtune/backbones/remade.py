"""A network of a library's, made anew and given the weights of a bundle's graph. Imported only where one is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from fewtune.backbones.numbered_weights import OtherLayersError, Restored, restore_weights
from fewtune.backbones.picture_folder import no_place
from fewtune.bundle.graph_constants import constants
from fewtune.runtime.session import open_session
from fewtune.types import FloatArray

# Largest difference of a probability, or share of a picture's side, on noise: of a graph in float, and of one that
# rounds what it computes too. Of two places that are as good as each other a detector may choose the other.
_SAME, _NEARLY = 1e-3, 0.1
_LEAST_ALIKE = 0.9
# To a side, of that picture of noise, and how far apart their colours are.
_PATCHES, _CONTRAST = 7, 0.25


@dataclass(frozen=True, slots=True)
class Remade:
    """A network for a bundle's labels, with other weights.

    Attributes:
        library: the one that it is of, as messages name it.
        body: what of it is in the graph under the head that fewtune puts on a classifier, or all of it.
        fixed: identities of parameters that follow from the settings.
        head: what names the classes of a picture; None where that is in the graph like all the rest.
        forward: (n, 3, height, width) pixels to what the graph puts out.
        write: the graph that a bundle of it holds, but for such a head.
        outputs: their names.
        pixels: (1, 3, height, width) of a picture that it reads.
        mean, std: (3,) of RGB between 0 and 1, for such a picture.
    """

    library: str
    body: nn.Module
    fixed: frozenset[int]
    head: nn.Linear | None
    forward: Callable[[Tensor], tuple[Tensor, ...]]
    write: Callable[[], bytes]
    outputs: tuple[str, ...]
    pixels: tuple[int, int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def take_weights(self, graph: bytes) -> Restored:
        """Take those of a bundle's graph.

        Raises:
            RecipeError: it has other layers, or answers otherwise on a picture of noise.
        """
        try:
            found = restore_weights(self.body, self.fixed, self.write, graph)
        except OtherLayersError as error:
            raise no_place(self.library, f"the network that it makes here has other layers: {error}") from None
        if self.head is not None:
            self._fill(self.head, graph)
        apart = self._apart(graph)
        off = 1 - float((apart <= (_NEARLY if found.in_integers else _SAME)).mean())
        if not off <= 1 - _LEAST_ALIKE:
            raise no_place(self.library, f"what it computes with the weights differs in {off:.0%} of the answers")
        return found

    @torch.no_grad()
    def _fill(self, head: nn.Linear, graph: bytes) -> None:
        """Put the bundle's head on; what it reads beside the pooled features, it then takes no notice of."""
        known = constants(onnx.load_from_string(graph))
        weight, bias = (np.array(known[f"classifier.{part}"], np.float32) for part in ("weight", "bias"))
        if head.in_features < len(weight) or head.bias is None:
            raise no_place(self.library, "its head reads more than the network's own classifier does")
        head.weight.zero_()
        head.weight[:, : len(weight)] = torch.from_numpy(np.ascontiguousarray(weight.T))
        head.bias.copy_(torch.from_numpy(bias))

    @torch.no_grad()
    def _apart(self, graph: bytes) -> FloatArray:
        """(places,) how far the answers are from the graph's."""
        pixels = self._noise()
        wanted = open_session(graph, 1).run(list(self.outputs), {"pixels": pixels})
        given = self.forward(torch.from_numpy(pixels))
        answers, others = (_answers([np.asarray(some) for some in one], self.pixels) for one in (given, wanted))
        if len(self.outputs) == 1:
            return np.abs(answers - others).max(axis=1)
        # What finds boxes gives them in no order: each counts by the one that is most like it.
        return np.abs(answers[:, None] - others).max(axis=2).min(axis=1)

    def _noise(self) -> FloatArray:
        """A picture of pale patches, as it is read: beyond what was seen when it was calibrated, integers end."""
        patches = 0.5 + _CONTRAST * (np.random.default_rng(0).random((3, _PATCHES, _PATCHES)) - 0.5)
        rows, columns = (np.arange(side) * _PATCHES // side for side in self.pixels[2:])
        mean, std = (np.reshape(some, (3, 1, 1)) for some in (self.mean, self.std))
        return ((patches[:, rows][:, :, columns] - mean) / std).astype(np.float32)[None]


def _answers(outputs: Sequence[FloatArray], pixels: tuple[int, int, int, int]) -> FloatArray:
    """(places, values) between 0 and 1: probabilities of a picture or of its pixels, or boxes with their scores."""
    if len(outputs) == 2:
        (boxes,), (scores,) = outputs
        return np.concatenate([boxes / np.tile(pixels[:1:-1], 2), scores], axis=1)
    logits = outputs[0].reshape(*outputs[0].shape[:2], -1)[0].T
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
