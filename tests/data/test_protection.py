"""What a translation leaves as it is, in texts that set spaces between words and in texts that set none."""

from __future__ import annotations

import pytest

from fewtune.data.protection import NO_TERMS, kept_and_all, protect, protect_pair, spans_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("已选择%d个文件", ["%d"]),
        ("请访问https://example.com/a。", ["https://example.com/a"]),
        ("请访问https://example.com/a了解更多", ["https://example.com/a"]),
        ("见www.example.com，谢谢", ["www.example.com"]),
        ("调用foo()", ["foo()"]),
        ("使用my_var变量", ["my_var"]),
        ("重写__init__方法", ["__init__"]),
        ("联系a@b.com吧", ["a@b.com"]),
        ("共$total元", ["$total"]),
        ("使用--dry-run选项", ["--dry-run"]),
        ("输入`ls`命令", ["`ls`"]),
        ("값은my_var입니다", ["my_var"]),
        ("共%(数量)d个，{名称}", ["%(数量)d", "{名称}"]),
        (r"C:\文件", []),
    ],
)
def test_spans_end_where_a_script_without_spaces_begins(text: str, expected: list[str]) -> None:
    assert spans_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100%de", []),
        ("o número_total é 3", ["número_total"]),
        ("biến_tổng là", ["biến_tổng"]),
        ("https://exemplo.com/página (veja)", ["https://exemplo.com/página"]),
    ],
)
def test_letters_of_spaced_scripts_belong_to_the_word(text: str, expected: list[str]) -> None:
    assert [span for span in spans_of(text) if span] == expected


def test_both_sides_of_a_chinese_pair_lose_the_same_spans() -> None:
    both, target = protect_pair("Call foo() with %d", "用%d调用foo()函数", lambda char: False, NO_TERMS)
    assert both.spans == ("foo()", "%d")
    assert target == "用\ue001调用\ue000函数"
    both, target = protect_pair("{n} of x_1", "x_1中的{n}个", lambda char: False, NO_TERMS)
    assert target == "\ue001中的\ue000个"
    assert kept_and_all("已选择%d个文件", "%d files selected") == (1, 1)


def test_a_text_is_whole_again() -> None:
    text = "请用my_var访问https://example.com/a，联系a@b.com吧"
    whole = protect(text, lambda char: False)
    assert whole.spans == ("my_var", "https://example.com/a", "a@b.com")
    assert whole.restored(whole.text) == text
