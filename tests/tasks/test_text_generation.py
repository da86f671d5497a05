"""Text generation, from the file to the bundle, with a tiny model that the test makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune import catalog, pipeline
from fewtune.data.conversation import ASSISTANT, SYSTEM, USER, Conversation, Generated
from fewtune.data.read.prompts import holds_prompts
from fewtune.errors import DataError, RecipeError
from fewtune.evaluate.replies import reply_metrics, rouge_l
from fewtune.interfaces import RunContext
from fewtune.recipe import Recipe
from fewtune.tasks.text_generation import TextGeneration
from fewtune.tune.generation import AsItIs, OfLikeLength, held_out
from fewtune.types import Dataset, Example
from tests.backbones.tiny_llama import WORDS, save_tiny_llama

PAIRS = [{"prompt": f"{a} {b}", "response": f"the {a}"} for a in WORDS[:6] for b in WORDS[6:12]]
QUICK = {"epochs": 6, "learning_rate": 0.01, "batch_size": 6, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    return path


@pytest.fixture(scope="module")
def bundle(tiny: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "a.fewtune"
    fewtune.fit(data, model=str(tiny), out=out, settings=QUICK, threads=1, budget="6s")
    return out


def test_tuning_lowers_perplexity_and_the_bundle_says_so(bundle: Path, data: Path, tmp_path: Path) -> None:
    model = fewtune.load(bundle)
    assert model.task == "text-generation"
    assert model.manifest.method == "lora"
    rungs = {rung["method"]: rung["scores"]["perplexity"]["value"] for rung in model.manifest.rungs}
    assert rungs["lora"] < 0.5 * rungs["none"]
    gain = model.scores.gain_over_baseline
    assert gain is not None
    assert gain.low is not None
    assert gain.low > 0
    assert model.manifest.comparisons[0].declared
    evaluated = model.evaluate(data).scores
    assert evaluated["perplexity"].value < rungs["none"]
    assert 0 <= evaluated["rouge_l"].value <= 1
    (reply,) = model.predict(["cat sat"])
    assert isinstance(reply, Generated)
    assert reply.log_prob is None
    chat = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "cat sat"}]
    assert model.predict([chat])[0].text is not None
    with pytest.raises(TypeError):
        model.predict("cat sat")
    with pytest.raises(DataError, match="model reads"):
        model.predict(["red dog " * 300])
    report = (bundle / "private" / "report.html").read_text()
    assert "Before and after" in report
    lines = [json.loads(line) for line in (bundle / "private" / "out_of_fold.jsonl").open()]
    assert {"answer", "before", "target"} <= set(lines[0])


def test_predict_keeps_the_columns(bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from fewtune.cli import app

    out = tmp_path / "out.csv"
    app(["predict", str(bundle), str(data), "--out", str(out)], standalone_mode=False)
    header, first = out.read_text().splitlines()[:2]
    assert header == "prompt,response,prediction"
    assert first.startswith(f"{PAIRS[0]['prompt']},{PAIRS[0]['response']},")
    capsys.readouterr()
    app(["predict", str(bundle), str(data), "--json"], standalone_mode=False)
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == len(PAIRS)


def test_the_adapter_is_peft_s_and_merged(tiny: Path, bundle: Path) -> None:
    """The bundle's log probabilities are those of PEFT's own model with the saved adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(tiny)
    theirs = PeftModel.from_pretrained(base, bundle).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "cat sat"}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    reply = [*tokenizer("the cat")["input_ids"], 1]
    with torch.no_grad():
        logits = theirs(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    wanted = float(logits[torch.arange(len(reply)), reply].sum())
    model = fewtune.load(bundle)
    (ours,) = model.predict([Conversation(((USER, "cat sat"),), "the cat")])
    assert ours.tokens == len(reply)
    assert ours.log_prob == pytest.approx(wanted, abs=0.3), "8-bit weights"


def test_transformers_loads_the_export(bundle: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from fewtune.bundle.export import export_bundle

    export_bundle(bundle, tmp_path / "hf", form="hf")
    tokenizer, model = (kind.from_pretrained(tmp_path / "hf") for kind in (AutoTokenizer, AutoModelForCausalLM))
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "cat sat"}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    reply = [*tokenizer("the cat")["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    wanted = float(logits[torch.arange(len(reply)), reply].sum())
    (ours,) = fewtune.load(bundle).predict([Conversation(((USER, "cat sat"),), "the cat")])
    # The same weights; activations are in 8 bits in the bundle.
    assert ours.log_prob == pytest.approx(wanted, abs=0.15)
    asked = torch.tensor([prompt])
    written = model.generate(asked, attention_mask=torch.ones_like(asked), max_new_tokens=6)
    assert tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True).strip() == ours.text


def test_the_bundle_runs_without_torch(bundle: Path) -> None:
    code = (
        f"import sys\nimport fewtune\nprint(fewtune.load({str(bundle)!r}).predict(['cat sat']))\n"
        "print('LOADED', [n for n in ('torch', 'transformers', 'jinja2', 'peft') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Generated" in done.stdout
    assert done.stdout.rstrip().endswith("LOADED []")


def test_the_untouched_model_is_delivered_too(tiny: Path, data: Path, tmp_path: Path) -> None:
    model = fewtune.fit(
        data, model=str(tiny), method="none", out=tmp_path / "a", settings={"bits": 32, "max_new_tokens": 4}
    )
    assert model.manifest.method == "none"
    assert not (tmp_path / "a" / "adapter_config.json").exists()
    with pytest.raises(RecipeError, match="5 bits"):
        fewtune.fit(data, model=str(tiny), method="none", out=tmp_path / "b", settings={"bits": 5})


def test_what_to_write_replies_for_next(tiny: Path, data: Path, tmp_path: Path) -> None:
    tested = [{"prompt": "Where is the red hat?", "response": "the hat"}]
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps(tested[0]) + "\n")
    settings = {"max_new_tokens": 2}
    model = fewtune.fit(
        data, test=str(test), model=str(tiny), method="none", out=tmp_path / "a", settings=settings, budget="1m"
    )
    near, new = "Where is the red hat", "Why is the dog so happy?"
    found = model.suggest([{"prompt": text} for text in (PAIRS[0]["prompt"], tested[0]["prompt"], near, new)], 4)
    assert [str(some.input) for some in found] == [new]
    assert {"already-labelled", "test-in-pool"} <= {finding.code for finding in found.findings}


def test_the_same_seed_gives_the_same_bytes(tiny: Path, data: Path, tmp_path: Path, bundle: Path) -> None:
    fewtune.fit(data, model=str(tiny), method="lora", out=tmp_path / "b", settings=QUICK, threads=1, budget="6s")
    for name in ("model.onnx", "adapter_model.safetensors"):
        assert (tmp_path / "b" / name).read_bytes() == (bundle / name).read_bytes()


def read(rows: list[dict]) -> list:
    return list(TextGeneration().read(rows, Recipe(), "fit"))


def test_prompts_and_chats_are_read() -> None:
    (pair,) = read([{"system": "be kind", "instruction": " hello ", "output": "hi"}])
    assert pair.input == Conversation(((SYSTEM, "be kind"), (USER, "hello")), "hi")
    chat = [
        {"from": "human", "value": "a"},
        {"from": "gpt", "value": "b"},
        {"from": "human", "value": "c"},
        {"from": "gpt", "value": "d"},
    ]
    first, second = read([{"conversations": chat}])
    assert first.input.turns == ((USER, "a"),)
    assert second.input.turns == ((USER, "a"), (ASSISTANT, "b"), (USER, "c"))
    assert [first.target, second.target] == ["b", "d"]
    assert first.group == second.group is not None
    dataset = TextGeneration().read(
        [{"prompt": "a", "response": ""}, {"prompt": "b", "response": "c"}], Recipe(), "fit"
    )
    assert len(dataset) == 1
    assert "left out 1 rows" in " ".join(dataset.notes)


def test_chats_that_do_not_alternate_are_read() -> None:
    def chat(*turns: str) -> dict:
        roles = {"s": "system", "u": "user", "a": "assistant"}
        return {"messages": [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]}

    task = TextGeneration()
    rows = [
        chat("a welcome", "u question", "a answer"),
        chat("s be kind", "u one", "u two", "a answer", "a and more", "u   ", "u three", "a last"),
        chat("u one", "a answer", "s be rude", "u two", "a never"),
        chat("a welcome"),
    ]
    dataset = task.read(rows, Recipe(), "fit")
    greeted, first, second, before = dataset
    assert greeted.input.turns == ((USER, "question"),)
    assert first.input.turns == ((SYSTEM, "be kind"), (USER, "one\n\ntwo"))
    assert first.target == "answer\n\nand more"
    assert second.input.turns[-1] == (USER, "three")
    assert before.target == "answer"
    notes = " ".join(dataset.notes)
    assert "left out 1 greetings" in notes
    assert "left out 1 replies before which" in notes
    assert "left out 1 rows without" in notes
    chats = task.inputs(rows[:2], Recipe()).values
    assert [some.turns[-1][1] for some in chats] == ["question", "three"]
    with pytest.raises(DataError, match="No row has both"):
        task.read(rows[3:], Recipe(), "fit")


def test_what_cannot_be_read_is_said_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "a"}]}\n{"messages": [{"role": "king", "content": "a"}]}'
    )
    with pytest.raises(DataError, match=r"(?s)a\.jsonl:2.*role"):
        TextGeneration().read(path, Recipe(), "fit")
    path.write_text('{"prompt": "a", "response": "b"}\n{"prompt"')
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        TextGeneration().read(path, Recipe(), "fit")
    with pytest.raises(DataError, match="no column for the response"):
        read([{"prompt": "a", "other": "b"}])
    with pytest.raises(DataError, match="No row has both"):
        read([{"prompt": "a", "response": ""}])
    assert catalog.find_task("auto", str(path)).name == "text-generation"
    assert not holds_prompts([{"text": "a", "label": "b"}])
    assert not holds_prompts(str(tmp_path / "none.csv"))


