"""Translation, end to end: a tiny student that the tests write, real file formats, real scores."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fewtune
from fewtune import catalog, pipeline
from fewtune.backbones.seq2seq import translator_from
from fewtune.data.glossary import Glossary
from fewtune.data.protection import kept_and_all, protect, spans_of, terms_kept_and_all
from fewtune.data.read.translations import read_pairs
from fewtune.errors import DataError, OutputError, RecipeError
from fewtune.evaluate.translation import bleu, bleu_counts, chrf, chrf_counts
from fewtune.interfaces import RunContext
from fewtune.learn.structured import offers
from fewtune.recipe import Recipe
from fewtune.tasks.translation import Translation
from fewtune.tune import back_translated, translation
from fewtune.tune.translation import BiasesTranslation, FullCandidate, LoraTranslation
from fewtune.tune.translation_data import Pair, prepared
from fewtune.types import Dataset, Example, Unlabelled
from tests import marian

PAIRS = [
    ("the cat sees the dog.", "o gato vê o dog."),
    ("the dog sees the cat.", "o dog vê o gato."),
    ("Anna sees the cat.", "Anna vê o gato."),
    ("Bert sees Carl (1).", "Bert vê Carl (1)."),
]
MANY = [(f"{a} {i}", f"{b} {i}") for i in range(10) for a, b in PAIRS]


def table(path: Path, pairs: list[tuple[str, str]], header: tuple[str, str] = ("en", "pt")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *pairs])
    return path


def codes(path: Path, test: str = "") -> set[str]:
    _, findings = pipeline.check(Recipe(data=str(path), test=test))
    return {finding.code for finding in findings}


def test_fit_predict_evaluate(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("lightning")
    student = marian.write_student(tmp_path / "student")
    data = table(tmp_path / "pairs.csv", MANY)
    quick = {"epochs": 1, "rehearsal": 0, "learning_rate": 3e-3}
    model = fewtune.fit(data, out=tmp_path / "a", model=str(student), method="full", settings=quick, budget="2m")
    assert model.task == "translation"
    assert {graph.role for graph in model.manifest.graphs} >= {"encoder", "decoder"}
    assert 0 <= model.scores["chrf"].value <= 100
    assert model.scores["chrf"].low is not None

    # What must not be translated comes out as it went in, and lines stay lines.
    text = "the cat sees <b>{name}</b>\n\nsee https://example.org/a?b=1"
    (answer,) = model.predict([text])
    assert kept_and_all(text, answer) == (len(spans_of(text)), len(spans_of(text)))
    assert answer.count("\n") == 2
    with pytest.raises(TypeError):
        model.predict("one text instead of a list")

    untouched = fewtune.fit(data, out=tmp_path / "b", model=str(student), method="none")
    sources = [source for source, _ in MANY]
    assert model.predict(sources) != untouched.predict(sources), "nothing was tuned"
    scores = model.evaluate(data).scores
    assert set(scores) >= {"chrf", "bleu", "exact_match", "placeholders_kept"}

    task = Translation()
    inputs = model.read_inputs(str(data))
    written = task.write_answers(inputs, model.predict(inputs.values), (), None)
    rows = list(csv.DictReader(written.splitlines()))
    assert [row["en"] for row in rows] == sources
    assert set(rows[0]) == {"en", "pt", "prediction"}


def test_a_bundle_reads_data_in_its_own_direction(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    student = marian.write_student(tmp_path / "student")
    there = table(tmp_path / "there.csv", MANY)
    back = table(tmp_path / "back.csv", [(b, a) for a, b in MANY], ("pt", "en"))
    model = fewtune.fit(there, out=tmp_path / "a", model=str(student), method="none")
    assert model.read_inputs(str(back)).values == model.read_inputs(str(there)).values
    expected, found = (model.evaluate(path) for path in (there, back))
    assert found.scores["chrf"].value == expected.scores["chrf"].value
    assert "exchanged" in " ".join(found.notes)
    # What was said is not turned round, and other languages are refused.
    with pytest.raises(DataError, match="goes from pt to en"):
        model.evaluate(back, text="pt", label="en")
    other = table(tmp_path / "other.csv", MANY, ("de", "pt"))
    with pytest.raises(DataError, match="goes from de to pt"):
        model.evaluate(other)
    with pytest.raises(DataError, match="No column is in en"):
        model.read_inputs(str(other))
    assert model.read_inputs(str(other), text="pt").values == tuple(target for _, target in MANY)
    numbered = tmp_path / "numbered.csv"
    numbered.write_text("id,text\n1,the cat\n2,the dog\n")
    assert model.read_inputs(str(numbered)).values == ("the cat", "the dog")


def test_a_text_is_translated_alike_alone_and_among_others(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    student = marian.write_student(tmp_path / "student")
    model = fewtune.fit(MANY, task="translation", out=tmp_path / "a", model=str(student), method="none")
    sources = [source for source, _ in MANY[:12]]
    assert model.predict(sources) == [model.predict([source])[0] for source in sources]


def test_a_pair_of_languages_without_a_model_is_refused(tmp_path: Path) -> None:
    data = table(tmp_path / "pairs.csv", MANY, ("de", "fr"))
    with pytest.raises(RecipeError, match="de to fr"):
        fewtune.fit(data, out=tmp_path / "a", task="translation")
    assert not (tmp_path / "a").exists()


def test_every_form_gives_the_same_pairs(tmp_path: Path) -> None:
    pytest.importorskip("polib")
    expected = [(source, target) for source, target in PAIRS]

    def read(source: Path, label: str = "") -> list[tuple[str, str]]:
        dataset = Translation().read(str(source), Recipe(label=label), "fit")
        return [(example.input, example.target) for example in dataset]

    assert read(table(tmp_path / "pairs.csv", PAIRS)) == expected
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>{a}</seg></tuv><tuv xml:lang="pt-BR"><seg>{b}</seg></tuv></tu>' for a, b in PAIRS
    )
    tmx = tmp_path / "pairs.tmx"
    tmx.write_text(f'<?xml version="1.0"?><tmx version="1.4"><header/><body>{units}</body></tmx>')
    assert read(tmx) == expected
    entries = "\n\n".join(f'msgid "{a}"\nmsgstr "{b}"' for a, b in PAIRS)
    fuzzy = '#, fuzzy\nmsgid "not yet"\nmsgstr "errado"'
    head = 'msgid ""\nmsgstr "Language: pt\\nContent-Type: text/plain; charset=UTF-8\\n"'
    catalogue = tmp_path / "pt.po"
    catalogue.write_text(f"{head}\n\n{entries}\n\n{fuzzy}\n")
    assert read(catalogue) == expected
    (tmp_path / "text.en").write_text("\n".join(a for a, _ in PAIRS) + "\n")
    (tmp_path / "text.pt").write_text("\n".join(b for _, b in PAIRS) + "\n")
    assert read(tmp_path / "text.en", label=str(tmp_path / "text.pt")) == expected
    for source in (tmp_path / "pairs.csv", tmx, catalogue):
        assert catalog.find_task("auto", str(source)).name == "translation", source


def test_files_of_different_lengths_are_refused_with_both_counts(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("one.\ntwo.\nthree.\n")
    (tmp_path / "a.pt").write_text("um.\ntrês.\n")
    with pytest.raises(DataError) as caught:
        read_pairs(tmp_path / "a.en", label=str(tmp_path / "a.pt"))
    assert "3" in caught.value.what
    assert "2" in caught.value.what
    assert "a.en:" in caught.value.where


def test_entities_of_a_tmx_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    tmx = tmp_path / "evil.tmx"
    tmx.write_text(
        f'<!DOCTYPE tmx [<!ENTITY x SYSTEM "file://{secret}">]><tmx><body><tu><tuv xml:lang="en"><seg>&x;</seg></tuv>'
        '<tuv xml:lang="pt"><seg>b</seg></tuv></tu></body></tmx>'
    )
    with pytest.raises(DataError):
        read_pairs(tmx)


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    odd = [
        ("the cat sees the dog in the garden of the house", "the cat sees the dog in the garden of the house"),
        ("short", "uma frase muito mais longa do que a outra, sem nenhuma razão para isso, e que nunca acaba"),
        ("keep {this} please", "guarde isto por favor"),
        (PAIRS[0][0], "outra tradução da mesma frase"),
        PAIRS[1],
    ]
    found = codes(table(tmp_path / "odd.csv", [*MANY, *PAIRS, *odd]))
    assert {"source-copied", "length-ratio", "markup-differs", "several-translations", "duplicate-text"} <= found
    test = table(tmp_path / "test.csv", MANY[:5])
    assert "test-in-training" in codes(table(tmp_path / "train.csv", MANY), test=str(test))


@given(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("<>{}`@%$:/.")), max_size=60))
def test_what_is_protected_comes_back(text: str) -> None:
    protected = protect(text, lambda character: character in "<>{}~^")
    if not any("\ue000" <= character <= "\uf8ff" for character in text):
        assert protected.restored(protected.text) == text


@pytest.mark.parametrize(
    "span", ["{name}", "%(count)d", "<a href='x'>", "https://example.org/x?y=1", "me@example.org", "`code`", "f()"]
)
def test_spans_are_cut_out_and_put_back(span: str) -> None:
    protected = protect(f"See {span} for more.", lambda character: False)
    assert span in protected.spans
    assert span not in protected.text
    assert protected.restored(protected.text) == f"See {span} for more."


TEXTS = st.lists(st.tuples(*[st.text("abc dé.,", max_size=15)] * 2), min_size=1, max_size=6)


@given(TEXTS)
def test_scores_are_those_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sacrebleu.metrics")
    answers, references = [a for a, _ in pairs], [b for _, b in pairs]
    ones = np.ones((1, len(pairs)))
    expected = metrics.CHRF().corpus_score(answers, [references]).score
    assert chrf(chrf_counts(answers, references), ones)[0] == pytest.approx(expected, abs=1e-6)
    expected = metrics.BLEU().corpus_score(answers, [references]).score
    assert bleu(bleu_counts(answers, references), ones)[0] == pytest.approx(expected, abs=1e-6)


@given(TEXTS)
def test_twice_the_weight_is_twice_the_sentence(pairs: list[tuple[str, str]]) -> None:
    pytest.importorskip("sacrebleu")
    weights = np.ones((1, len(pairs)))
    weights[0, 0] = 2
    answers, references = [a for a, _ in pairs], [b for _, b in pairs]
    once = chrf_counts(answers, references)
    twice = chrf_counts([answers[0], *answers], [references[0], *references])
    assert chrf(once, weights)[0] == pytest.approx(chrf(twice, np.ones((1, len(pairs) + 1)))[0])


def test_what_is_delivered_lies_between_the_untouched_and_the_tuned_weights(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    model = translator_from(str(marian.write_student(tmp_path / "student")))
    examples = [Example(source, target, "", None) for source, target in PAIRS]
    settings = {"epochs": 2, "learning_rate": 3e-3, "tokens": 3000, "rehearsal": 0, "warmup": 0.1, "weight_decay": 0}

    def weights(mix: float) -> Mapping[str, np.ndarray]:
        candidate = FullCandidate(model, {}, ("en", "pt"))
        run = RunContext(tmp_path)
        with run.progress.step("", total=1) as step:
            tuned = candidate.tuned(examples, {**settings, "protect": 1, "mix": mix}, "a", run, step)
        return tuned.parts.network().tensors()

    untouched, tuned, mixed = model.parts.network().tensors(), weights(1), weights(0.25)
    assert any(not np.array_equal(untouched[name], tuned[name]) for name in untouched)
    for name, before in untouched.items():
        np.testing.assert_allclose(mixed[name], 0.75 * before + 0.25 * tuned[name], atol=1e-6, err_msg=name)


def test_more_than_the_tuned_weights_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    student = str(marian.write_student(tmp_path / "student"))
    with pytest.raises(RecipeError, match="mix cannot be 2"):
        fewtune.fit(
            MANY, task="translation", out=tmp_path / "a", model=student, method="full", settings={"mix": 2}, budget="2m"
        )
    assert not (tmp_path / "a").exists()


def test_a_glossary_is_held_to_and_measured(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("lightning")
    student = str(marian.write_student(tmp_path / "student"))
    data = table(tmp_path / "pairs.csv", MANY)
    terms = str(table(tmp_path / "terms.csv", [("cat", "gatinho"), ("dog", "dog")]))
    quick = {"epochs": 1, "rehearsal": 0}
    model = fewtune.fit(
        data,
        test=str(data),
        out=tmp_path / "a",
        method="full",
        settings=quick,
        budget="2m",
        glossary=terms,
        model=student,
    )
    assert 0 < model.scores["glossary_kept"].value <= 1
    answers = fewtune.load(tmp_path / "a").predict([source for source, _ in MANY])
    glossary = Glossary((("cat", "gatinho"), ("dog", "dog")))
    counts = [terms_kept_and_all(source, answer, glossary) for (source, _), answer in zip(MANY, answers, strict=True)]
    kept, terms_in_all = (sum(some) for some in zip(*counts, strict=True))
    assert model.evaluate(data).scores["glossary_kept"].value == pytest.approx(kept / terms_in_all)
    assert [answer.count("gatinho") for answer in answers] == [source.count("cat") for source, _ in MANY]
    model.use_glossary([{"en": "cat", "pt": "bichano"}])
    (answer,) = model.predict(["the cat sees the dog."])
    assert "bichano" in answer
    assert "gatinho" not in answer

    # The model as it came, if that is delivered, holds to it too; one that protects nothing says that it cannot.
    untouched = fewtune.fit(data, test=str(data), out=tmp_path / "b", method="none", glossary=terms, model=student)
    assert "gatinho" in untouched.predict(["the cat sees the dog."])[0]
    bare = fewtune.fit(data, test=str(data), out=tmp_path / "c", model=student, method="none")
    assert "glossary_kept" not in bare.scores
    with pytest.raises(RecipeError, match="protects nothing"):
        bare.use_glossary(terms)
    with pytest.raises(RecipeError, match="protect=0"):
        fewtune.fit(data, out=tmp_path / "d", settings={"protect": 0}, glossary=terms, model=student)


def test_a_glossary_is_for_translations_only(tmp_path: Path) -> None:
    terms = table(tmp_path / "terms.csv", [("cat", "gato")])
    texts = [("good", "a"), ("bad", "b")] * 4
    with pytest.raises(RecipeError, match="for translations"):
        fewtune.fit(texts, out=tmp_path / "a", glossary=str(terms), method="tfidf")


def test_texts_without_a_translation_are_translated_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("lightning")
    there = translator_from(str(marian.write_student(tmp_path / "there")))
    back = translator_from(str(marian.write_student(tmp_path / "back", pair="pten")))
    monkeypatch.setattr(back_translated, "EMBEDDED_TRANSLATORS", (there, back))
    data = table(tmp_path / "pairs.csv", MANY)
    texts = tmp_path / "more.txt"
    texts.write_text("\n".join(f"o gato vê o dog e o gato não vê {name}." for name in marian.NAMES), encoding="utf-8")
    learnt: list[str] = []

    def seen(pairs: list[tuple[str, str]], *arguments: Any) -> list[Pair]:
        found = prepared(pairs, *arguments)
        learnt.extend(pair.source for pair in found)
        return found

    monkeypatch.setattr(translation, "prepared", seen)
    quick = {"epochs": 1, "rehearsal": 0, "unlabeled": 1.0}
    model = fewtune.fit(
        data,
        out=tmp_path / "a",
        model=str(tmp_path / "there"),
        method="full",
        settings=quick,
        unlabeled=str(texts),
        budget="2m",
    )
    assert any(source.startswith("BT: ") for source in learnt)
    assert model.result is not None
    gain = model.result.unlabelled
    assert gain is not None
    assert gain.kept
    assert gain.rung.endswith("with unlabelled")
    assert model.manifest.recipe["settings"]["unlabeled"] == 1.0
    assert model.manifest.recipe["unlabeled"] == "more.txt"


def test_texts_of_the_wrong_language_are_refused(tmp_path: Path) -> None:
    data = table(tmp_path / "pairs.csv", MANY)
    texts = tmp_path / "more.txt"
    texts.write_text("this is not what they write\nthe people there are with us\n", encoding="utf-8")
    with pytest.raises(DataError, match="not in pt") as caught:
        fewtune.fit(data, out=tmp_path / "a", method="full", unlabeled=str(texts))
    assert "--unlabeled" in caught.value.where
    with pytest.raises(RecipeError, match="does not learn from unlabelled"):
        fewtune.fit(data, out=tmp_path / "a", method="none", unlabeled=str(texts))
    assert not (tmp_path / "a").exists()


def test_without_a_model_that_leads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = translator_from(str(marian.write_student(tmp_path / "there")))
    monkeypatch.setattr(back_translated, "EMBEDDED_TRANSLATORS", (there,))
    examples = tuple(Example(source, target) for source, target in MANY)
    data = Dataset("translation", examples, (), "", "", languages=("en", "pt"))
    more = replace(data, unlabelled=Unlabelled(tuple(target for _, target in MANY) * 9, "more.txt", ""))
    tuner = back_translated.BackTranslatingTuner([there])
    plain, left_out = tuner.candidates(more, Recipe())
    assert len(plain) == 1
    assert "from pt back to en" in left_out[0].why
    with pytest.raises(RecipeError, match="no unlabelled inputs"):
        tuner.candidates(data, Recipe(settings={"unlabeled": 0.5}))
    back = translator_from(str(marian.write_student(tmp_path / "back", pair="pten")))
    found, left_out = back_translated.BackTranslatingTuner([there, back]).candidates(more, Recipe())
    assert not left_out
    assert isinstance(found[1], back_translated.BackTranslatedCandidate)
    # No more than two made pairs for each of the data's own.
    assert found[1]._settings["unlabeled"] == pytest.approx(2 / 9, abs=1e-4)
    assert len(found[1]._texts) == 2 * len(data)


@pytest.mark.parametrize("kind", ["opus", "t5", "nllb"])
def test_a_model_of_transformers_goes_the_whole_way(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("lightning")
    from transformers import AutoModelForSeq2SeqLM

    from fewtune.bundle.export import export_bundle
    from tests.tiny_seq2seq import MODELS

    folder = MODELS[kind](tmp_path / "model")
    data = table(tmp_path / "pairs.csv", MANY)
    quick = {"epochs": 1, "rehearsal": 0.1, "learning_rate": 3e-3}
    options = {"model": str(folder), "settings": quick, "compress": "none", "test": str(data)}
    model = fewtune.fit(data, out=tmp_path / "a", method="full", budget="2m", **options)
    untouched = fewtune.fit(data, out=tmp_path / "b", method="none", model=str(folder), compress="none")
    sources = [source for source, _ in MANY[:8]]
    assert model.predict(sources) != untouched.predict(sources), "nothing was tuned"
    text = "the cat sees <b>{name}</b>\n\nsee https://example.org/a?b=1"
    (answer,) = model.predict([text])
    assert kept_and_all(text, answer) == (len(spans_of(text)), len(spans_of(text)))

    export_bundle(tmp_path / "a", tmp_path / "hf", form="hf")
    exported = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "hf").state_dict()
    given = AutoModelForSeq2SeqLM.from_pretrained(folder).state_dict()
    assert set(exported) == set(given)
    assert any((exported[name] != given[name]).any() for name in given)
    export_bundle(tmp_path / "b", tmp_path / "hf-b", form="hf")
    same = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "hf-b").state_dict()
    assert all((same[name] == given[name]).all() for name in given)
    assert (tmp_path / "hf" / "tokenizer_config.json").is_file()
    # What was exported can be fitted again, and translates as it did.
    again = fewtune.fit(data, out=tmp_path / "c", method="none", model=str(tmp_path / "hf-b"), compress="none")
    assert again.predict(sources) == untouched.predict(sources)


@pytest.mark.parametrize("method", ["lora", "biases"])
@pytest.mark.parametrize("kind", ["student", "opus", "t5"])
def test_methods_that_learn_little_of_a_model(tmp_path: Path, method: str, kind: str) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("peft")
    from tests.tiny_seq2seq import MODELS

    folder = (marian.write_student if kind == "student" else MODELS[kind])(tmp_path / "model")
    model = translator_from(str(folder))
    candidate = {"lora": LoraTranslation, "biases": BiasesTranslation}[method](model, {"mix": 1}, ("en", "pt"))
    run = RunContext(tmp_path)
    settings = {**candidate.defaults, "learning_rate": 1e-2, "epochs": 1, "rehearsal": 0, "mix": 1}
    with run.progress.step("", total=1) as step:
        tuned = candidate.tuned(
            [Example(source, target, "", None) for source, target in MANY], settings, "a", run, step
        )
    before, after = (parts.network().tensors() for parts in (model.parts.directed(("en", "pt")), tuned.parts))
    changed = {name for name in before if (before[name] != after[name]).any()}
    matrices = {name for name in before if before[name].squeeze().ndim == 2 and "relative_attention" not in name}
    tables = {name for name in matrices if "emb" in name or "shared" in name or "lm_head" in name}
    if method == "biases":
        assert changed
        assert not changed & matrices
    else:
        assert changed == matrices - tables - {name for name in before if "embed_positions" in name}


def test_by_itself_little_is_learnt_of_large_models_only(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    student = str(marian.write_student(tmp_path / "student"))
    recipe = Recipe(model=student)
    dataset = Translation().read(str(table(tmp_path / "pairs.csv", MANY)), recipe, "fit")
    found, left_out = offers(list(catalog.methods(recipe, Translation()).values()), dataset, recipe)
    assert [some.method for some in found] == ["none", "full"]
    assert {some.name.split(":")[0] for some in left_out} == {"lora", "biases"}


CATALOGUE = """# A translator's own words.
msgid ""
msgstr ""
"Language: pt\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

