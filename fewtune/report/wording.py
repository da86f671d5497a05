"""Names and set phrases in both languages: tasks, methods, metrics, and what other parts say in English."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from fewtune.report.phrase import Phrase, english, say


@dataclass(frozen=True, slots=True)
class Noun:
    """What an example is called; `measure` is the Chinese measure word that stands between a number and it."""

    one: Phrase
    many: Phrase
    measure: str


def _noun(one: str, many: str, zh: str, measure: str) -> Noun:
    return Noun(say(one, zh), say(many, zh), measure)


_PICTURE = _noun("picture", "pictures", "图片", "张")
_NOUNS = {
    "text-classification": _noun("text", "texts", "文本", "条"),
    "translation": _noun("sentence", "sentences", "句子", "个"),
    "text-generation": _noun("prompt", "prompts", "提示", "条"),
    "image-classification": _PICTURE,
    "object-detection": _PICTURE,
    "segmentation": _PICTURE,
}


def noun_of(task: str) -> Noun:
    """What an example of a task is called."""
    return _NOUNS.get(task, _noun("example", "examples", "样例", "个"))


_TASKS = {
    "text-classification": say("text classification", "文本分类"),
    "translation": say("translation", "翻译"),
    "text-generation": say("text generation", "文本生成"),
    "image-classification": say("image classification", "图像分类"),
    "object-detection": say("object detection", "目标检测"),
    "segmentation": say("segmentation", "图像分割"),
}

_METHODS = {
    "tfidf": say("word counts (TF-IDF) with logistic regression", "词频特征（TF-IDF）加逻辑回归"),
    "head": say("a linear head on a frozen encoder", "冻结编码器上的线性分类头"),
    "prompt": say("a language model that is asked which label fits", "询问语言模型哪个标签合适"),
    "partial": say("tuned top layers of an encoder", "编码器顶部几层的微调"),
    "lora": say("low-rank adapters (LoRA) in an encoder", "编码器中的低秩适配器（LoRA）"),
    "contrastive": say("contrastive tuning of an encoder", "编码器的对比学习微调"),
    "full": say("tuning of the whole encoder", "整个编码器的微调"),
    "blend": say("a blend of two candidates", "两个候选模型的混合"),
    "none": say("the pretrained model as it is", "原样的预训练模型"),
}


def task_name(task: str) -> Phrase:
    """A task, as a heading has it."""
    return _TASKS.get(task) or english(task)


def method_name(method: str) -> Phrase:
    """A method, as the subject of a sentence."""
    return _METHODS.get(method) or english(method)


@dataclass(frozen=True, slots=True)
class Metric:
    """A measure: its name as it stands in a sentence, what it says, and how it is written.

    Attributes:
        scale: "share" is a fraction, "hundred" runs from 0 to 100, "open" has no upper end.
        lower_is_better: whether less of it is better.
    """

    name: Phrase
    meaning: Phrase
    scale: Literal["share", "hundred", "open"] = "share"
    lower_is_better: bool = False


_METRICS = {
    "accuracy": Metric(say("accuracy", "准确率"), say("Share of right answers.", "答对的比例。")),
    "precision_macro": Metric(
        say("precision, mean of the classes", "精确率（各类平均）"),
        say("Of what is called a class, the share that is one.", "被判为某一类的样例中，确实属于该类的比例。"),
    ),
    "recall_macro": Metric(
        say("recall, mean of the classes", "召回率（各类平均）"),
        say("Of what is a class, the share that is found.", "属于某一类的样例中，被找出来的比例。"),
    ),
    "f1_macro": Metric(
        say("F1, mean of the classes", "F1（各类平均）"),
        say("Precision and recall in one; each class counts the same.", "精确率与召回率的调和平均，各类同等看待。"),
    ),
    "f1_weighted": Metric(
        say("F1, weighted by class size", "F1（按类别大小加权）"),
        say("The same; each example counts the same.", "同上，各样例同等看待。"),
    ),
    "log_loss": Metric(
        say("log loss", "对数损失"),
        say("How far the probabilities are from the truth; 0 is best.", "概率与事实相差多远，0 最好。"),
        "open",
    ),
    "ece": Metric(
        say("calibration error", "校准误差"),
        say("How far confidence is from the share of right answers; 0 is best.", "置信度与答对比例相差多远，0 最好。"),
        "open",
    ),
    "map": Metric(say("mAP", "mAP"), say("Mean average precision.", "平均精度均值。")),
    "map_50": Metric(say("mAP at 50% overlap", "mAP（重叠 50%）"), say("Mean average precision.", "平均精度均值。")),
    "miou": Metric(say("mean IoU", "平均交并比"), say("Overlap of the areas.", "区域的重叠程度。")),
    "dice": Metric(say("Dice", "Dice 系数"), say("Overlap of the areas.", "区域的重叠程度。")),
    "pixel_accuracy": Metric(say("pixel accuracy", "像素准确率"), say("Share of right pixels.", "判对的像素比例。")),
    "chrf": Metric(
        say("chrF", "chrF"), say("Shared pieces of words; 100 is best.", "字符片段的重合程度，100 最好。"), "hundred"
    ),
    "bleu": Metric(
        say("BLEU", "BLEU"), say("Shared runs of words; 100 is best.", "词序列的重合程度，100 最好。"), "hundred"
    ),
    "exact_match": Metric(say("exact match", "完全一致"), say("Share of equal outputs.", "输出完全相同的比例。")),
    "placeholders_kept": Metric(
        say("placeholders kept", "占位符保留率"), say("Share of placeholders kept.", "占位符得到保留的比例。")
    ),
    "glossary_kept": Metric(
        say("glossary kept", "术语表遵循率"), say("Share of terms translated as given.", "按术语表翻译的术语比例。")
    ),
    "rouge_l": Metric(say("ROUGE-L", "ROUGE-L"), say("Longest shared run of words.", "最长公共子序列的重合程度。")),
    "perplexity": Metric(
        say("perplexity", "困惑度"),
        say("How surprised the model is; 1 is best.", "模型的意外程度，1 最好。"),
        "open",
        True,
    ),
}


def metric_of(key: str) -> Metric:
    """How a metric is called and written."""
    return _METRICS.get(key) or Metric(english(key), say("", ""), "open")


def method_of_interval(name: str) -> Phrase:
    """How an interval was made."""
    return _translated_by_parts(name, "; ", "；", _INTERVALS)


def resampling_name(name: str) -> Phrase:
    """The folds, in words."""
    return _translated_by_parts(name, ", |: ", "，", _RESAMPLING_PARTS)


def reason(why: str) -> Phrase:
    """Why a candidate was not tried."""
    return _translated(why, _REASONS)


def note(text: str) -> Phrase:
    """What was decided while the data was read."""
    return _translated(text, _NOTES)


def licensed_part(text: str) -> Phrase:
    """What a licence is of."""
    return _translated(text, _PARTS)


def licence(text: str) -> Phrase:
    """The name of a licence stays; who decides is said in both languages."""
    return _translated(text, _LICENCES)


def label_issue_reason(text: str) -> Phrase:
    """Why a label is suspected."""
    return _translated(text, _LABEL_ISSUES)


def _translated(text: str, patterns: Mapping[str, str]) -> Phrase:
    chinese = _in_chinese(text, patterns)
    return english(text) if chinese is None else Phrase(escape(text), chinese)


def _translated_by_parts(text: str, parting: str, mark: str, patterns: Mapping[str, str]) -> Phrase:
    """Translate each part, or else nothing."""
    parts = [_in_chinese(part, patterns) for part in re.split(parting, text)]
    known = [part for part in parts if part is not None]
    return Phrase(escape(text), Markup(mark).join(known)) if len(known) == len(parts) else english(text)


def _in_chinese(text: str, patterns: Mapping[str, str]) -> Markup | None:
    for pattern, template in patterns.items():
        found = re.fullmatch(pattern, text)
        if found:
            return Markup(template).format(*found.groups(""))
    return None


_INTERVALS = {
    r"Wilson score \(Wilson 1927\)": "Wilson 得分区间（Wilson 1927）",
    r"Wilson score at the effective sample size of the confusion matrix's Dirichlet posterior "
    r"\(Goutte & Gaussier 2005\)": "Wilson 得分区间，有效样本量取自混淆矩阵的狄利克雷后验（Goutte 与 Gaussier 2005）",
    r"Student t over groups": "按分组的 Student t 区间",
    r"basic bootstrap over groups \(Davison & Hinkley 1997\)": "按分组的基本自助法（Davison 与 Hinkley 1997）",
    r"variance times ([\d.]+), as out-of-fold scores have \(Bates, Hastie & Tibshirani 2023\)": (
        "方差乘以 {}，折外分数的方差便是如此（Bates、Hastie 与 Tibshirani 2023）"
    ),
    r"Bayesian bootstrap over groups \(Rubin 1981\), widened for their number \(Hesterberg 2015\)": (
        "按分组的贝叶斯自助法（Rubin 1981），并按组数加宽（Hesterberg 2015）"
    ),
    r"adjusted Wald for paired proportions \(Agresti & Min 2005\)": "配对比例的校正 Wald 区间（Agresti 与 Min 2005）",
}
_RESAMPLING_PARTS = {
    r"(\d+)-fold cross-validation": "{} 折交叉验证",
    r"hold-out of (\d+%)": "留出 {} 作验证",
    r"stratified": "按类别分层",
    r"grouped": "相近的样例不拆开",
    r"repeated (\d+) times": "重复 {} 次",
    r"one repeat": "只做一轮",
    r"(\d+) of (\d+) folds": "只做 {1} 折中的 {0} 折",
}
_REASONS = {
    r"the budget was spent": "预算已经用完",
    r"the budget was spent before its first fold was done": "第一折还没做完，预算就用完了",
    r"after what the other rungs gave, it promises no more than they do": "从其他候选的结果看，它不会更好",
    r"it would take about (\d+ s), and (\d+ s) of the budget were left; "
    r"a --budget longer by about (\d+) min tries it": (
        "大约需要 {}，而预算只剩 {}；把 --budget 加长约 {} 分钟就能试它"
    ),
    r"its views by (.+) would take about (\d+ s), and (\d+ s) of the budget were left; "
    r"a --budget longer by about (\d+) min tries it": (
        "用 {} 生成增强样本大约需要 {}，而预算只剩 {}；把 --budget 加长约 {} 分钟就能试它"
    ),
    r"it reads (.+), and the data is also in (.+)": "它只懂 {}，而数据中还有 {}",
    r"it is not installed: (pip install .+)": "没有安装：{}",
    r"in the same time it finds less than partial does: --method full tries it": (
        "同样的时间里它找到的比 partial 少；用 --method full 可以试它"
    ),
    r"on all of the data, (.+)": "用全部数据训练时：{}",
    r"it uses no pretrained model, and (.+) was asked for": "它不用预训练模型，而指定了 {}",
}
_NOTES = {
    r"text from column (.+) \((?:as you said|by its name|by what it holds)\)": "文本取自列 {}",
    r"label from column (.+) \((?:as you said|by its name|by what it holds)\)": "标签取自列 {}",
    r"rows of one (.+) are kept together when the data is split": "划分数据时，{} 相同的行不会拆开",
    r"The texts are in: (.+)\.": "文本的语言：{}。",
    r"Nothing need be done\.": "不必处理。",
    r"The shorter sides have (\d+) to (\d+) pixels, median (\d+)\.": "图片短边为 {} 到 {} 像素，中位数 {}。",
    r"There are (\d+) examples only\.": "只有 {} 个样例。",
    r"There are (\d+) pairs only\.": "只有 {} 对句子。",
    r"A model hardly learns a manner from so few; some hundred are a good start\.": (
        "这么少很难学会一种风格；先准备几百个为好。"
    ),
    r"A few hundred teach a domain's words; from fewer, little can be expected, or tested\.": (
        "几百对可以教会一个领域的用词；再少则难有成效，也难以检验。"
    ),
    r"read as (.+), since it is not UTF-8": "文件不是 UTF-8，按 {} 读取",
    r"no header was found, so the columns were named (.+)": "没有表头，各列命名为 {}",
    r"left out (\d+) rows? without a text \((.+)\)": "略去 {} 行没有文本的数据（{}）",
    r"left out (\d+) rows? without a label \((.+)\)": "略去 {} 行没有标签的数据（{}）",
}
_PARTS = {
    r"the code around the weights \(fewtune\)": "权重之外的代码（fewtune）",
    r"the pretrained weights \((.+)\)": "预训练权重（{}）",
    r"what was learnt from the data": "从数据中学到的部分",
}
_LICENCES = {
    r"the data's owner decides": "由数据的所有者决定",
    r"([A-Za-z]+-[\d.]+|MIT|unknown)": "{}",
    r"(.+) and (.+)": "{} 与 {}",
}
_LABEL_ISSUES = {
    r"the model, not having seen it, gave (.+) (\d+%) and (.+) (\d+%)": (
        "没有见过它的模型给 {} 的概率是 {}，给 {} 的是 {}"
    ),
    r"(\d+) of the (\d+) most similar examples are labelled (.+), none (.+)": (
        "最相似的 {1} 个样例中有 {0} 个标为 {2}，没有一个标为 {3}"
    ),
}
