from __future__ import annotations

import pytest

from fewtune.attack.recipes import LEFT_OUT, RECIPES, find_recipe
from fewtune.errors import RecipeError


def test_recipes_are_found_by_name() -> None:
    assert find_recipe("TextFooler").build == "TextFoolerJin2019"
    assert find_recipe("input_reduction").reduces
    assert not RECIPES.keys() & LEFT_OUT.keys()


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_cannot_run_says_why_and_what_can(name: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} cannot be run here: it ") as caught:
        find_recipe(name)
    assert "deepwordbug" in caught.value.how


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="There is no recipe 'textfoler'") as caught:
        find_recipe("textfoler")
    assert caught.value.how.startswith("Did you mean textfooler")
