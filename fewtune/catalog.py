"""The only list of what is built in. A third party adds to it by an entry point.

An installed package that declares, in its own pyproject.toml,

    [project.entry-points."fewtune.tuners"]
    mine = "my_package:MyTuner"

is found here; the groups are `fewtune.tasks`, `fewtune.encoders` (of texts), `fewtune.networks` (for pictures),
`fewtune.language_models`, `fewtune.translators`, `fewtune.tuners`, `fewtune.augmentations` (of texts),
`fewtune.picture_augmentations` and `fewtune.compressors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn

from fewtune.attack.augmentation import TextAttackViews
from fewtune.augment.back_translation import BackTranslation
from fewtune.augment.case import CaseNoise
from fewtune.augment.deletion import RandomDeletion
from fewtune.augment.insertion import RandomInsertion
from fewtune.augment.keyboard import KeyboardNoise
from fewtune.augment.ocr import OcrNoise
from fewtune.augment.picture_geometry import HorizontalFlip, QuarterTurn, RandomCrop, RandomRotation, VerticalFlip
from fewtune.augment.picture_light import HueJitter, LightJitter, RandomErasing
from fewtune.augment.picture_mixing import CutMix, MixUp, Mosaic
from fewtune.augment.picture_policy import PicturePolicies
from fewtune.augment.policy import AUTO, NONE, Policies
from fewtune.augment.punctuation import PunctuationNoise
from fewtune.augment.swap import RandomSwap
from fewtune.augment.synonym import SynonymReplacement
from fewtune.augment.trivial import TrivialAugment
from fewtune.backbones.causal_lm import CausalLM, SmolLM2, causal_from, is_causal_folder
from fewtune.backbones.seq2seq import EMBEDDED_TRANSLATORS, TranslationModel, translator_from
from fewtune.backbones.text_encoder import MiniLM, MultilingualE5, TextEncoder, encoder_from
from fewtune.backbones.vision import EfficientNetLite0, VisionBackbone, vision_from
from fewtune.backbones.whole_model import WholeModel, whole_model
from fewtune.compress.float16 import Float16Storage
from fewtune.compress.int4 import Int4
from fewtune.compress.int8 import Int8
from fewtune.compress.static import StaticStudent
from fewtune.compress.structure import FewerLayers, StructuredPruning
from fewtune.compress.vocabulary import VocabularyPruning
from fewtune.compress.words import WordsStudent
from fewtune.errors import RecipeError, nearest
from fewtune.interfaces import (
    Augmentation,
    Backbone,
    ClassifierTask,
    Compressor,
    Method,
    ModelInfo,
    PictureAugmentation,
    StructuredTask,
    StructuredTuner,
    Task,
    Tuner,
)
from fewtune.recipe import Recipe
from fewtune.tasks.image_classification import ImageClassification
from fewtune.tasks.object_detection import ObjectDetection
from fewtune.tasks.segmentation import Segmentation
from fewtune.tasks.text_classification import TextClassification
from fewtune.tasks.text_generation import TextGeneration
from fewtune.tasks.translation import Translation
from fewtune.tune.back_translated import BackTranslatingTuner
from fewtune.tune.blend import BlendTuner, blended_models
from fewtune.tune.contrastive import ContrastiveTuner
from fewtune.tune.detection import DetectionFullTuner, DetectionPartialTuner
from fewtune.tune.full import FullTuner
from fewtune.tune.generation import AsItIsTuner, LoraRepliesTuner
from fewtune.tune.head import HeadTuner
from fewtune.tune.lora import LoraTuner
from fewtune.tune.pace import turns_of
from fewtune.tune.partial import PartialTuner
from fewtune.tune.picture_head import PictureHeadTuner
from fewtune.tune.picture_tuned import PictureFullTuner, PicturePartialTuner
from fewtune.tune.prompt import PromptTuner
from fewtune.tune.segmentation import SegmentationFullTuner, SegmentationHeadTuner, SegmentationPartialTuner
from fewtune.tune.self_training import UNLABELED
from fewtune.tune.tfidf import TfidfTuner
from fewtune.tune.translation import TranslationBiasesTuner, TranslationLoraTuner, UntouchedTuner
from fewtune.tune.whole_detection import WholeDetectionFullTuner, WholeDetectionPartialTuner
from fewtune.tune.whole_segmentation import (
    WholeSegmentationFullTuner,
    WholeSegmentationHeadTuner,
    WholeSegmentationPartialTuner,
)

_SHORT_NAMES = {"detection": ObjectDetection.name}
_MAY_BE_ZERO = {
    UNLABELED,
    "label_names",
    "known_classes",
    "untaught",
    "warmup",
    "weight_decay",
    "dropout",
    "frozen",
    "protect",
    "rehearsal",
    "alone",
    "dice",
    "stages_rate",
}


def tasks() -> dict[str, Task]:
    """Every task by its name."""
    texts = (TextClassification(), Translation(), TextGeneration())
    pictures = (ObjectDetection(), Segmentation(), ImageClassification())
    return {task.name: task for task in (*texts, *pictures, *_plugins("tasks"))}


def encoders() -> dict[str, TextEncoder]:
    """Every text encoder that has a name of its own, cheapest first."""
    return dict(_encoders())


@cache
def _encoders() -> dict[str, TextEncoder]:
    # Kept for the process: an encoder that one fit has opened is open for the next.
    return {encoder.info.name: encoder for encoder in (MiniLM(), MultilingualE5(), *_plugins("encoders"))}


@cache
def networks() -> dict[str, VisionBackbone]:
    """Every network for pictures that has a name of its own, cheapest first; kept for the process."""
    return {network.info.name: network for network in (EfficientNetLite0(), *_plugins("networks"))}


@cache
def language_models() -> dict[str, CausalLM]:
    """Every causal language model that has a name of its own; kept for the process."""
    return {model.info.name: model for model in (SmolLM2(), *_plugins("language_models"))}


@cache
def translators() -> dict[str, TranslationModel]:
    """Every translation model that has a name of its own; kept for the process."""
    return {model.info.name: model for model in (*EMBEDDED_TRANSLATORS, *_plugins("translators"))}


def augmentations() -> dict[str, type[Augmentation]]:
    """Every augmentation by its name."""
    easy = (SynonymReplacement, RandomInsertion, RandomSwap, RandomDeletion)
    noise = (KeyboardNoise, OcrNoise, CaseNoise, PunctuationNoise)
    plugins = [entry.load() for entry in entry_points(group="fewtune.augmentations")]
    return {
        augmentation.name: augmentation for augmentation in (*easy, *noise, BackTranslation, TextAttackViews, *plugins)
    }


def picture_augmentations() -> dict[str, type[PictureAugmentation]]:
    """Every augmentation of pictures by its name."""
    places = (RandomCrop, HorizontalFlip, VerticalFlip, QuarterTurn, RandomRotation)
    others = (LightJitter, HueJitter, TrivialAugment, RandomErasing, MixUp, CutMix, Mosaic)
    plugins = [entry.load() for entry in entry_points(group="fewtune.picture_augmentations")]
    return {some.name: some for some in (*places, *others, *plugins)}


def compressors() -> dict[str, Compressor]:
    """Every way to make a bundle smaller by its name; where a target asks for all of them, they are tried in turn."""
    policies = Policies(augmentations())
    students = (StaticStudent(policies), WordsStudent(policies))
    built_in = (VocabularyPruning(), *students, StructuredPruning(), FewerLayers(), Int8(), Int4(), Float16Storage())
    return {some.name: some for some in (*built_in, *_plugins("compressors"))}


def methods(recipe: Recipe, task: Task) -> dict[str, Method]:
    """Every method that serves a task by its name, cheapest first, set up for the model that the recipe asks for.

    Raises:
        RecipeError: the recipe's model is neither known, nor a folder, nor on the model hub.
    """
    if isinstance(task, StructuredTask):
        serving = [
            method for method in (*_structured_tuners(recipe, task), *_plugins("tuners")) if task.name in method.tasks
        ]
        return {method.name: method for method in serving}
    single = _picture_tuners(recipe) if task.reads == "pictures" else _text_tuners(recipe)
    single = [tuner for tuner in (*single, *_plugins("tuners")) if task.name in tuner.tasks]
    return {tuner.name: tuner for tuner in (*single, BlendTuner(single))}


def _structured_tuners(recipe: Recipe, task: Task) -> list[StructuredTuner]:
    """Those of tasks whose answers are not classes."""
    if task.reads == "generation":
        models = list(language_models().values()) if recipe.model == "auto" else [find_language_model(recipe.model)]
        return [AsItIsTuner(models), LoraRepliesTuner(models)]
    if task.reads == "translation":
        models = list(translators().values()) if recipe.model == "auto" else [find_translator(recipe.model)]
        tuners = (UntouchedTuner, TranslationBiasesTuner, TranslationLoraTuner, BackTranslatingTuner)
        return [tuner(models) for tuner in tuners]
    if task.reads != "pictures":
        return []
    chosen = list(networks().values()) if recipe.model == "auto" else [find_picture_model(recipe.model, task)]
    policies = PicturePolicies(picture_augmentations())
    boxes = (DetectionPartialTuner, DetectionFullTuner)
    masks = (SegmentationHeadTuner, SegmentationPartialTuner, SegmentationFullTuner)
    if isinstance(chosen[0], WholeModel):
        boxes = (WholeDetectionPartialTuner, WholeDetectionFullTuner)
        masks = (WholeSegmentationHeadTuner, WholeSegmentationPartialTuner, WholeSegmentationFullTuner)
    return [tuner(chosen, policies) for tuner in (*boxes, *masks)]


def _picture_tuners(recipe: Recipe) -> list[Tuner]:
    chosen = list(networks().values()) if recipe.model == "auto" else [find_network(recipe.model)]
    policies = PicturePolicies(picture_augmentations())
    return [
        PictureHeadTuner(chosen, policies),
        PicturePartialTuner(chosen, policies),
        PictureFullTuner(chosen, policies),
    ]


def _text_tuners(recipe: Recipe) -> list[Tuner]:
    every = (*encoders().values(), *language_models().values())
    models = list(every) if recipe.model == "auto" else [find_text_model(recipe.model)]
    if recipe.method == BlendTuner.name:
        known = {model.info.name for model in models}
        models += [find_text_model(name) for name in blended_models(recipe) if name not in known]
    chosen = [model for model in models if isinstance(model, TextEncoder)]
    asked = [model for model in models if isinstance(model, CausalLM)]
    tuners = (HeadTuner, ContrastiveTuner, PartialTuner, LoraTuner, FullTuner)
    if not chosen and recipe.method in [tuner.name for tuner in tuners]:
        _refuse(recipe, "needs an encoder, and this is a causal language model", PromptTuner.name)
    if not asked and recipe.method == PromptTuner.name:
        _refuse(recipe, "asks a causal language model, and this is an encoder", HeadTuner.name)
    policies = Policies(augmentations())
    frozen: list[Tuner] = [TfidfTuner(policies), HeadTuner(chosen, policies), PromptTuner(asked)]
    return [*frozen, ContrastiveTuner(chosen), PartialTuner(chosen), LoraTuner(chosen), FullTuner(chosen)]


def _refuse(recipe: Recipe, why: str, other: str) -> NoReturn:
    raise RecipeError(
        f"The method {recipe.method} {why}: {recipe.model}.", where="--model", how=f"Use --method {other}, or auto."
    )


def stand_ins(recipe: Recipe, task: ClassifierTask) -> list[Tuner]:
    """What is delivered where the tuned rungs that were asked for could not be had: the frozen encoder."""
    if recipe.method in ("auto", HeadTuner.name):
        return []
    return [method for method in (methods(recipe, task)[HeadTuner.name],) if isinstance(method, Tuner)]


def models() -> list[ModelInfo]:
    """What can be given to `--model` without a folder of one's own."""
    texts = (*encoders().values(), *language_models().values(), *translators().values())
    return [backbone.info for backbone in (*texts, *networks().values())]