def test_what_is_wrong_with_the_data_is_found(tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i}", "response": "yes"} for i in range(20)]
    rows += [{"prompt": "question 3", "response": "no"}, {"prompt": "question 4", "response": "yes"}]
    rows += [{"prompt": "x" * 9000, "response": "yes"}, {"prompt": "same words", "response": "same words"}]
    task = TextGeneration()
    dataset = task.read(rows, Recipe(), "fit")
    test = task.read([{"prompt": "question 7", "response": "no"}], Recipe(), "evaluate")
    found = {finding.code: finding for finding in task.check(dataset, test)}
    assert set(found) == {
        "one-prompt-several-replies",
        "duplicate-prompt",
        "example-too-long",
        "reply-repeats-prompt",
        "test-in-training",
    }
    assert found["one-prompt-several-replies"].count == 2
    assert task.resample(dataset, RunContext(tmp_path)).repeats == 1, "an example has one answer"
    groups = task.groups(dataset)
    assert groups[3] == groups[20]
    assert len(np.unique(groups)) == 22
    assert {finding.code for finding in task.check(task.read(rows[:5], Recipe(), "fit"))} == {"few-examples"}


def test_metrics_of_replies() -> None:
    answers = [Generated("the cat", -2.0, 2), Generated("a dog ran", -4.0, 4), Generated(None, -6.0, 2)]
    weights = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1]], float)
    found = reply_metrics(answers, ["the cat", "the dog ran", "x"], weights)
    np.testing.assert_allclose(found["perplexity"], np.exp([12 / 8, 1, 3]))
    np.testing.assert_allclose(found["exact_match"], [0.5, 1, np.nan])
    np.testing.assert_allclose(found["rouge_l"], [(1 + 2 / 3) / 2, 1, np.nan])
    assert rouge_l("你好吗", "你好") == pytest.approx(0.8)
    assert rouge_l("", "") == 1
    assert rouge_l("", "a") == 0


