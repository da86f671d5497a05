"""Which of TextAttack's recipes can be run without a download, with what in the place of what they would load.

TextAttack: Morris et al. 2020, arXiv:2005.05909.
"""

from __future__ import annotations

from dataclasses import dataclass

from fewtune.errors import RecipeError, nearest

STOP_WORDS = "stop words: fewtune's list of function words and negations instead of NLTK's"
WORDNET = "synonyms: the installed WordNet, read by fewtune, instead of NLTK's download"
VECTORS = (
    "word vectors: the first layer of all-MiniLM-L6-v2 instead of the counter-fitted ones, cosines scaled to these; "
    "inflections of the word itself and common opposites are left out"
)
SENTENCES = "sentence similarity: {encoder} instead of the Universal Sentence Encoder, at its thresholds"
PARTS = "parts of speech: by WordNet's counts and the word before instead of NLTK's tagger"
NAMES = (
    "names and places: those on TextAttack's own lists that are written with a capital, instead of flair's tagger; "
    "numbers that are written in words stay as they are"
)


@dataclass(frozen=True, slots=True)
class AttackRecipe:
    """One of TextAttack's recipes.

    Attributes:
        name: what `--recipe` takes; TextAttack's own name.
        build: its class in `textattack.attack_recipes`.
        source: who proposed it.
        how: what it does, in a few words.
        replaced: what stands in for what TextAttack would download.
        reduces: it takes words away while the answer stays; the others change words until it changes.
        chinese: whether it does something to Chinese texts.
    """

    name: str
    build: str
    source: str
    how: str
    replaced: tuple[str, ...] = ()
    reduces: bool = False
    chinese: bool = False


_RECIPES = (
    AttackRecipe(
        "deepwordbug",
        "DeepWordBugGao2018",
        "Gao et al. 2018, arXiv:1801.04354",
        "swaps, replaces, drops and adds characters",
        (STOP_WORDS,),
        chinese=True,
    ),
    AttackRecipe(
        "pruthi",
        "Pruthi2019",
        "Pruthi et al. 2019, arXiv:1905.11268",
        "one typing error inside of a word",
        (STOP_WORDS,),
    ),
    AttackRecipe(
        "textbugger",
        "TextBuggerLi2018",
        "Li et al. 2018, arXiv:1812.05271",
        "characters as deepwordbug, look-alikes, and words of like meaning",
        (STOP_WORDS, VECTORS, SENTENCES),
    ),
    AttackRecipe(
        "textfooler",
        "TextFoolerJin2019",
        "Jin et al. 2019, arXiv:1907.11932",
        "words of like meaning and the same part of speech",
        (VECTORS, PARTS, SENTENCES),
    ),
    AttackRecipe("pwws", "PWWSRen2019", "Ren et al. 2019, ACL P19-1103", "WordNet's synonyms", (STOP_WORDS, WORDNET)),
    AttackRecipe(
        "checklist",
        "CheckList2020",
        "Ribeiro et al. 2020, arXiv:2005.04118",
        "contractions, names, places and numbers",
        (NAMES,),
    ),
    AttackRecipe(
        "iga",
        "IGAWang2019",
        "Wang et al. 2019, arXiv:1909.06723",
        "words of like meaning by a genetic algorithm",
        (STOP_WORDS, VECTORS),
    ),
    AttackRecipe(
        "leap",
        "LEAP2023",
        "Xiao et al. 2023, arXiv:2308.11284",
        "WordNet's synonyms by a particle swarm",
        (STOP_WORDS, WORDNET),
    ),
    AttackRecipe(
        "input-reduction",
        "InputReductionFeng2018",
        "Feng et al. 2018, arXiv:1804.07781",
        "takes words away while the answer stays",
        (STOP_WORDS,),
        reduces=True,
        chinese=True,
    ),
)
RECIPES = {recipe.name: recipe for recipe in _RECIPES}
_MASKED = "it needs a masked language model, which is a download"
_GRADIENT = "it needs the gradients of a PyTorch model, and a bundle has none"
# Why each of the others cannot be run.
LEFT_OUT = {
    "a2t": _GRADIENT,
    "hotflip": _GRADIENT,
    "alzantot": "it needs a language model that only a download brings",
    "faster-alzantot": "it needs a language model that only a download brings",
    "kuleshov": "it needs a language model and sentence vectors that only a download brings",
    "bae": _MASKED,
    "bert-attack": _MASKED,
    "clare": _MASKED,
    "chinese": "it needs HowNet and a masked language model, which are downloads",
    "pso": "it needs HowNet, which is a download",
    "french": "it needs a French WordNet and tagger, which are downloads",
    "spanish": "it needs a Spanish WordNet and tagger, which are downloads",
    "bad-characters": "it needs a class that the texts are to be taken for",
    "morpheus": "it is for translations",
    "seq2sick": "it is for translations",
}


def find_recipe(name: str) -> AttackRecipe:
    """The recipe of that name.

    Raises:
        RecipeError: there is none, or it cannot be run without a download.
    """
    wanted = name.strip().lower().replace("_", "-")
    if wanted in LEFT_OUT:
        raise RecipeError(
            f"The recipe {wanted} cannot be run here: {LEFT_OUT[wanted]}.",
            where="--recipe",
            how=f"Can be run: {', '.join(RECIPES)}.",
        )
    if wanted not in RECIPES:
        raise RecipeError(f"There is no recipe {name!r}.", where="--recipe", how=nearest(wanted, RECIPES))
    return RECIPES[wanted]
