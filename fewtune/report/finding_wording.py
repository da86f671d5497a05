"""What is wrong with the data and how to mend it, in both languages."""

from __future__ import annotations

from markupsafe import Markup, escape

from fewtune.report.phrase import Phrase
from fewtune.report.wording import note


def finding_words(code: str, what: str, how: str, count: int) -> tuple[Phrase, Phrase]:
    """What is wrong with the data, and how to mend it."""
    known = _FINDINGS.get(code)
    if known is None:
        return note(what), note(how)
    return Phrase(escape(what), Markup(known[0]).format(count=count)), Phrase(escape(how), Markup(known[1]))


# Code of a finding to what is wrong and how to mend it; the English sentences come with the finding.
_FINDINGS = {
    "same-text-two-labels": ("有 {count} 行的文本相同而标签不同。", "为每条文本选定一个标签，删除其余的行。"),
    "duplicate-text": (
        "有 {count} 行是重复的文本。",
        "不必处理：重复的文本不会被分到训练和验证两边。如果是误录，删除即可。",
    ),
    "class-with-one-example": (
        "有 {count} 个类别只有一个样例。",
        "再补几个样例，或并入别的类别：只有一个样例就无法检验。",
    ),
    "class-with-few-examples": ("有 {count} 个类别的样例不足五个。", "给这些类别多补几个样例，收效最大。"),
    "imbalanced": ("各类别的样例数相差悬殊。", "请看小类别的召回率和 F1，不要只看准确率。"),
    "labels-alike": ("有 {count} 个标签只在大小写或空格上不同。", "如果是同一类，请统一写法。"),
    "text-too-long": ("有 {count} 条文本超过模型能读的长度，超出的部分看不到。", "把关键内容放在前面，或缩短文本。"),
    "html-tags": ("有 {count} 条文本含有 HTML 标签。", "如果标签与类别无关，请去掉。"),
    "garbled-text": ("有 {count} 条文本含有因编码错误而损坏的字符。", "请用 UTF-8 重新导出数据。"),
    "box-empty": ("有 {count} 个框没有面积或数值无效，已略去。", "请重新画框，或删去它们。"),
    "box-beyond": ("有 {count} 个框完全在图片之外，已略去。", "请检查框与图片是否对应，以及数字的顺序。"),
    "box-outside": ("有 {count} 个框超出图片，超出的部分已切去。", "如果本来如此，不必处理。"),
    "size-differs": (
        "有 {count} 张图片与标注文件所写的尺寸和形状不同。",
        "请给出画框时所用的图片，或改正文件里的宽和高。",
    ),
    "size-scaled": ("有 {count} 张图片与标注文件所写的尺寸不同，框已随之缩放。", "如果不对，请改正文件里的宽和高。"),
    "box-turned": ("有 {count} 张图片按 EXIF 旋转，框已随之旋转。", "不必处理。"),
    "picture-without-boxes": (
        "有 {count} 张图片没有框：模型从中学习哪里没有目标。",
        "如果图中确实没有目标，不必处理；如果只是尚未标注，请先取出。",
    ),
    "few-boxes": ("有 {count} 个类别的框太少。", "请多标一些：只见过几次的东西很难再找到。"),
    "box-tiny": (
        "有 {count} 个框在检测器的画布上太小。",
        "请把图片切成几块，或用 --set width_px、height_px 加大画布。",
    ),
    "box-twice": ("有 {count} 对同类的框几乎在同一位置。", "请每对删去一个。"),
    "box-ignored": ("有 {count} 个框标为密集或难例：既不要求找到，也不计为误报。", "不必处理。"),
    "mask-all-ignored": ("有 {count} 张掩码的像素全部是 255，不参与学习和评分。", "请补画，或去掉它们。"),
    "picture-without-mask": ("有 {count} 张图片没有同名掩码，已略去。", "请为它们画掩码；如果本来如此，不必处理。"),
    "mask-without-picture": ("有 {count} 张掩码没有同名图片，已略去。", "请放入对应图片；如果本来如此，不必处理。"),
    "class-without-pixels": (
        "有 {count} 个类别在所有掩码中都没有像素。",
        "请标注一些，或从 classes.txt 末尾去掉该类别。",
    ),
    "class-in-few-pictures": (
        "有 {count} 个类别只出现在很少的图片中。",
        "请补充含有它们的图片：很少见到的东西学不好。",
    ),
    "pixels-ignored": ("部分像素是 255：不参与学习，也不评分。", "不必处理。"),
    "language-unknown-to-model": (
        "部分文本的语言不在模型的训练语言之内。",
        "请用 --model multilingual-e5-small，或让 --model 保持 auto。",
    ),
    "test-in-training": (
        "测试数据中有 {count} 条文本也（几乎）出现在训练数据里：分数会偏高。",
        "从其中一个文件里删去它们。",
    ),
    "label-unseen-in-training": (
        "测试数据中有 {count} 条的标签在训练数据里没有。",
        "请使用训练数据中的标签。",
    ),
    "label-unseen": (
        "测试数据中有 {count} 个类别在训练数据里没有任何框。",
        "请在两边使用同样的类别名，或去掉这些框。",
    ),
    "duplicate-picture": (
        "有 {count} 张图片重复（或几乎重复）。",
        "重复的图片不会被分到训练和验证两边；请确认它们的标注一致。",
    ),
    "mask-unreadable": (
        "有 {count} 张掩码无法使用。",
        "请按英文提示重新保存，或去掉它们。",
    ),
    "mask-of-another-size": (
        "有 {count} 张掩码与图片的尺寸不同。",
        "请按正立的图片来画掩码，缩放时不要平滑（用最近邻）。",
    ),
    "unknown-class-id": (
        "有 {count} 张掩码含有未知的类别编号。",
        "请在 classes.txt 中写明类别（每行一个，从 0 开始），或改用别的编号；255 表示略过。",
    ),
    "one-class": (
        "数据中只有一个类别。",
        "请至少再给出一个类别。",
    ),
    "picture-unreadable": (
        "有 {count} 张图片无法使用。",
        "请重新存为 JPEG 或 PNG，或从数据中去掉。",
    ),
    "same-picture-two-labels": (
        "有 {count} 张相同（或几乎相同）的图片标了不同的类别。",
        "请为它们选定一个类别，删去其余的。",
    ),
    "picture-tiny": (
        "有 {count} 张图片的边长不足 16 像素。",
        "如果有更大的，请换上。",
    ),
    "picture-animated": (
        "有 {count} 张图片含有多帧。",
        "只读取第一帧。",
    ),
    "picture-transparent": (
        "有 {count} 张图片部分透明。",
        "透明处按白色处理。",
    ),
    "picture-cmyk": (
        "有 {count} 张图片是 CMYK。",
        "按 RGB 读取，颜色可能略有偏差。",
    ),
    "picture-16-bit": (
        "有 {count} 张图片每像素 16 位。",
        "只读高 8 位；如果偏暗，请事先拉伸对比度。",
    ),
    "picture-float": (
        "有 {count} 张图片以浮点数保存。",
        "不超过 1 的按白色的比例读取，不超过 255 的照原值读取，更大的按 16 位读取；如果不对，请存为 8 位。",
    ),
    "picture-rotated": (
        "有 {count} 张图片带有 EXIF 旋转信息。",
        "按正立方向读取。",
    ),
    "one-prompt-several-replies": (
        "有 {count} 个样例的提示相同而回答不同。",
        "如果只有一个回答是对的，请只留下它。",
    ),
    "duplicate-prompt": (
        "有 {count} 个样例的提示和回答都与别的样例相同。",
        "不必处理：重复的样例不会被分到训练和验证两边。",
    ),
    "example-too-long": (
        "有 {count} 个样例太长，很可能不会用于训练。",
        "请缩短它们，或加大 --set max_tokens（训练会更慢）。",
    ),
    "prompt-too-long": (
        "有 {count} 个样例比模型能读的还长，已略去。",
        "请缩短提示，或换一个能读得更长的模型。",
    ),
    "reply-repeats-prompt": (
        "有 {count} 个回答与提示相同。",
        "请检查两列是否弄混。",
    ),
    "source-copied": (
        "有 {count} 条译文与原文相同。",
        "请译出它们，或删去：模型会从中学会照抄。",
    ),
    "length-ratio": (
        "有 {count} 对句子的长度相差悬殊。",
        "请确认它们是对应的；漏掉一行会使后面全部错位。",
    ),
    "markup-differs": (
        "有 {count} 对句子两边的代码、标签或占位符不同。",
        "该相同的请改成相同：两边相同的部分在翻译时会原样保留。",
    ),
    "several-translations": (
        "有 {count} 对句子的原文相同而译文不同。",
        "如果上下文并不需要两种译法，请选定一种。",
    ),
    "other-languages-in-test": (
        "测试数据的语言方向与训练数据不同。",
        "请用 --text 和 --label 指明列，或给出别的测试数据。",
    ),
    "wrong-language": (
        "有一列的语言看起来与所说的不同。",
        "请检查哪一列是哪种语言，或用 --text 和 --label 指明。",
    ),
    "empty-input": (
        "未标注的数据中有 {count} 条是空的或读不出，已略去。",
        "不必处理。",
    ),
    "already-labelled": (
        "未标注的数据中有 {count} 条其实已有标签，已略去。",
        "不必处理；给出的数据里去掉已标注的，就不会再有这条提示。",
    ),
    "test-in-pool": (
        "未标注的数据中有 {count} 条是测试数据，已略去。",
        "请保持这样：评分所用的数据不能拿来学习。",
    ),
    "repeated-input": (
        "未标注的数据中有 {count} 条是重复的，已略去。",
        "不必处理。",
    ),
    "pool-sampled": (
        "未标注的数据太多，只随机抽看一部分，其余 {count} 条没有用到。",
        "换一个 --seed 会抽到另一些。",
    ),
    "pool-in-another-language": (
        "未标注的数据中有些是已标注文本里没有的语言。",
        "如果模型要读这种语言，请标注一些；否则请换一批数据。",
    ),
    "pool-of-another-kind": (
        "未标注的数据中有 {count} 条与模型学过的样例不是一类。",
        "如果模型将来要处理的正是这些数据，标注它们帮助最大；否则请换一批数据。",
    ),
    "pool-too-small": (
        "想要的比可推荐的多 {count} 条。",
        "请补充未标注的数据，或少要几条。",
    ),
}