def test_batches_hold_every_example_once_beside_its_likes() -> None:
    lengths = np.arange(100)[::-1].copy()
    batches = OfLikeLength(lengths, 8, np.random.default_rng)
    epoch = [batches[i] for i in range(batches.per_epoch)]
    assert sorted(np.concatenate(epoch).tolist()) == list(range(100))
    spread = np.mean([np.ptp(lengths[batch]) for batch in epoch])
    assert spread < 50
    assert [batches[batches.per_epoch + 1].tolist()] != [epoch[1].tolist()]


def test_too_little_time_is_said(tiny: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="too short"):
        pipeline.fit(
            Recipe(data=str(data), model=str(tiny), method="lora", budget="0.01s", threads=1), out=tmp_path / "a"
        )
    assert not (tmp_path / "a").exists()


def test_prompts_that_no_model_reads_are_left_out(tiny: Path, tmp_path: Path) -> None:
    long = {"prompt": "red dog " * 300, "response": "the red"}
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in [*PAIRS, long]))
    dataset, findings = pipeline.check(Recipe(data=str(path), model=str(tiny)))
    (finding,) = (some for some in findings if some.code == "prompt-too-long")
    assert (finding.level, finding.count) == ("warning", 1)
    assert finding.places == (f"pairs.jsonl:{len(PAIRS) + 1}",)
    assert len(dataset) == len(PAIRS)
    options = {"model": str(tiny), "method": "none", "settings": {"max_new_tokens": 6}, "threads": 1}
    model = fewtune.fit(path, test=str(path), out=tmp_path / "a", **options)
    assert model.scores["perplexity"].n <= len(PAIRS)
    path.write_text(json.dumps(long) + "\n")
    with pytest.raises(DataError, match="longer than the 256 tokens"):
        pipeline.check(Recipe(data=str(path), model=str(tiny)))


def test_of_a_large_fold_examples_from_all_of_it_are_answered() -> None:
    few, many = np.arange(60), np.arange(1000)
    assert held_out(few).tolist() == few.tolist()
    chosen = held_out(many)
    assert len(set(chosen.tolist())) == 100
    assert (chosen[0], chosen[-1]) == (0, 999)
    assert np.diff(chosen).max() <= 11


def test_how_long_replies_are_is_not_seen_in_what_is_held_out(tiny: Path, tmp_path: Path) -> None:
    examples = [Example(Conversation(((USER, word),)), word) for word in WORDS[:6]]
    examples.append(Example(Conversation(((USER, "who"),)), "the cat sat on the mat " * 4))
    dataset = Dataset("text-generation", tuple(examples), (), "", "")
    candidate = AsItIs(catalog.find_language_model(str(tiny)), {})
    plan = candidate._as_it_is(dataset)
    assert candidate._on_fold(dataset, np.arange(6), plan).max_new_tokens < plan.max_new_tokens
    assert candidate._on_fold(dataset, np.arange(7), plan).max_new_tokens == plan.max_new_tokens
    given = AsItIs(catalog.find_language_model(str(tiny)), {"max_new_tokens": 3})
    assert given._on_fold(dataset, np.arange(6), plan).max_new_tokens == 3
