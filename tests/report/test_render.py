from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewtune.bundle.manifest import manifest_from_json
from fewtune.report.data import Answer, Attacked, LabelIssue, ReportData
from fewtune.report.facts import Report
from fewtune.report.render import render_report
from tests.report.page import elements, name_of, parse, words
from tests.report.sample import make_answers, make_facts, score

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{ 7*7 }}{0}{x}"


def without_options(facts: dict[str, Any]) -> dict[str, Any]:
    newer = ("answer_rules", "learning_curve", "comparisons", "findings")
    return {key: value for key, value in facts.items() if key not in newer}


@pytest.fixture(scope="module")
def page(facts: dict, data: ReportData) -> str:
    return render_report(facts, data, "tickets.fewtune")


def sections_of(page: str) -> list[str]:
    return [section.get("id") or "" for section in elements(parse(page), "section")]


def test_everything_that_is_there_is_shown(page: str) -> None:
    assert sections_of(page) == [
        "outcome",
        "next",
        "data",
        "candidates",
        "scores",
        "confusions",
        "confidence",
        "unsure",
        "curve",
        "suspects",
        "errors",
        "again",
    ]


def test_it_says_in_both_languages_what_came_out(page: str) -> None:
    lead = next(p for p in elements(parse(page), "p") if p.get("class") == "lead")
    assert words(lead) == (
        "You asked for a model that tells 5 classes apart, from 300 labelled texts (tickets.csv). About 85 of 100 new "
        "texts get the right class; with 95% confidence between 81 and 89. Of 4 candidates, tuned top layers of an "
        "encoder, with multilingual-e5-small was taken: it promises the best probabilities on new texts."
    )
    assert words(lead, "zh").startswith(
        "您要的是一个能区分 5 个类别的模型，由 300 条已标注的文本（tickets.csv）训练而成。"
    )


@pytest.mark.parametrize(
    "needed",
    [
        "The candidates were scored on the same folds",
        "the difference in accuracy is +21.0 points (95% interval +12.0 points to +30.0 points). This is more than",
        "the difference in log loss is −0.020 (95% interval −0.090 to +0.050). This may be chance",
        "head:all-MiniLM-L6-v2: it reads en, and the data is also in zh.",
        "One thing in the data should be looked at.",
        "At: tickets.csv:12, tickets.csv:88.",
        "To keep the errors among the answers at 5% or below, the model should say “unsure” where its confidence is "
        "below 87%. It then answers 52 of 100 texts; with 95% confidence between 46 and 58, and about 5 of 100 answers "
        "are wrong",
        "1% cannot be had",
        "20% 0% 100% 99% to 100% 15% 11% to 19%",
        "This adds the columns prediction and confidence to a table. It also says which answers are left to a person "
        "so that at most 5% of the others are wrong. fewtune predict tickets.fewtune NEW.csv --max-error 0.05",
        "The next 15 labels a class are likely to bring 0 to 1 points of accuracy (80% band).",
        "6 labels look wrong, the likeliest first.",
        "Labelled account; it may be billing. Why: the model, not having seen it, gave 'account' 1% and 'x' 80%.",
        "44 of 294 answers are wrong. The most confident ones come first (20 are shown)",
        "fewtune fit tickets.csv --config tickets.fewtune/recipe.toml --out again.fewtune",
        "settings.learning_rate 0.0003",
        "AMD EPYC, 2 of 2 cores, Linux",
        "the pretrained weights (multilingual-e5-small) MIT",
        "Size of the model 67.0 MB",
        "Inputs of another kind than the texts that it learnt from",
    ],
)
def test_it_says(page: str, needed: str) -> None:
    assert needed in words(parse(page))


def test_in_chinese_it_says_all_the_same_things(page: str) -> None:
    said = words(parse(page), "zh")
    for needed in (
        "准确率之差为 +21.0 个百分点（95% 区间 +12.0 个百分点 至 +30.0 个百分点）。这超出了偶然的范围。",
        "大约需要 190 s，而预算只剩 12 s；把 --budget 加长约 5 分钟就能试它。",
        "模型应当在置信度低于 87% 时说“没把握”。",
        "每类再标 15 个，准确率很可能有 0 到 1 个百分点的提升（80% 预测带）。",
        "没有见过它的模型给 'account' 的概率是 1%，给 'x' 的是 80%。",
        "有 6 个标签看起来不对",
        "由数据的所有者决定",
    ):
        assert needed in said
    # What other parts say only in English is marked as such.
    assert '<span lang="en">its loss was not finite</span>' in page


