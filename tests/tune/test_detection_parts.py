"""What a detector is trained with: views, assignment, loss, orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from fewtune import catalog  # noqa: E402
from fewtune.backbones.detector import Detector, grid, stage_shapes  # noqa: E402
from fewtune.runtime.letterbox import Letterbox, letterbox_from_json  # noqa: E402
from fewtune.tune.box_assignment import Truth, assign, detection_loss  # noqa: E402
from fewtune.tune.orientation import free_orientation  # noqa: E402
from tests.pictures import draw, needs_network  # noqa: E402


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_a_letterbox_holds_any_picture(width: int, height: int) -> None:
    box = Letterbox(416, 320, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    scaled = box.scaled_size(width, height)
    assert 1 <= scaled[0] <= 416
    assert 1 <= scaled[1] <= 320
    assert scaled[0] == 416 or scaled[1] == 320
    assert letterbox_from_json(box.to_json(), where="") == box


def boxes_of(*rows: tuple[float, float, float, float]) -> Truth:
    return Truth(torch.tensor(rows), torch.zeros(len(rows), dtype=torch.long), torch.zeros(0, 4))


def test_every_box_is_found_by_places_in_it_even_a_tiny_one() -> None:
    places, strides = grid([torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4)], [8, 16])
    truth = boxes_of((3.0, 3, 40, 40), (50.0, 50, 51, 51))
    anywhere = torch.cat([places - 4, places + 4], 1)
    assigned = assign(torch.full((len(places), 2), -3.0), anywhere, places, strides, truth)
    for number, box in enumerate(truth.boxes_xyxy):
        mine = places[assigned.box == number]
        assert len(mine)
        assert ((mine - (box[:2] + box[2:]) / 2).abs() <= 20).all()
    assert (assigned.scores[assigned.box < 0] == 0).all()


def test_what_is_ignored_teaches_nothing() -> None:
    places, strides = grid([torch.zeros(1, 1, 8, 8)], [8])
    logits = torch.zeros(1, len(places), 1, requires_grad=True)
    boxes = torch.cat([places - 4, places + 4], 1)[None]
    nowhere = torch.zeros(0, 4)
    truth = Truth(nowhere, torch.zeros(0, dtype=torch.long), torch.tensor([[0.0, 0, 64, 64]]))
    assert float(detection_loss(logits, boxes, places, strides, [truth]).detach()) == 0
    negative = Truth(nowhere, truth.labels, nowhere)
    assert float(detection_loss(logits, boxes, places, strides, [negative]).detach()) > 0


def test_the_loss_falls_as_boxes_and_scores_come_right() -> None:
    places, strides = grid([torch.zeros(1, 1, 8, 8)], [8])
    truth = boxes_of((8.0, 8, 40, 40))
    exact = truth.boxes_xyxy.expand(len(places), 4)[None]
    inside = ((places > 8) & (places < 40)).all(1)
    sure = torch.where(inside, 4.0, -6.0)[None, :, None]
    good = detection_loss(sure, exact, places, strides, [truth])
    shifted = detection_loss(sure, exact + 6, places, strides, [truth])
    unsure = detection_loss(torch.zeros_like(sure), exact, places, strides, [truth])
    assert good < shifted
    assert good < unsure


@needs_network
def test_the_first_boxes_are_of_a_typical_size() -> None:
    network = catalog.find_network("efficientnet-lite0").network
    shapes = stage_shapes(network)
    detector = Detector(
        torch.nn.ModuleList(),
        len(shapes),
        [2, 3, 4],
        (8, 16, 32),
        [c for c, _ in shapes[2:]],
        2,
        width=32,
        depth=1,
        sizes=[5.0, 3.0, 2.0],
    )
    maps = [torch.randn(1, c, 64 // s, 64 // s) for c, s in shapes[2:]]
    logits, boxes = detector(maps)
    assert logits.shape == (1, 64 + 16 + 4, 2)
    sides = boxes[0, :64, 2] - boxes[0, :64, 0]
    assert float(sides.median()) == pytest.approx(40, rel=0.3)


@needs_network
def test_pictures_with_an_up_are_not_turned_over(tmp_path: Path) -> None:
    """Bright skies over dark ground have an up; noise has none."""
    network = catalog.find_network("efficientnet-lite0")
    paths = []
    for number in range(12):
        picture = np.asarray(draw("disc", number, 64)).copy()
        picture[:24] = 235
        picture[48:] = 25
        path = tmp_path / f"{number}.png"
        from PIL import Image

        Image.fromarray(picture).save(path)
        paths.append(str(path))
    found = free_orientation(network, paths, threads=1)
    assert not found.upside_down
    assert not found.turn
    assert free_orientation(network, paths[:5], threads=1).mirror