def find_task(name: str, source: Any = None) -> Task:
    """The task of that name; with "auto", the first that knows the data for its own, or else text classification.

    Raises:
        RecipeError: there is no such task.
    """
    known = tasks()
    name = _SHORT_NAMES.get(name, name)
    if name == "auto":
        own = (task for task in known.values() if task.recognises(source))
        return next(own, known[TextClassification.name])
    if name not in known:
        raise RecipeError(f"There is no task {name!r}.", where="--task", how=nearest(name, known))
    return known[name]


def find_backbone(name: str, task: Task) -> Backbone:
    """What a task reads with, by its name, its folder, or its name on the model hub.

    Raises:
        RecipeError: none of the three.
    """
    if task.reads == "generation":
        return find_language_model(name)
    if task.reads == "translation":
        return find_translator(name)
    return find_picture_model(name, task) if task.reads == "pictures" else find_text_model(name)


def find_text_model(name: str) -> TextEncoder | CausalLM:
    """What sorts texts: an encoder or a causal language model, by its name, its folder, or its name on the hub.

    Raises:
        RecipeError: none of the three.
    """
    if name.lower() in {key.lower() for key in language_models()} or is_causal_folder(Path(name).expanduser()):
        return find_language_model(name)
    return find_encoder(name)


def find_translator(name: str) -> TranslationModel:
    """A translation model by its name or its folder.

    Raises:
        RecipeError: there is none.
    """
    by_lower = {key.lower(): model for key, model in translators().items()}
    return by_lower[name.lower()] if name.lower() in by_lower else _translator_in(name)


