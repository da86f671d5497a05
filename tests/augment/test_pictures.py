"""Views of pictures: what is marked moves with what it marks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from fewtune import catalog  # noqa: E402
from fewtune.augment.picture_policy import PRESETS, Frame, PicturePolicies  # noqa: E402
from fewtune.augment.scene import Scene  # noqa: E402
from fewtune.data.boxes import Boxes, areas  # noqa: E402
from fewtune.data.mask import IGNORE  # noqa: E402
from fewtune.errors import RecipeError  # noqa: E402
from fewtune.recipe import Recipe  # noqa: E402

TASKS = list(PRESETS)
POLICIES = PicturePolicies(catalog.picture_augmentations())
MOVING = [name for name, some in catalog.picture_augmentations().items() if some.moves]
EVERYTHING = "crop:2,flip,vertical-flip,turn,rotation:180,trivial,erasing,light,hue"


def marked_scene(seed: int, width: int, height: int) -> tuple[Scene, np.ndarray]:
    """Bright squares on dark ground, with a mask of their numbers (from 1) and their boxes; and the squares' sizes."""
    generator = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 20, np.uint8)
    ids = np.zeros((height, width), np.uint8)
    boxes = []
    for number in range(int(generator.integers(1, 4))):
        side = int(generator.integers(5, 14))
        x, y = int(generator.integers(0, width - side + 1)), int(generator.integers(0, height - side + 1))
        if (ids[y : y + side, x : x + side] > 0).any():
            continue
        picture[y : y + side, x : x + side] = 230
        ids[y : y + side, x : x + side] = number + 1
        boxes.append((x, y, x + side, y + side, number))
    rows = np.array(boxes, float)
    truth = Boxes(rows[:, :4], rows[:, 4].astype(np.int64), np.zeros(len(rows), bool))
    return Scene.of(picture, truth, ids), rows[:, 2] - rows[:, 0]


def near_px(width: int, height: int) -> float:
    """Two pixels of a picture of that size, as they are seen in 64 x 48."""
    return 1 + max(1.0, 2 * min(64 / width, 48 / height))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(20, 90),
    st.integers(20, 90),
    st.sampled_from([*MOVING, "crop", "crop:2,rotation:180", EVERYTHING]),
)
def test_a_box_still_covers_its_mask_and_nothing_leaves_the_picture(
    seed: int, width: int, height: int, names: str
) -> None:
    torch.manual_seed(seed)
    scene, _ = marked_scene(seed, width, height)
    view = POLICIES.named(names, "segmentation").view(scene, Frame(64, 48))
    assert view.size == (64, 48)
    assert view.ids.shape == (48, 64)
    truth = view.truth
    assert len(truth.boxes_xyxy) == len(truth.labels) == len(truth.ignored)
    assert set(truth.labels) <= set(scene.labels)
    assert (areas(truth.boxes_xyxy) > 0).all()
    assert (truth.boxes_xyxy >= 0).all()
    assert (truth.boxes_xyxy <= [64, 48, 64, 48]).all()
    for box, label in zip(truth.boxes_xyxy, truth.labels, strict=True):
        rows, columns = np.nonzero(view.ids == label + 1)
        if len(rows):
            left, top, right, bottom = box
            # A pixel of the picture that a box crosses belongs to either side of its edge, and it is seen enlarged.
            near = near_px(width, height)
            assert left <= columns.min() + near
            assert top <= rows.min() + near
            assert right >= columns.max() + 1 - near
            assert bottom >= rows.max() + 1 - near
    gone = set(scene.labels) - set(truth.labels)
    for label in gone:
        # A sliver of less than two pixels is no box; its mask may be seen still.
        rows, columns = np.nonzero(view.ids == label + 1)
        assert len(rows) == 0 or min(np.ptp(rows), np.ptp(columns)) <= 2 + 2 * near_px(width, height)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["flip", "vertical-flip", "turn", "crop:1.5"]))
def test_the_mask_lies_on_what_it_marks(seed: int, names: str) -> None:
    torch.manual_seed(seed)
    scene, _ = marked_scene(seed, 60, 40)
    view = POLICIES.named(names, "segmentation").view(scene, Frame(60, 40))
    bright = view.picture[..., 0] > 125
    marked = (view.ids > 0) & (view.ids != IGNORE)
    # Where a picture is scaled, its edges are slopes.
    allowed = 0 if names in ("flip", "vertical-flip") else 6 * (np.sqrt(marked.sum()) + 8)
    if view.picture[..., 0].max() < 126 or (view.ids == IGNORE).any():
        return
    assert (bright != marked).sum() <= allowed


def test_what_lies_beyond_the_picture_is_passed_over() -> None:
    torch.manual_seed(0)
    scene, _ = marked_scene(1, 40, 40)
    view = POLICIES.named("rotation:180", "segmentation").view(scene, Frame(60, 60))
    beyond = view.ids == IGNORE
    assert beyond.any()
    assert (np.abs(view.picture[beyond].astype(int) - 127) < 60).mean() > 0.8


