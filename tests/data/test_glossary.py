"""Terms with given translations: found as whole words, put in the translation's place, counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewtune.data.glossary import Glossary, find_term
from fewtune.data.protection import protect, protect_pair, terms_kept_and_all
from fewtune.data.read.glossary import read_glossary
from fewtune.errors import DataError

GLOSSARY = Glossary((("file", "arquivo"), ("file name", "nome do arquivo"), ("Set", "Conjunto"), ("数据", "dados")))


def lacks(char: str) -> bool:
    return char in "{}<>`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the file name of a file", ["nome do arquivo", "arquivo"]),
        ("File, FILE", ["Arquivo", "ARQUIVO"]),
        ("profile files file_a", []),
        ("file \n name", ["nome do arquivo"]),
        ("Set the set", ["Conjunto"]),
        ("训练数据集", ["dados"]),
    ],
)
def test_terms_are_found_as_whole_words(text: str, expected: list[str]) -> None:
    assert [target for _, _, target in GLOSSARY.found_in(text)] == expected


@pytest.mark.parametrize(
    ("term", "target", "text", "expected"),
    [
        ("\u00b5m", "micron", "10 \u03bcm", ["micron"]),
        ("\u03bcm", "micron", "10 \u00b5m", ["micron"]),
        ("ip", "endereço", "o \u0130P", ["ENDEREÇO"]),
        ("file", "arquivo", "F\u0130LE", ["ARQUIVO"]),
        ("set", "conjunto", "\u017fet", ["conjunto"]),
    ],
)
def test_letters_that_differ_in_their_code_alone(term: str, target: str, text: str, expected: list[str]) -> None:
    assert [target for _, _, target in Glossary(((term, target),)).found_in(text)] == expected


def test_the_term_as_it_is_written_comes_before_the_one_in_any_case() -> None:
    both = Glossary((("set", "conjunto"), ("Set", "Jogo"), ("python", "Python")))
    assert [target for _, _, target in both.found_in("Set set SET python PYTHON")] == [
        "Jogo",
        "conjunto",
        "CONJUNTO",
        "Python",
        "PYTHON",
    ]


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("API", "调用API时", True),
        ("PDF文件", "使用PDF文件", True),
        ("api", "API를 씁니다", True),
        ("API", "RAPID", False),
        ("đơn", "đơnế ếđơn", False),
        ("ế", "đế", False),
    ],
)
def test_words_end_where_a_script_without_spaces_begins(term: str, text: str, found: bool) -> None:
    assert bool(list(Glossary(((term, "x"),)).found_in(text))) is found
    assert bool(find_term(text, term)) is found


def test_a_term_gives_way_to_its_translation() -> None:
    whole = protect("Open the file `file` of {file}.", lacks, GLOSSARY)
    assert whole.spans == ("arquivo", "`file`", "{file}")
    assert whole.restored(whole.text) == "Open the arquivo `file` of {file}."


def test_both_sides_of_a_pair_lose_the_term() -> None:
    both, target = protect_pair("a file `x` and a file name", "um Arquivo `x` e o que se chama", lacks, GLOSSARY)
    # The second term is not translated as given here: the source keeps it.
    assert both.text == "a \ue000 \ue001 and a file name"
    assert target == "um \ue000 \ue001 e o que se chama"
    assert both.spans == ("arquivo", "`x`")


def test_terms_are_counted_where_they_are_translated_as_given() -> None:
    source = "the file of `file`, the file"
    assert terms_kept_and_all(source, "o arquivo de `file`, o Arquivo", GLOSSARY) == (2, 2)
    assert terms_kept_and_all(source, "o arquivo de `file`, a ficha", GLOSSARY) == (1, 2)
    assert terms_kept_and_all(source, "os arquivos", GLOSSARY) == (0, 2)
    stays = Glossary((("Python", "Python"),))
    assert terms_kept_and_all("Python is a python", "a serpente", stays) == (0, 1)


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_columns_are_found_by_language_or_name(tmp_path: Path) -> None:
    expected = (("file", "arquivo"), ("set", "conjunto"))
    by_language = written(tmp_path / "a.csv", "note,pt-BR,en", "x,arquivo,file", ",conjunto,set")
    assert read_glossary(by_language, ("en", "pt")).terms == expected
    assert read_glossary(by_language, ("pt", "en")).terms == tuple((b, a) for a, b in expected)
    by_name = written(tmp_path / "b.csv", "term,translation", "file,arquivo", "set,conjunto", "file,arquivo")
    assert read_glossary(by_name, ("en", "pt")).terms == expected


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (("file,arquivo", "set,conjunto"), "cannot be told"),
        (("en,de", "file,Datei"), "no column in pt"),
        (("en,pt", "file,arquivo", "file,ficheiro"), "two translations"),
        (("en,pt", "file,"), "has no translation"),
    ],
)
def test_what_is_no_glossary_is_refused(tmp_path: Path, lines: tuple[str, ...], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_glossary(written(tmp_path / "a.csv", *lines), ("en", "pt"))
