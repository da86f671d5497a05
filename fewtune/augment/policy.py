"""Which augmentations are used, how many views they make, and whose views these are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        return ",".join(augmentation.shown_name for augmentation in self.augmentations)

    @property
    def full_name(self) -> str:
        """As a recipe keeps it: it makes the same views on every machine, or is refused."""
        return ",".join(augmentation.full_name for augmentation in self.augmentations)

    @property
    def key(self) -> Hashable:
        """Equal where the views are."""
        return self.copies, tuple((type(some), some.full_name, some.strength, some.keep) for some in self.augmentations)

    @property
    def is_slow(self) -> bool:
        """Whether making views takes so long that it is foreseen."""
        return any(augmentation.is_slow for augmentation in self.augmentations)

    @property
    def _turns(self) -> dict[Augmentation, int]:
        """Views of each text by each augmentation."""
        each, rest = divmod(self.copies, len(self.augmentations))
        return {some: each + (turn < rest) for turn, some in enumerate(self.augmentations)}

    def seconds(self, texts: Sequence[str], *, threads: int = 1) -> float:
        """What `views` will take, as far as that is worth foreseeing."""
        return sum(some.seconds(texts, count, threads=threads) for some, count in self._turns.items() if count)

    def views(
        self, texts: Sequence[str], generator_of: GeneratorOf, *, threads: int = 1, progress: Progress | None = None
    ) -> Views:
        """Make views.

        Args:
            texts: n texts.
            generator_of: text to a generator of its own, so that the order of the texts changes nothing.
            threads: that may be used.
            progress: where progress is shown.

        Raises:
            MissingExtraError, RecipeError: the texts need what is not there.
        """
        shown = progress or SilentProgress()
        for augmentation in self.augmentations:
            augmentation.check(texts)
            if remark := augmentation.remark(texts):
                shown.say(remark)
        generators = [generator_of(text) for text in texts]
        seen: list[dict[str, str]] = [{} for _ in texts]
        wanted: Counter[str] = Counter()
        with shown.step("Make views", total=len(texts) * len(self._turns)) as step:
            for augmentation, count in self._turns.items():
                made = augmentation.views_of(texts, count, generators, threads=threads, step=step)
                for views, known in zip(made, seen, strict=True):
                    for view in views:
                        known.setdefault(view, augmentation.shown_name)
                wanted[augmentation.shown_name] += count * len(texts)
        found = [View(view, number, name) for number, views in enumerate(seen) for view, name in views.items()]
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
        strength: float | None = None,
        keep: Sequence[str] = (),
        where: str = "--augment",
    ) -> Policy:
        """The policy of these augmentations; without a strength, each has its usual one.

        Raises:
            RecipeError: one is not known, or the strength or the copies are out of range.
        """
        known = [*self._known, *(f"{name}:{source}" for name, some in self._known.items() for source in some.sources)]
        wanted = list(dict.fromkeys(name.strip() for name in names if name.strip()))
        for name in wanted:
            base = self._known.get(name.partition(":")[0])
            if name not in known and not (base and base.names_sources):
                raise RecipeError(f"There is no augmentation {name!r}.", where=where, how=nearest(name, known))
        if not wanted:
            raise RecipeError("No augmentation was named.", where=where, how=f"Known: {', '.join(self._known)}.")
        if not 1 <= copies <= MOST_COPIES:
            raise RecipeError(f"There cannot be {copies} copies.", where="--copies", how=f"From 1 to {MOST_COPIES}.")
        return Policy(tuple(self._made(name, strength, keep) for name in wanted), copies)

    def _made(self, name: str, strength: float | None, keep: Sequence[str]) -> Augmentation:
        base, colon, source = name.partition(":")
        given: dict[str, Any] = {"keep": keep}
        if strength is not None:
            given["strength"] = strength
        if colon:  # only what has sources takes one
            given["source"] = source
        return self._known[base](**given)


def _usable(policy: Policy, texts: Sequence[str]) -> bool:
    try:
        for augmentation in policy.augmentations:
            augmentation.check(texts)
    except (MissingExtraError, RecipeError):
        return False
    return True