#: a.c:1
msgid "the cat"
msgstr "o gato"

#: a.c:2
msgid "the dog\\n"
msgstr ""

#: a.c:3
#, fuzzy, c-format
msgid "the cat sees %d"
msgstr "errado %d"

msgid "a cat"
msgid_plural "the cats"
msgstr[0] ""
msgstr[1] ""

#~ msgid "gone"
#~ msgstr "ido"
"""


def test_a_catalogue_is_filled_in(tmp_path: Path) -> None:
    polib = pytest.importorskip("polib")
    source, out = tmp_path / "pt.po", tmp_path / "done.po"
    source.write_text(CATALOGUE, encoding="utf-8")
    task = Translation(("en", "pt"))
    inputs = task.inputs(str(source), Recipe())
    assert inputs.values == ("the dog\n", "the cat sees %d", "a cat", "the cats")
    task.write_answers(inputs, ["o dog", "o gato vê %d", "um gato", "os gatos"], (), out)
    before, after = polib.pofile(str(source)), polib.pofile(str(out))
    assert after.metadata == before.metadata
    assert after.header == before.header
    kept, dog, sees, cats = (entry for entry in after if not entry.obsolete)
    assert (kept.msgstr, kept.flags) == ("o gato", [])
    assert (dog.msgstr, dog.flags) == ("o dog\n", ["fuzzy"])
    assert (sees.msgstr, sorted(sees.flags)) == ("o gato vê %d", ["c-format", "fuzzy"])
    assert cats.msgstr_plural == {0: "um gato", 1: "os gatos"}
    assert [entry.msgid for entry in after.obsolete_entries()] == ["gone"]
    assert [entry.occurrences for entry in after] == [entry.occurrences for entry in before]
    # As a table, the texts stand beside their translations.
    rows = list(csv.reader(task.write_answers(inputs, ["a", "b", "c", "d"], (), None).splitlines()))
    assert rows[0] == ["en", "prediction"]


MEMORY = """<?xml version="1.0" encoding="{encoding}"?>
<!-- kept -->
<tmx version="1.4"><header srclang="en" o-tmf="é"/><body>
  <tu tuid="1">
    <tuv xml:lang="en"><seg>the cat</seg></tuv>
    <tuv xml:lang="pt-BR"><seg>o gato</seg></tuv>
  </tu>
  <tu tuid="2"><prop type="x-document">a.txt</prop>
    <tuv xml:lang="EN-us"><seg>the dog &amp; <ph>&lt;b></ph></seg></tuv>
  </tu>
  <tu tuid="3"><tuv xml:lang="pt-BR" changeid="me"><seg/></tuv><tuv xml:lang="en"><seg>sees</seg></tuv></tu>
  <tu tuid="4"><tuv xml:lang="en"><seg>a</seg></tuv><tuv xml:lang="pt-BR"><seg> </seg><note>n</note></tuv></tu>
  <tu tuid="5"><tuv xml:lang="de"><seg>nur</seg></tuv></tu>
