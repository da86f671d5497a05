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
    "biases": say("tuned biases alone", "只微调偏置"),
    "contrastive": say("contrastive tuning of an encoder", "编码器的对比学习微调"),
    "full": say("tuning of the whole encoder", "整个编码器的微调"),
    "blend": say("a blend of two candidates", "两个候选模型的混合"),
    "label-names": say(
        "a linear head on a frozen encoder, taught by the names of the classes",
        "冻结编码器上的线性分类头，由类别的名称教成",
    ),
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
    """Why a candidate was not tried, or not taken."""
    if found := re.fullmatch(r"on all of the data, (.+)", why):
        return say("on all of the data, {why}", "用全部数据训练时：{why}", why=reason(found[1]))
    if found := re.fullmatch(r"(.+), at (?:a lower learning rate|a learning rate of [\de.+-]+) too", why):
        return say("{whole}", "{why}；降低学习率后也是如此", whole=why, why=reason(found[1]))
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
    r"(.+) cannot be tuned on pictures of (\d+) x (\d+) pixels \((.+)\)": "{} 不能用 {} x {} 像素的图片微调（{}）",
    r"(.+) cannot be run by ONNX Runtime \((.+)\)": "ONNX Runtime 不能运行 {}（{}）",
    r"(.+) as ONNX finds other boxes: (\d+)% of them": "{} 导出为 ONNX 后，找到的框有 {}% 不同",
    r"(.+) as ONNX gives other logits: (\S+) off": "{} 导出为 ONNX 后 logits 不同：相差 {}",
    r"(.+) as ONNX takes pictures of one size only \((.+)\)": "{} 导出为 ONNX 后只接受一种尺寸的图片（{}）",
    r"(.+), which it adds to, was left out": "它所依托的 {} 没有用上",
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
    r"it uses no pretrained model, and (.+) was asked for": "它不用预训练模型，而指定了 {}",
    r"there is too little time: it needs (\d+) seconds at least, and has (\d+)": (
        "时间太少：至少需要 {} 秒，而只有 {} 秒"
    ),
    r"(\d+ s) are too short: it needs (\d+ s)": "{} 太短：它需要 {}",
    r"half an epoch would take about (\d+ s), and (\d+ s) are its share": "半轮训练大约需要 {}，而分给它的只有 {}",
    r"it would take about (\d+ s), and (\d+ s) are left of the budget": "大约需要 {}，而预算只剩 {}",
    r"it cannot be cut: it is tuned as a whole": "它无法切分：只能整体微调",
    r"tuning (\d+) M weights at (\d+) texts a step takes about (\d+) MB, and (\d+) MB are free; "
    r"a smaller model or fewer layers would fit": (
        "微调 {} 百万个权重、每步 {} 条文本约需 {} MB，而空闲的只有 {} MB；请换小一些的模型，或微调更少的层"
    ),
    r"tuning (\d+) M weights at (\d+) texts a step takes about (\d+) MB, and (\d+) MB are free; "
    r"(--set batch_size=\d+) would fit": (
        "微调 {} 百万个权重、每步 {} 条文本约需 {} MB，而空闲的只有 {} MB；用 {} 就放得下"
    ),
    r"of a model of less than (\d+) million parameters all of them are tuned in the same time": (
        "参数不到 {} 百万的模型，同样的时间里可以全部微调"
    ),
    r"no pair is short enough to learn from": "没有短到可供学习的句对",
    r"all examples have more than (\d+) tokens; raise (--set max_tokens)": "所有样例都超过 {} 个词元；请调大 {}",
    r"the loss became (\S+) in step (\d+)(: try a lower --set learning_rate)?": "第 {1} 步时损失变成了 {0}",
    r"the weights became infinite or not a number by step (\d+)": "到第 {} 步时权重变成了无穷大或非数",
    r"a frozen network learns nothing from (.+)": "冻结的网络从 {} 中学不到东西",
    r"(.+) takes pictures of one size only \((.+)\)": "{} 只接受同一尺寸的图片（{}）",
    r"(.+) gives no maps at an eighth, a sixteenth and a thirty-second of the size": (
        "{} 不给出原尺寸八分之一、十六分之一和三十二分之一的特征图"
    ),
    r"(.+) cannot be used for segmentation: (.+)": "{} 不能用于分割：{}",
    r"in 8-bit integers it computes something else than what was tuned \(cosine ([\d.]+)\)": (
        "换成 8 位整数后，算出的与微调所得不同（余弦 {}）"
    ),
    r"it computes in 8-bit integers already": "它已经用 8 位整数计算",
    r"it has no matrices that are worth it": "它没有值得压缩的矩阵",
    r"its layers are not kept in blocks of 8 bits": "它的各层不是以 8 位分块保存的",
    r"it holds no large float32 weights": "它没有大的 float32 权重",
    r"it counts words already": "它本来就是数词的",
    r"it has no encoder, as a frozen or tuned one has": "它没有编码器，不像冻结或微调编码器的模型",
    r"it has no table of embeddings, as a frozen or tuned encoder has": "它没有词嵌入表，不像冻结或微调的编码器",
    r"its tokenizer is neither of the kind Unigram nor WordPiece": "它的分词器既不是 Unigram，也不是 WordPiece",
    r"tuning what is left needs PyTorch: (pip install .+)": "继续微调剩下的部分需要 PyTorch：{}",
}
_NOTES = {
    r"text from column (.+) \((?:as you said|by its name|by what it holds)\)": "文本取自列 {}",
    r"label from column (.+) \((?:as you said|by its name|by what it holds)\)": "标签取自列 {}",
    r"rows of one (.+) are kept together when the data is split": "划分数据时，{} 相同的行不会拆开",
    r"The texts are in: (.+)\.": "文本的语言：{}。",
    r"Nothing need be done\.": "不必处理。",
    r"The unlabelled texts, or many of them, are of another kind than the labelled ones: shown one of each, a "
    r"classifier tells which is which in (\d+) of 100 cases \(50: by chance\)\.": (
        "未标注的文本（或其中许多）与已标注的不是一类："
        "各取一条，分类器在 100 次中有 {} 次能分清哪条是哪种（50 次即为随机）。"
    ),
    r"If the model is to read texts of that kind, label some of them; else give others, like the labelled ones\.": (
        "如果模型将来要处理这类文本，请标注其中一些；否则请换一批与已标注的相似的文本。"
    ),
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
    r"quotes belong to the texts": "引号是文本的一部分",
    r"each line is a text": "每行是一条文本",
    r"read the sheet (.+)": "读取了工作表 {}",
    r"labels are the folders' names": "标签取自文件夹名",
    r"left out folders without a picture \((.+)\)": "略去没有图片的文件夹（{}）",
    r"left out (\d+) pictures? outside class folders": "略去 {} 张不在类别文件夹中的图片",
    r"pictures from column (.+), relative to (.+)": "图片取自列 {}，路径相对于 {}",
    r"column (.+), which holds something else, is called (.+)": "列 {} 放的是别的内容，改称 {}",
    r"(\d+) of (\d+) pictures, those that (.+) lists": "用了 {1} 张图片中的 {0} 张，即 {2} 列出的那些",
    r"(\d+) classes by (.+); pixels of (\d+) are passed over": "{} 个类别，取自 {}；值为 {} 的像素不计",
    r"no (.+): the (\d+) classes are called by their ids; pixels of (\d+) are passed over": (
        "没有 {}：{} 个类别以编号为名；值为 {} 的像素不计"
    ),
    r"masks drawn from the segmentations of (.+); what none covers is (.+), smaller ones on top": (
        "掩码按 {} 中的分割标注绘成；没有覆盖的部分是 {}，小的画在上面"
    ),
    r"(\d+) pictures without annotation are all (.+)": "{} 张没有标注的图片全部是 {}",
    r"names of classes from (.+)": "类别名称取自 {}",
    r"classes are called by their numbers: no file names them": "类别以编号为名：没有文件说明它们的名称",
    r"left out classes without a box \((.+)\)": "略去没有框的类别（{}）",
    r"left out pictures in (.+)/ that the file does not name: (\d+)": "略去 {}/ 中文件没有列出的图片：{} 张",
    r"outlines are not read: boxes are": "读取的是框，不是轮廓",
    r"pixels count from 0, as some edges are 0": "像素从 0 数起，因为有的边为 0",
    r"pixels count from 1, as in VOC": "像素从 1 数起，与 VOC 相同",
    r"texts from column (.+)": "文本取自列 {}",
    r"from column (.+) \((.+)\) to column (.+) \((.+)\)": "由列 {}（{}）译成列 {}（{}）",
    r"exchanged: from column (.+) to column (.+), as the bundle translates": (
        "已对调：由列 {} 译成列 {}，与模型的方向一致"
    ),
    r"left out (\d+) rows of which a side is empty \((.+)\)": "略去 {} 行一侧为空的数据（{}）",
    r"(.+): left out (\d+) fuzzy entries": "{}：略去 {} 条标为 fuzzy 的条目",
    r"(.+): left out (\d+) entries without a translation": "{}：略去 {} 条没有译文的条目",
    r"(.+): (\d+) texts that wait for a translation": "{}：{} 条等待翻译的文本",
    r"a glossary of (\d+) terms": "一个有 {} 条术语的术语表",
    r"chats from column (.+): each reply of the assistant is an example": "对话取自列 {}：助手的每个回复是一个样例",
    r"chats from column (.+)": "对话取自列 {}",
    r"prompts from column (.+), replies from column (.+)": "提示取自列 {}，回复取自列 {}",
    r"prompts from column (.+)": "提示取自列 {}",
    r"left out (\d+) rows without a prompt or a reply \((.+)\)": "略去 {} 行缺少提示或回复的数据（{}）",
    r"left out (\d+) greetings of the assistant before the first prompt \((.+)\)": (
        "略去 {} 句助手在第一个提示之前的问候（{}）"
    ),
    r"left out (\d+) replies before which user and assistant do not take turns \((.+)\)": (
        "略去 {} 个回复，在此之前用户与助手没有轮流发言（{}）"
    ),
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
