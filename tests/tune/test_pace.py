"""Steps follow the clock, the learning rate follows the steps, and what was decided can be done again."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewtune.errors import RecipeError
from fewtune.interfaces import RunContext
from fewtune.journal import Journal
from fewtune.recipe import Recipe
from fewtune.tune.pace import Course, Deadline, turns_of, with_part

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from fewtune.progress import SilentProgress  # noqa: E402
from fewtune.tune import loop  # noqa: E402
from fewtune.tune.loop import Objective, Schedule, train  # noqa: E402


class Clock(Journal):
    """A journal whose clock stands until it is told to go on."""

    seconds = 0.0

    @property
    def elapsed(self) -> float:
        return self.seconds


def walk(course: Course, clock: Clock, seconds_of: Any) -> int:
    """Take the steps of a course, each in its seconds; how many there were."""
    done = 0
    course.begin(done)
    while done < course.steps:
        clock.seconds += seconds_of(done)
        done += 1
        course.reach(done)
    return done


def paced(planned: int, budget: float, clock: Clock, first: int = 0) -> Course:
    return Course(planned, deadline=Deadline(RunContext(Path(), journal=clock, budget_seconds=budget), "t", first))


def test_a_training_that_keeps_its_time_goes_as_planned() -> None:
    clock = Clock()
    course = paced(400, 410.0, clock)
    assert walk(course, clock, lambda _: 1.0) == 400
    assert str(course) == ""
    assert [course.place(step) for step in (0, 7, 400)] == [0, 7, 400]


def test_one_that_becomes_slower_ends_in_time_at_its_last_place() -> None:
    clock = Clock()
    course = paced(400, 410.0, clock)
    done = walk(course, clock, lambda step: 1.0 if step < 100 else 2.0)
    assert 245 <= done < 260
    assert clock.seconds <= 415
    assert course.place(done) == pytest.approx(400)
    rates = [Schedule(400, 1.0).rate(course.place(step)) for step in range(done)]
    assert max(abs(one - other) for one, other in pairwise(rates)) < 0.03
    assert rates[-1] < 0.02


def test_one_that_was_held_up_for_a_while_takes_up_what_it_planned() -> None:
    clock = Clock()
    course = paced(400, 500.0, clock)
    assert walk(course, clock, lambda step: 3.0 if 100 <= step < 125 else 1.0) == 400
    assert len(course.turns) >= 2


def test_where_all_time_is_spent_the_rate_still_falls() -> None:
    clock = Clock()
    course = paced(400, 10.0, clock)
    assert walk(course, clock, lambda _: 1.0) == 40
    assert Schedule(400, 1.0).rate(course.place(39)) < 0.1


def test_steps_of_another_kind_are_not_measured() -> None:
    clock = Clock()
    course = paced(400, 500.0, clock, first=200)
    assert walk(course, clock, lambda step: 1.0 if step < 200 else 2.0) == 350
    assert [at for at, _ in course.turns] == [220]


def test_the_first_step_of_a_sitting_is_not_measured() -> None:
    clock = Clock()
    course = paced(60, 75.0, clock)
    assert walk(course, clock, lambda step: 10.0 if step == 0 else 1.0) == 60
    assert not course.turns


@given(st.integers(2, 500), st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), max_size=4))
def test_places_rise_from_the_first_to_the_last(planned: int, draws: list[tuple[int, int]]) -> None:
    turns, at = [], 0
    steps = planned
    for ahead, rest in draws:
        at += ahead
        if at >= steps:
            break
        steps = min(at + rest, planned)
        turns.append((at, steps))
    course = Course(planned, turns)
    places = [course.place(step) for step in range(course.steps + 1)]
    assert places[0] == 0
    assert places[-1] == pytest.approx(planned)
    assert all(one < other for one, other in pairwise(places))
    assert turns_of(str(course), planned) == turns


@pytest.mark.parametrize(
    "setting",
    [
        "x",
        "10",
        "10:20",
        "/10:20",
        "90/",
        "90/10:10",
        "90/20:30,10:15",
        "90/0:5",
        "90/10:20,",
        "90/10:20;30:40",
        "9/5:10",
    ],
)
def test_what_is_no_pace_is_refused(setting: str) -> None:
    with pytest.raises(RecipeError, match="pace"):
        turns_of(setting, 90)


def test_the_pace_of_another_number_of_steps_is_none() -> None:
    assert turns_of("400/100:150", 400) == [(100, 150)]
    for planned in (120, 399, 1000):
        assert turns_of("400/100:150", planned) == []
    assert turns_of("", 120) == []
    assert turns_of("400/100:150") == [(100, 150)]


def test_a_recipe_with_a_pace_is_checked() -> None:
    from fewtune import catalog

    task = catalog.tasks()["translation"]
    recipe = Recipe(task="translation", method="full", settings={"pace": "400/100:150"})
    assert catalog.find_methods(recipe, task)
    with pytest.raises(RecipeError, match="pace"):
        catalog.find_methods(recipe.model_copy(update={"settings": {"pace": "100:150"}}), task)


def test_parts_of_the_time_are_equal_and_decided_once() -> None:
    clock = Clock()
    run = RunContext(Path(), journal=clock, budget_seconds=90.0)
    assert with_part(run, "first", 3).seconds_left == pytest.approx(30)
    clock.seconds = 20.0
    assert with_part(run, "first", 3).seconds_left == pytest.approx(10)
    assert with_part(run, "second", 2).seconds_left == pytest.approx(35)
    assert math.isinf(with_part(RunContext(Path()), "any", 2).budget_seconds)


class Slow(Objective):
    """Finds a point, in steps whose seconds are the clock's; the power may fail."""

    def __init__(self, clock: Clock, seconds: float, fails_at: int = -1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.taken: list[int] = []
        self._clock, self._seconds, self._fails_at = clock, seconds, fails_at

    def loss(self, batch: int) -> Any:
        if batch == self._fails_at:
            raise MemoryError
        self.taken.append(batch)
        self._clock.seconds += self._seconds
        return ((self.weight - torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(3)) ** 2).sum()


def tuned(objective: Slow, course: Course, checkpoint: Path | None = None, **options: Any) -> np.ndarray:
    with SilentProgress().step("x") as step:
        train(
            objective,
            Schedule(200, 0.2),
            seed_of=lambda number: 7 + number,
            course=course,
            checkpoint=checkpoint,
            step=step,
            **options,
        )
    return objective.weight.detach().numpy()


def test_the_loop_ends_in_time_and_what_is_written_down_gives_the_same() -> None:
    clock = Clock()
    slow, course = Slow(clock, 2.0), paced(200, 250.0, clock)
    weights = tuned(slow, course)
    assert len(slow.taken) == course.steps == 125
    assert np.allclose(weights, [1.0, -2.0, 0.5], atol=0.15)
    again = Slow(Clock(), 0.0)
    assert np.array_equal(tuned(again, Course(200, turns_of(str(course), 200))), weights)
    assert again.taken == slow.taken


def test_a_resumed_training_keeps_what_the_clock_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    clock, checkpoint = Clock(tmp_path), tmp_path / "state.ckpt"
    with pytest.raises(MemoryError):
        tuned(Slow(clock, 2.0, fails_at=73), paced(200, 250.0, clock), checkpoint)
    assert checkpoint.is_file()
    later = Clock(tmp_path)
    later.seconds = clock.seconds
    # The machine is fast again: what was decided while it was slow stays, and what is left is decided anew.
    rest, course = Slow(later, 1.0), paced(200, 250.0, later)
    weights = tuned(rest, course, checkpoint)
    assert rest.taken[0] == 70
    assert course.turns[0][0] < 70 < course.turns[-1][0]
    again = tuned(Slow(Clock(), 0.0), Course(200, turns_of(str(course), 200)))
    assert np.array_equal(again, weights)


def test_stops_are_places_not_steps() -> None:
    seen: list[tuple[int, int]] = []
    slow = Slow(Clock(), 0.0)
    tuned(
        slow,
        Course(160, [(40, 100)]),
        stops=[100, 160],
        at_stop=lambda stop: seen.append((stop, len(slow.taken))),
    )
    assert seen == [(100, 70), (160, 100)]