@cache
def _translator_in(name: str) -> TranslationModel:
    return translator_from(name)


def find_picture_model(name: str, task: Task) -> VisionBackbone:
    """A model that does the task by itself, by its folder or hub name, or else a network for pictures.

    Raises:
        RecipeError: there is none.
    """
    return _whole_model(name, task.name) or find_network(name)


@cache
def _whole_model(name: str, task: str) -> WholeModel | None:
    return whole_model(name, task)


def find_network(name: str) -> VisionBackbone:
    """A network for pictures by its name, its folder, or its name in timm or on the model hub.

    Raises:
        RecipeError: there is none.
    """
    by_lower = {key.lower(): network for key, network in networks().items()}
    return by_lower[name.lower()] if name.lower() in by_lower else _named_network(name)


@cache
def _named_network(name: str) -> VisionBackbone:
    return vision_from(name)


def find_language_model(name: str) -> CausalLM:
    """A causal language model by its name, its folder, or its name on the model hub.

    Raises:
        RecipeError: there is none.
    """
    by_lower = {key.lower(): model for key, model in language_models().items()}
    return by_lower[name.lower()] if name.lower() in by_lower else _named_language_model(name)


@cache
def _named_language_model(name: str) -> CausalLM:
    return causal_from(name)


def find_encoder(name: str) -> TextEncoder:
    """An encoder by its name, its folder, or its name on the model hub.

    Raises:
        RecipeError: none of the three.
    """
    known = encoders()
    by_lower = {key.lower(): encoder for key, encoder in known.items()}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    if not Path(name).expanduser().is_dir() and "/" not in name:
        near = nearest(name, known)
        if near.startswith("Did you mean"):
            raise RecipeError(f"There is no model {name!r}.", where="--model", how=near)
    return encoder_from(name)