</body></tmx>
"""


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "ISO-8859-1"])
def test_a_translation_memory_is_filled_in(tmp_path: Path, encoding: str) -> None:
    source, out = tmp_path / "a.tmx", tmp_path / "b.tmx"
    source.write_bytes(MEMORY.format(encoding=encoding).replace("\n", "\r\n").encode(encoding))
    task = Translation(("en", "pt"))
    inputs = task.inputs(str(source), Recipe())
    assert inputs.values == ("the dog & <b>", "sees", "a")
    assert [row[2] for row in inputs.table.rows] == ["a.txt", "", ""]
    # As the command does: what was read says in which direction, and not the task that writes.
    Translation().write_answers(inputs, ["o dog & <b>", "vê", "á"], (), out)
    new = '<tuv xml:lang="pt-BR" changeid="fewtune"><seg>'
    expected = MEMORY.format(encoding="UTF-8")
    for before, after in (
        ("</ph></seg></tuv>", f"</ph></seg></tuv>\n    {new}o dog &amp; &lt;b&gt;</seg></tuv>"),
        ("<seg/>", "<seg>vê</seg>"),
        ('<tuv xml:lang="pt-BR"><seg> </seg>', '<tuv changeid="fewtune" xml:lang="pt-BR"><seg>á</seg>'),
    ):
        assert expected.count(before) == 1
        expected = expected.replace(before, after)
    assert out.read_bytes().decode("utf-8") == expected.replace("\n", "\r\n")
    # What stands beside the texts, as what of the training data is most alike, has no place in the file.
    rows = [(*row, "x") for row in inputs.table.rows]
    beside = replace(inputs.table, columns=(*inputs.table.columns, "match"), rows=rows)
    Translation().write_answers(replace(inputs, table=beside), ["o dog & <b>", "vê", "á"], (), tmp_path / "c.tmx")
    assert (tmp_path / "c.tmx").read_bytes() == out.read_bytes()
    # Where nothing waits, everything is translated again; into a table, too.
    again = task.inputs(str(out), Recipe())
    assert again.values == ("the cat", "the dog & <b>", "sees", "a")
    rows = list(csv.reader(task.write_answers(again, ["1", "2", "3", "4"], (), None).splitlines()))
    assert rows[:2] == [["en", "pt", "document", "prediction"], ["the cat", "o gato", "", "1"]]
    task.write_answers(again, ["1", "2", "3", "4"], (), out)
    assert task.inputs(str(out), Recipe()).table.column("pt") == ["1", "2", "3", "4"]


VARIETIES = """<tmx version="1.4"><header srclang="en"/><body>
  <tu><tuv xml:lang="en"><seg>cat</seg></tuv><tuv xml:lang="pt-BR"/></tu>
  <tu><tuv xml:lang="en"><seg>dog</seg></tuv><tuv xml:lang="pt-BR"><note>n</note> </tuv></tu>
  <tu><tuv xml:lang="en"><seg>cow</seg></tuv>
    <tuv xml:lang="pt-PT"><seg>vaca</seg></tuv><tuv xml:lang="pt-BR"><seg/></tuv></tu>
  <tu><tuv xml:lang="en"><seg>ox</seg></tuv><tuv xml:lang="pt-BR"></tuv><tuv xml:lang="pt-PT"><seg>boi</seg></tuv></tu>
  <tu><tuv xml:lang="en"><seg>pig</seg></tuv><tuv xml:lang="pt-BR"><seg/></tuv><tuv xml:lang="pt-PT"><seg/></tuv></tu>
