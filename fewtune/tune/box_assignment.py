"""Which places of a detector are to find which box, and how far off they are: the loss.

Places are assigned by what they find already: those whose class score and box agree best with a true box are to find it
(task alignment, Feng et al. 2021, TOOD, arXiv:2108.07755), and their score is to be as good as their box is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, generalized_box_iou_loss

# Places for each box, and the powers of score and overlap that they are chosen by.
_PLACES = 10
_SCORE_POWER = 0.5
_OVERLAP_POWER = 6.0
# A box that has its sides nearer to its centre than this share of a stride holds no place's centre for certain.
_LEAST_REACH = 0.75
_BOX_WEIGHT = 2.5
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Truth:
    """What is to be found in one picture of a batch.

    Attributes:
        boxes_xyxy: (m, 4) float32 in pixels of the canvas.
        labels: (m,) int64.
        ignored: (k, 4) float32: where nothing is asked for and nothing held against.
    """

    boxes_xyxy: Tensor
    labels: Tensor
    ignored: Tensor


@dataclass(frozen=True, slots=True)
class Assigned:
    """What each place of one picture is to say.

    Attributes:
        scores: (places, classes) between 0 and 1.
        box: (places,) index of the box that a place is to find; -1: none.
        counts: (places,) 0 where what a place says does not matter.
    """

    scores: Tensor
    box: Tensor
    counts: Tensor


@torch.no_grad()
def assign(logits: Tensor, boxes_xyxy: Tensor, places: Tensor, strides: Tensor, truth: Truth) -> Assigned:
    """Say what each place is to find.

    Args:
        logits: (places, classes) as they are.
        boxes_xyxy: (places, 4) as they are.
        places: (places, 2) centres in pixels.
        strides: (places,) in pixels.
        truth: what there is.
    """
    wanted = torch.zeros_like(logits)
    none = torch.full((len(places),), -1, dtype=torch.long)
    counts = _outside(places, truth.ignored)
    if not len(truth.labels):
        return Assigned(wanted, none, counts)
    inside = _inside(places, strides, truth.boxes_xyxy)
    overlap = box_iou(truth.boxes_xyxy, boxes_xyxy) * inside
    score = logits.sigmoid()[:, truth.labels].T
    agreement = score**_SCORE_POWER * overlap**_OVERLAP_POWER
    # Where nothing overlaps yet, the places nearest to the centre come first.
    ranked = agreement + _TINY * inside / (1 + _far(places, truth.boxes_xyxy))
    best = ranked.topk(min(_PLACES, len(places)), dim=1)
    chosen = torch.zeros_like(ranked, dtype=torch.bool).scatter_(1, best.indices, best.values > 0)
    # A place that several boxes want finds the one that it overlaps most.
    rivals = torch.where(chosen, overlap + _TINY, torch.zeros_like(overlap))
    box = torch.where(chosen.any(0), rivals.argmax(0), none)
    chosen &= box[None] == torch.arange(len(truth.labels))[:, None]
    agreement = agreement * chosen
    scale = (overlap * chosen).amax(1) / (agreement.amax(1) + _TINY)
    value = (agreement * scale[:, None]).amax(0)
    found = box >= 0
    wanted[found, truth.labels[box[found]]] = value[found].clamp(0, 1)
    counts = torch.maximum(counts, found.float())
    return Assigned(wanted, box, counts)


def _inside(places: Tensor, strides: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """(boxes, places) 1 where a place lies in a box, or in the little square around the centre of a small one."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    reach = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) / 2
    away = (places[None] - centres[:, None]).abs()
    return (away <= torch.maximum(reach[:, None], _LEAST_REACH * strides[None, :, None])).all(-1).float()


def _far(places: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """(boxes, places) distance of a place from a box's centre, in pixels."""
    return torch.cdist((boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2, places)


def _outside(places: Tensor, ignored: Tensor) -> Tensor:
    """(places,) 0 where a place lies in an ignored box."""
    if not len(ignored):
        return torch.ones(len(places))
    within = (places[None] >= ignored[:, None, :2]) & (places[None] <= ignored[:, None, 2:])
    return 1 - within.all(-1).any(0).float()


def detection_loss(
    logits: Tensor, boxes_xyxy: Tensor, places: Tensor, strides: Tensor, truths: Sequence[Truth]
) -> Tensor:
    """Cross-entropy of the scores and GIoU (Rezatofighi et al. 2019, arXiv:1902.09630) of the boxes of a batch.

    Args:
        logits: (n, places, classes).
        boxes_xyxy: (n, places, 4).
        places, strides: as for `assign`.
        truths: n pictures' boxes.
    """
    rows = zip(logits, boxes_xyxy, truths, strict=True)
    assigned = [assign(row, boxes, places, strides, truth) for row, boxes, truth in rows]
    wanted = torch.stack([one.scores for one in assigned])
    counts = torch.stack([one.counts for one in assigned])
    scale = wanted.sum().clamp(min=1)
    loss = (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * counts[..., None]).sum()
    for boxes, one, truth in zip(boxes_xyxy, assigned, truths, strict=True):
        found = one.box >= 0
        if bool(found.any()):
            far = generalized_box_iou_loss(boxes[found], truth.boxes_xyxy[one.box[found]])
            loss = loss + _BOX_WEIGHT * (far * one.scores[found].sum(-1)).sum()
    return loss / scale