def test_only_what_exists_in_english_alone_is_english_in_the_chinese_page(page: str) -> None:
    for element in elements(parse(page)):
        if element.get("class") == "zh" and name_of(element) == "span":
            rest = re.sub(r"[\x00-\x7f]+", "", "".join(element.itertext()))
            has_words = re.search(r"[A-Za-z]{3}", "".join(element.itertext()))
            marked = any(child.get("lang") == "en" for child in element.iter())
            assert rest or marked or not has_words, "".join(element.itertext())


def test_without_its_private_files_a_report_has_no_examples(facts: dict) -> None:
    page = render_report(facts, ReportData(), "tickets.fewtune")
    assert "came without its private/ folder" in words(parse(page))
    assert sections_of(page)[-2:] == ["errors", "again"]
    assert "parcel" not in page


def test_older_bundles_have_a_report_too(facts: dict, data: ReportData) -> None:
    page = render_report(without_options(facts), data, "tickets.fewtune")
    assert "curve" not in sections_of(page)
    assert "unsure" in sections_of(page), "what a threshold does can be read off the answers"


def test_a_manifest_is_what_a_report_is_made_of(facts: dict, data: ReportData) -> None:
    manifest = manifest_from_json(json.dumps(facts), where="bundle.json")
    page = render_report(asdict(manifest), data, "tickets.fewtune")
    assert {"outcome", "candidates", "scores", "again"} <= set(sections_of(page))


def with_thresholds(facts: dict[str, Any], *thresholds: dict[str, Any]) -> dict[str, Any]:
    return {**facts, "answer_rules": {"thresholds": list(thresholds), "scope_threshold": None}}


def test_a_threshold_that_was_not_found_is_said_so(facts: dict, data: ReportData) -> None:
    never = facts["answer_rules"]["thresholds"][0]
    said = words(parse(render_report(with_thresholds(facts, never), data, "t")))
    assert "no threshold is expected to keep the errors among the answers at 1% or below and to answer half" in said
    assert "--max-error" not in said


def test_a_threshold_that_answers_next_to_nothing_is_not_advised(facts: dict, data: ReportData) -> None:
    rare = {**facts["answer_rules"]["thresholds"][1], "answered": score(0.05, 300)}
    said = words(parse(render_report(with_thresholds(facts, rare), data, "t")))
    assert "at 5% or below and to answer half of the texts" in said
    assert "--max-error" not in said
    assert "5% 87% 5% 3% to 8%" in said, "the table has it all the same"


def test_where_all_answers_are_good_enough_none_is_withheld(facts: dict, data: ReportData) -> None:
    always = facts["answer_rules"]["thresholds"][2]
    said = words(parse(render_report(with_thresholds(facts, always), data, "t")))
    assert "No answer need be withheld to keep the errors at 20% or below: about 15 of 100 answers are wrong" in said
    assert "let a person look" not in said


def test_scores_of_test_data_are_said_to_be_that(data: ReportData) -> None:
    facts = make_facts(test="tickets-test.csv")
    test = tuple(Answer("t.csv:2", "x", "billing", "praise", 0.9) for _ in range(30))
    said = words(parse(render_report(facts, ReportData(data.out_of_fold, test), "t")))
    assert "distinct test texts (tickets-test.csv), which had no part in any choice" in said
    assert "On the test data, 30 of 30 answers are wrong." in said
    assert "surer than it should be" in said


def test_a_model_that_is_no_better_than_guessing_is_called_so(facts: dict, data: ReportData) -> None:
    gain = {**facts["scores"]["gain_over_baseline"], "low": -0.01}
    scores = {**facts["scores"], "gain_over_baseline": gain}
    assert "do not rely on it yet" in words(parse(render_report({**facts, "scores": scores}, data, "t")))


def test_scores_that_are_not_known_are_not_claimed(facts: dict, data: ReportData) -> None:
    unknown = {**facts["scores"]["accuracy"], "low": None, "high": None}
    said = words(parse(render_report({**facts, "scores": {**facts["scores"], "accuracy": unknown}}, data, "t")))
    assert "About 85 of 100 new texts get the right class. Of 4 candidates" in said
    nothing = {**unknown, "value": None}
    said = words(parse(render_report({**facts, "scores": {**facts["scores"], "accuracy": nothing}}, data, "t")))
    assert "How good it is could not be measured." in said
    assert "nan" not in said.replace("finance", "")