</body></tmx>
"""


def test_what_is_empty_is_filled_in_unless_another_variety_is_translated(tmp_path: Path) -> None:
    """An empty `<tuv>` gets the translation, with `<seg>` or without; what is there in pt-PT is Portuguese too."""
    source, out = tmp_path / "a.tmx", tmp_path / "b.tmx"
    source.write_text(VARIETIES, encoding="utf-8")
    inputs = Translation(("en", "pt")).inputs(str(source), Recipe())
    assert inputs.values == ("cat", "dog", "pig")
    Translation().write_answers(inputs, ["gato", "cão", "porco"], (), out)
    expected = VARIETIES
    for before, after in (
        ('<tuv xml:lang="pt-BR"/>', '<tuv changeid="fewtune" xml:lang="pt-BR"><seg>gato</seg></tuv>'),
        (
            '<tuv xml:lang="pt-BR"><note>n</note> </tuv>',
            '<tuv changeid="fewtune" xml:lang="pt-BR"><note>n</note> <seg>cão</seg></tuv>',
        ),
        (  # of two empty ones, that in the variety that most of the file is in
            '<tuv xml:lang="pt-PT"><seg/></tuv>',
            '<tuv changeid="fewtune" xml:lang="pt-PT"><seg>porco</seg></tuv>',
        ),
    ):
        assert expected.count(before) == 1
        expected = expected.replace(before, after)
    assert out.read_text(encoding="utf-8") == expected
    again = Translation(("en", "pt")).inputs(str(out), Recipe())
    assert again.table.column("pt") == ["gato", "cão", "vaca", "boi", "porco"]
    assert [row[:2] for row in read_pairs(source).table.rows][2:4] == [("cow", "vaca"), ("ox", "boi")]


def test_a_memory_that_is_mostly_in_one_variety_waits_for_that(tmp_path: Path) -> None:
    """Of a file in pt-BR, what is empty in pt-BR is filled in, whatever is there in pt-PT, in whichever order."""
    source, out = tmp_path / "a.tmx", tmp_path / "b.tmx"
    mostly = VARIETIES.replace('<tuv xml:lang="pt-BR"/>', '<tuv xml:lang="pt-br"><seg>gato</seg></tuv>', 1)
    more = "".join(
        f'<tu><tuv xml:lang="en"><seg>{n}</seg></tuv><tuv xml:lang="pt-BR"><seg>{n}</seg></tuv></tu>' for n in "123"
    )
    source.write_text(mostly.replace("</body>", f"{more}</body>"), encoding="utf-8")
    inputs = Translation(("en", "pt")).inputs(str(source), Recipe())
    assert inputs.values == ("dog", "cow", "ox", "pig")
    assert inputs.table.column("pt") == ["", "", "", ""]
    Translation().write_answers(inputs, ["cão", "vaca!", "boi!", "porco"], (), out)
    filled = out.read_text(encoding="utf-8")
    assert filled.count('changeid="fewtune" xml:lang="pt-BR"') == filled.count("changeid") == 4
    assert '<tuv xml:lang="pt-PT"><seg>vaca</seg></tuv>' in filled
    assert '<tuv changeid="fewtune" xml:lang="pt-BR"><seg>boi!</seg></tuv>' in filled


def test_a_translation_memory_of_other_languages_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.tmx"
    source.write_text(MEMORY.format(encoding="UTF-8"), encoding="utf-8")
    with pytest.raises(DataError, match="No column is in fr"):
        Translation(("fr", "pt")).inputs(str(source), Recipe())
    task = Translation(("en", "pt"))
    inputs = task.inputs(str(source), Recipe(text="en"))
    with pytest.raises(OutputError, match=r"not written as \.tmx"):
        task.write_answers(inputs, ["a"] * len(inputs.values), (), tmp_path / "b.tmx")


@pytest.mark.parametrize(("count", "expected"), [(1, {0: "cats"}), (3, {0: "cat", 1: "cats", 2: "cats"})])
def test_plurals_of_other_languages(tmp_path: Path, count: int, expected: dict[int, str]) -> None:
    polib = pytest.importorskip("polib")
    source, out = tmp_path / "x.po", tmp_path / "y.po"
    second = 'msgstr[1] ""\n'
    text = CATALOGUE.replace("nplurals=2", f"nplurals={count}").replace(second, second * (count > 1))
    source.write_text(text, encoding="utf-8")
    task = Translation()
    inputs = task.inputs(str(source), Recipe())
    task.write_answers(inputs, ["a", "b", "cat", "cats"], (), out)
    (entry,) = (entry for entry in polib.pofile(str(out)) if entry.msgid_plural)
    assert entry.msgstr_plural == expected
    # Where nothing waits, everything is translated again.
    whole = tmp_path / "z.po"
    whole.write_text('msgid ""\nmsgstr "Language: pt\\n"\n\nmsgid "a"\nmsgstr "b"\n', encoding="utf-8")
    assert task.inputs(str(whole), Recipe()).values == ("a",)
