"""Which augmentations are used, how many views they make, and whose views these are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.errors import MissingExtraError, RecipeError, nearest
from fewtune.interfaces import Augmentation
from fewtune.progress import Progress, SilentProgress
from fewtune.recipe import Recipe
from fewtune.types import Dataset, IntArray

AUTO, NONE = "auto", "none"
# What `auto` offers: the one that paid at all (benchmarks/README.md, "Augmentation").
DEFAULT_POLICIES: tuple[tuple[str, ...], ...] = (("synonym",),)
COPIES = 4
MOST_COPIES = 100

GeneratorOf = Callable[[str], np.random.Generator]


@dataclass(frozen=True, slots=True)
class View:
    """A view of an example.

    Attributes:
        text: what it reads.
        of: index of the example.
        by: name of the augmentation.
    """

    text: str
    of: int
    by: str


@dataclass(frozen=True, slots=True)
class Views:
    """All views of some texts, those of one text next to each other.

    Attributes:
        views: in the order of the texts.
        wanted: name of an augmentation to how many views were asked of it; what there is less of came out unchanged.
    """

    views: tuple[View, ...]
    wanted: Mapping[str, int]

    @property
    def texts(self) -> list[str]:
        """(m,) what the views read."""
        return [view.text for view in self.views]

    @property
    def owners(self) -> IntArray:
        """(m,) index of the example that each is a view of."""
        return np.array([view.of for view in self.views], np.int64)


@dataclass(frozen=True, slots=True)
class Policy:
    """Augmentations that take turns.

    Attributes:
        augmentations: at least one.
        copies: views of each text, dealt out evenly.
    """

    augmentations: tuple[Augmentation, ...]
    copies: int = COPIES

    @property
    def name(self) -> str:
        """As `--augment` takes it."""
        return ",".join(augmentation.name for augmentation in self.augmentations)

    @property
    def full_name(self) -> str:
        """As a recipe keeps it: it makes the same views on every machine, or is refused."""
        return ",".join(augmentation.full_name for augmentation in self.augmentations)

    @property
    def key(self) -> Hashable:
        """Equal where the views are."""
        return self.copies, tuple((type(some), some.full_name, some.strength, some.keep) for some in self.augmentations)

    def views(self, texts: Sequence[str], generator_of: GeneratorOf, *, progress: Progress | None = None) -> Views:
        """Make views.

        Args:
            texts: n texts.
            generator_of: text to a generator of its own, so that the order of the texts changes nothing.
            progress: where progress is shown.

        Raises:
            MissingExtraError: the texts need something that is not installed.
        """
        for augmentation in self.augmentations:
            augmentation.check(texts)
        each, rest = divmod(self.copies, len(self.augmentations))
        turns = {some: each + (turn < rest) for turn, some in enumerate(self.augmentations)}
        found: list[View] = []
        with (progress or SilentProgress()).step("Make views", total=len(texts)) as step:
            for number, text in enumerate(texts):
                seen: dict[str, str] = {}
                generator = generator_of(text)
                for augmentation, count in turns.items():
                    for view in augmentation.views(text, count, generator):
                        seen.setdefault(view, augmentation.name)
                found += [View(view, number, name) for view, name in seen.items()]
                step.advance()
        wanted: Counter[str] = Counter()
        for some, count in turns.items():
            wanted[some.name] += count * len(texts)
        return Views(tuple(found), wanted)


class Policies:
    """The augmentations that are known, and the policies that a recipe asks for."""

    def __init__(self, known: Mapping[str, type[Augmentation]]) -> None:
        """Choose among `known`."""
        self._known = known

    def of(
        self, dataset: Dataset, recipe: Recipe, *, auto: Sequence[Sequence[str]] = DEFAULT_POLICIES
    ) -> list[Policy | None]:
        """What rungs are to be tried with; None is without augmentation.

        Args:
            dataset: what is learnt from.
            recipe: names augmentations, or has "auto" or "none".
            auto: what is offered besides None where the recipe says "auto", as far as it is installed.

        Raises:
            RecipeError: an augmentation is not known.
            MissingExtraError, RecipeError: one was named that needs something which is not installed.
        """
        wanted = str(recipe.settings.get("augment", recipe.augment))
        texts = [example.input for example in dataset]
        if wanted == NONE:
            return [None]
        if wanted != AUTO:
            policy = self.named(wanted.split(","), keep=dataset.labels)
            for augmentation in policy.augmentations:
                augmentation.check(texts)
            return [policy]
        policies = [self.named(names, keep=dataset.labels) for names in auto]
        return [None, *(policy for policy in policies if _usable(policy, texts))]

    def named(
        self,
        names: Sequence[str],
        *,
        copies: int = COPIES,
        strength: float = 0.1,
        keep: Sequence[str] = (),
        where: str = "--augment",
    ) -> Policy:
        """The policy of these augmentations.

        Raises:
            RecipeError: one is not known, or the strength or the copies are out of range.
        """
        known = [*self._known, *(f"{name}:{source}" for name, some in self._known.items() for source in some.sources)]
        wanted = list(dict.fromkeys(name.strip() for name in names if name.strip()))
        for name in wanted:
            if name not in known:
                raise RecipeError(f"There is no augmentation {name!r}.", where=where, how=nearest(name, known))
        if not wanted:
            raise RecipeError("No augmentation was named.", where=where, how=f"Known: {', '.join(self._known)}.")
        if not 1 <= copies <= MOST_COPIES:
            raise RecipeError(f"There cannot be {copies} copies.", where="--copies", how=f"From 1 to {MOST_COPIES}.")
        # Only what has sources takes a third argument.
        parts = [name.split(":") for name in wanted]
        return Policy(tuple(self._known[name](strength, keep, *source) for name, *source in parts), copies)


def _usable(policy: Policy, texts: Sequence[str]) -> bool:
    try:
        for augmentation in policy.augmentations:
            augmentation.check(texts)
    except MissingExtraError:
        return False
    return True