def test_a_box_of_which_little_is_left_is_not_asked_for() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    truth = Boxes(np.array([[10.0, 10, 30, 30], [0, 0, 8, 8]]), np.array([0, 1]), np.zeros(2, bool))
    scene = Scene.of(picture, truth)
    half = scene.cut(16, 0, 56, 40, 1.0, (40, 40)).settled()
    assert half.labels.tolist() == [0]
    assert not half.ignored[0]
    assert half.truth.boxes_xyxy[0].tolist() == [0, 10, 14, 30]
    little = scene.cut(24, 0, 64, 40, 1.0, (40, 40)).settled()
    assert little.ignored.tolist() == [True]
    covered = scene.covered(0, 0, 7, 8)
    assert covered.ignored.tolist() == [False, True]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_mosaic_holds_boxes_of_four_pictures_where_they_are(seed: int) -> None:
    torch.manual_seed(seed)
    scenes = [marked_scene(seed + number, 50, 40)[0] for number in range(4)]
    bare = [Scene.of(scene.picture, scene.truth) for scene in scenes]
    others = iter(bare[1:])
    view = POLICIES.named("mosaic:1", "object-detection").view(bare[0], Frame(96, 64), lambda: next(others))
    assert view.size == (96, 64)
    assert next(others, None) is None
    truth = view.truth
    assert (truth.boxes_xyxy <= [96, 64, 96, 64]).all()
    bright = view.picture[..., 0] > 100
    for left, top, right, bottom in truth.boxes_xyxy[areas(truth.boxes_xyxy) > 36].round().astype(int):
        assert bright[top:bottom, left:right].mean() > 0.4


def test_mixing_mixes_labels_as_it_mixes_pictures() -> None:
    torch.manual_seed(3)
    inputs = torch.stack([torch.full((3, 8, 8), float(number)) for number in range(2)])
    targets = torch.eye(2)
    for name in ("mixup:1", "cutmix"):
        mixed, soft = POLICIES.named(name, "image-classification").mix(inputs, targets)
        # The second class is 1 in the pictures too: its share in both is the same.
        assert torch.allclose(mixed.mean(dim=(1, 2, 3)), soft[:, 1], atol=1e-5)
        assert torch.allclose(soft.sum(1), torch.ones(2))


def test_views_are_drawn_from_torchs_generator() -> None:
    scene, _ = marked_scene(5, 60, 40)
    policy = POLICIES.named(EVERYTHING, "segmentation")

    def pixels(seed: int) -> bytes:
        torch.manual_seed(seed)
        return policy.view(scene, Frame(60, 40)).picture.tobytes()

    assert pixels(1) == pixels(1)
    assert pixels(1) != pixels(2)


def test_presets_turn_nothing_over_and_change_no_hue() -> None:
    for task in TASKS:
        names = POLICIES.preset(task).name.split(",")
        assert not {"vertical-flip", "turn", "hue", "rotation"} & set(names)
    assert POLICIES.preset("object-detection", "flip").full_name == "crop:1.5,light:0.2,flip"


def test_policies_are_named() -> None:
    policy = POLICIES.named("flip, rotation:30", "segmentation")
    assert policy.name == "flip,rotation"
    assert policy.full_name == "flip,rotation:30"
    assert POLICIES.named(policy.full_name, "segmentation").full_name == policy.full_name
    assert POLICIES.asked(Recipe(), "segmentation") is None
    nothing = POLICIES.asked(Recipe(augment="none"), "segmentation")
    assert nothing is not None
    assert nothing.full_name == "none"
    for wrong, task, words in (
        ("flipp", "segmentation", "flip"),
        ("mosaic", "image-classification", "not for image-classification"),
        ("rotation:400", "segmentation", "1 to 180"),
        ("rotation:much", "segmentation", "no number"),
        ("flip:2", "segmentation", "no strength"),
        ("flip,flip", "segmentation", "twice"),
        (" ", "segmentation", "No augmentation"),
    ):
        with pytest.raises(RecipeError) as caught:
            POLICIES.named(wrong, task)
        assert words in f"{caught.value} {caught.value.how}", wrong


@pytest.mark.parametrize("name", list(catalog.picture_augmentations()))
def test_every_augmentation_takes_odd_pictures(name: str) -> None:
    task = catalog.picture_augmentations()[name].tasks[0]
    policy = POLICIES.named(name, task)
    for shape in ((1, 1), (1, 300), (300, 2)):
        scene = Scene.of(np.zeros((*shape, 3), np.uint8))
        for seed in range(4):
            torch.manual_seed(seed)
            assert policy.view(scene, Frame(32, 24), lambda scene=scene: scene).size == (32, 24)