def find_methods(recipe: Recipe, task: Task) -> list[Method]:
    """The methods that the recipe's method names: all that serve the task with "auto".

    Raises:
        RecipeError: there is no such method or augmentation, or a setting is not one of the method's own.
    """
    known = methods(recipe, task)
    if recipe.method != "auto" and recipe.method not in known:
        raise RecipeError(f"There is no method {recipe.method!r}.", where="--method", how=nearest(recipe.method, known))
    chosen = list(known.values()) if recipe.method == "auto" else [known[recipe.method]]
    if recipe.augment not in (AUTO, NONE):
        _check_augmentations(recipe, task, known, chosen)
    if recipe.glossary and task.reads != "translation":
        raise RecipeError(
            f"A glossary is for translations, and this is {task.name}.", where="--glossary", how="Leave it out."
        )
    allowed = {name: text for tuner in chosen for name, text in tuner.settings.items()}
    for name, value in recipe.settings.items():
        if name not in allowed:
            raise RecipeError(f"There is no hyper-parameter {name!r}.", where="--set", how=nearest(name, allowed))
        if name in ("members", "augment"):  # no numbers; a blend, or the policies, check them
            continue
        if name == "pace":
            turns_of(str(value))
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise RecipeError(f"{name} cannot be {value!r}: it is a number from 0.", where="--set", how=allowed[name])
        if value == 0 and name not in _MAY_BE_ZERO:
            raise RecipeError(f"{name} cannot be 0.", where="--set", how=allowed[name])
    return chosen


def _check_augmentations(recipe: Recipe, task: Task, known: Mapping[str, Method], chosen: Sequence[Method]) -> None:
    if task.reads == "pictures":
        PicturePolicies(picture_augmentations()).named(recipe.augment, task.name)
    else:
        Policies(augmentations()).named(recipe.augment.split(","))
    if not any("augment" in method.settings for method in chosen):
        able = [name for name, method in known.items() if "augment" in method.settings]
        raise RecipeError(
            f"The method {recipe.method} learns from no views."
            if able
            else f"There is nothing that learns from views for {task.name}.",
            where="--augment",
            how=f"Use --method {' or '.join(able)}, or leave --augment out." if able else "Leave --augment out.",
        )


def find_tuners(recipe: Recipe, task: ClassifierTask) -> list[Tuner]:
    """`find_methods` for a task whose answers are classes."""
    return [method for method in find_methods(recipe, task) if isinstance(method, Tuner)]


def _plugins(group: str) -> list:
    return [entry.load()() for entry in entry_points(group=f"fewtune.{group}")]