def test_other_tasks_have_a_report_too(facts: dict) -> None:
    chrf = {"value": 63.25, "low": 60.0, "high": 66.0, "n": 40, "level": 0.95, "interval_method": "bootstrap"}
    scores = {"chrf": chrf, "per_class": {}, "support": {}, "confusion": [], "gain_over_baseline": None, "how": "on it"}
    rungs = [{**rung, "scores": scores} for rung in facts["rungs"]]
    other = {
        **without_options(facts),
        "task": "translation",
        "labels": [],
        "primary_metric": "chrf",
        "scores": scores,
        "rungs": rungs,
        "data": {"name": "de.tsv", "sha256": "0" * 64, "examples": 400},
    }
    page = render_report(other, ReportData(), "manual.fewtune")
    assert sections_of(page) == ["outcome", "next", "data", "candidates", "scores", "errors", "again"]
    said = words(parse(page))
    assert "You asked for a model for translation, from 400 sentences (de.tsv)." in said
    assert "Its chrF on new sentences is about 63.250 (interval: 60.000 to 66.000)." in said


def test_the_page_is_well_made(page: str) -> None:
    root = parse(page)
    ids = [element.get("id") for element in elements(root) if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in elements(root):
        for attribute in ("aria-labelledby", "aria-describedby"):
            assert set((element.get(attribute) or "").split()) <= set(ids)
        if (element.get("href") or "").startswith("#"):
            assert (element.get("href") or "")[1:] in ids
    levels = [int(name_of(element)[1]) for element in elements(root, "h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in elements(root, "table"):
        assert name_of(table[0]) == "caption"
        assert words(table[0]), "a caption says something"
        assert all(th.get("scope") in ("col", "row") for th in elements(table, "th"))
        widths = {len(row) for row in elements(table, "tr")}
        assert len(widths) == 1
    for svg in elements(root, "svg"):
        assert svg.get("aria-hidden") == "true" or (svg.get("role") == "img" and svg.get("aria-labelledby"))


def test_nothing_can_be_loaded_or_sent(page: str) -> None:
    root = parse(page)
    for element in elements(root):
        assert name_of(element) not in ("link", "iframe", "object", "embed", "img", "base", "use")
        assert "style" not in element.attrib
        for attribute, value in element.attrib.items():
            assert not attribute.startswith("on")
            if attribute in ("href", "src", "action", "srcset", "data", "xlink:href"):
                assert value.startswith("#")
    inside = "".join("".join(element.itertext()) for element in elements(root, "style", "script"))
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?:|//[a-z]", inside)


def test_the_policy_lets_only_the_pages_own_style_and_script_run(page: str) -> None:
    root = parse(page)
    policy = next(m.get("content") or "" for m in elements(root, "meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    for name in ("style", "script"):
        [element] = elements(root, name)
        digest = hashlib.sha256("".join(element.itertext()).encode()).digest()
        assert f"{name}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy


def with_texts(text: str) -> tuple[dict[str, Any], ReportData]:
    """A report's input with one text wherever a user's or another part's text can stand."""
    labels = (text, "other", f"{text} 2")
    answers = make_answers(labels, 60, name=text)
    facts = make_facts(labels, 60, answers=answers)
    facts["left_out"] = [{"name": text, "why": text}]
    facts["notes"] = [text]
    facts["data"]["name"] = text
    facts["model"] = facts["rungs"][2]["model"] = facts["rungs"][2]["name"] = text
    facts["resampling"] = facts["fewtune_version"] = text
    facts["recipe"] |= {"data": text, "test": text, "settings": {text: text}}
    facts["licences"] = [{"part": text, "licence": text}]
    facts["versions"] = {text: text}
    facts["machine"] = {"processor": text, "system": text, "cores": 2, "threads": 1}
    facts["scores"]["accuracy"] = {**score(0.8, 60), "interval_method": text}
    facts["comparisons"][0] |= {"rung": text, "against": text, "metric": text}
    facts["learning_curve"]["rung"] = text
    facts["findings"][0] |= {"code": text, "what": text, "how": text, "places": [text]}
    answer = Answer(text, text, text, "other", 0.99)
    issue = LabelIssue(text, text, text, "other", 0.01, text)
    return facts, ReportData((answer,) * 30, None, (issue,))


def test_no_text_can_become_markup() -> None:
    facts, data = with_texts(EVIL)
    page = render_report(facts, data, EVIL)
    root = parse(page)
    assert len(list(elements(root, "script"))) == 1
    assert not list(elements(root, "img"))
    assert "alert(1)" not in "".join(next(elements(root, "script")).itertext())
    quotes = ["".join(quote.itertext()) for quote in elements(root, "blockquote")]
    assert quotes
    assert set(quotes) == {EVIL}


_TEXTS = st.text(max_size=80).filter(lambda text: text.strip() not in ("", "other"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_TEXTS)
def test_any_text_gives_a_valid_page(text: str) -> None:
    facts, data = with_texts(text)
    page = render_report(facts, data, text)
    page.encode()
    root = parse(page)
    assert len(list(elements(root, "script"))) == 1
    assert len(list(elements(root, "section"))) == 12


@pytest.mark.parametrize("text", ["\x00\x0b\x7f\x85", "\ud800 \udfff", "\ufffe\ufdd0\U0001ffff", "\r\n\r a"])
def test_what_html_cannot_hold_is_replaced(text: str) -> None:
    facts, data = with_texts(text)
    page = render_report(facts, data, "t")
    page.encode()
    assert not re.search("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\U0001ffff]", page)
    parse(page)


def test_a_report_stays_small_whatever_the_data() -> None:
    labels = [f"class {i} " + "long " * 40 for i in range(500)]
    answers = make_answers(labels, 100_000)
    facts = make_facts(labels, 100_000, answers=answers)
    facts["notes"] = ["note"] * 1000
    facts["left_out"] *= 100
    facts["rungs"] *= 50
    read = tuple(
        Answer(line["place"], line["text"] * 200, line["label"], line["prediction"], line["confidence"])
        for line in answers
        if "prediction" in line
    )
    page = render_report(facts, ReportData(read), "tickets.fewtune")
    assert len(page.encode()) < 3_000_000
    said = words(parse(page))
    assert "These are the 40 classes with the lowest scores, of 500." in said
    assert "460 smaller classes with" in said
    assert "a matrix of 500 classes would be too large to read" in said


def test_the_delivered_rung_is_the_one_that_was_tuned_on_everything(facts: dict, data: ReportData) -> None:
    plain = next(rung for rung in facts["rungs"] if rung["method"] == "partial")
    varied = {**plain, "name": "partial with views", "tune_seconds": 2.0}
    rungs = [{**rung, "tune_seconds": None} for rung in facts["rungs"]]
    assert Report({**facts, "rungs": [*rungs, varied]}, data, "t").taken == len(rungs)


def attack(recipe: str, **values: Any) -> dict[str, Any]:
    share = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 12, "level": 0.95, "interval_method": "Wilson"}
    return {
        "recipe": recipe,
        "examples": 20,
        "attacked": 12,
        "accuracy_before": {**share, "value": 0.6},
        "accuracy_after": share,
        "success_rate": share,
        "words_changed": {**share, "low": None, "high": None},
        "queries": 31.4,
        "replaced": ["stop words: ours instead of theirs"],
        "reduces": False,
        "stopped": "",
        **values,
    }


def test_attacks_are_shown_with_the_texts_that_misled_the_model(facts: dict, data: ReportData) -> None:
    facts = {
        **facts,
        "attacks": [attack("pwws"), attack("input-reduction", accuracy_after=None, reduces=True, stopped="budget")],
    }
    misled = Attacked("pwws", "a:2", "a good film", "praise", "broken", "a gud film", "complaint")
    held = replace(misled, text="a fine film", outcome="held")
    page = render_report(facts, replace(data, attacked=(misled, held)), "tickets.fewtune")
    section = next(one for one in elements(parse(page), "section") if one.get("id") == "attacks")
    shown = words(section)
    for wanted in ("60% (25 to 75)", "a gud film", "stop words: ours", "budget ended some attacks early"):
        assert wanted in shown
    assert "a fine film" not in shown
    assert "attacks" in sections_of(render_report(facts, replace(data, attacked=None), "tickets.fewtune"))
