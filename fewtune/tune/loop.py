"""The only training loop: Lightning runs it, AdamW steps, checkpoints let an interrupted run go on.

Every step draws its batch and its randomness from its own number, so that a run that is resumed from
a checkpoint takes the same steps as one that was never interrupted. Imported only where something is tuned.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn

from fewtune.progress import Step
from fewtune.tune.pace import Course

# Steps of one of Lightning's epochs, at whose end a checkpoint can be taken.
_LEG = 5
_SECONDS_BETWEEN_CHECKPOINTS = 10.0
# Places that are no further apart are one: they are sums of fractions.
_SAME_PLACE = 1e-6


class DivergedError(Exception):
    """The loss is no longer a number."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        learning_rate: the highest, after warming up.
        warmup: share of the steps in which the learning rate rises; after them it falls to 0 in a line.
        weight_decay: of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).
        accumulate: batches whose gradients are summed up for one step.
    """

    steps: int
    learning_rate: float
    warmup: float = 0.1
    weight_decay: float = 0.01
    accumulate: int = 1

    def rate(self, step: float) -> float:
        """Share of the learning rate at a step, counted from 0; between two of them where steps pass faster."""
        rising = (step + 1) / max(1.0, self.warmup * self.steps)
        falling = (self.steps - step) / max(1.0, (1 - self.warmup) * self.steps)
        return max(0.0, min(1.0, rising, falling))


class Objective(nn.Module, ABC):
    """What is minimised, with everything that is learnt in it."""

    @abstractmethod
    def loss(self, batch: int) -> Tensor:
        """The loss of a batch, by its number; drawing it uses no other randomness than torch's own."""

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """What is learnt, with its share of the learning rate; by default everything at all of it."""
        return [([parameter for parameter in self.parameters() if parameter.requires_grad], 1.0)]

    def after_step(self) -> None:
        """Called when the optimiser has stepped; by default nothing is done."""


def train(
    objective: Objective,
    schedule: Schedule,
    *,
    seed_of: Callable[[int], int],
    stops: Sequence[int] = (),
    at_stop: Callable[[int], None] = lambda _: None,
    course: Course | None = None,
    checkpoint: Path | None = None,
    step: Step,
) -> None:
    """Minimise.

    Args:
        objective: is trained in place.
        schedule: steps and learning rate.
        seed_of: number of a batch to the seed of torch's randomness in it (dropout).
        stops: numbers of planned steps, after which `at_stop` is called with the number; the last one ends it.
        at_stop: looks at the objective; called again for none of a resumed run's earlier stops.
        course: which of the planned steps are taken, up to the last stop; None: all.
        checkpoint: where the state is kept while training; read first where it is there, deleted at the end.
        step: is told of every step done.

    Raises:
        DivergedError: the loss became infinite or not a number.
    """
    last = max(stops, default=schedule.steps)
    course = course or Course(last)
    module = _Training(objective, schedule, seed_of, course)
    watcher = _Watcher(course, sorted(stops), at_stop, checkpoint, step)
    # Lightning tells things about itself, its loggers and its loaders that are of no use to ours.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings(), _interruptible():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=-1,
            max_steps=last,
            callbacks=[watcher],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        resume = str(checkpoint) if checkpoint is not None and checkpoint.is_file() else None
        # Lightning leaves the modes as they are, and layers are in evaluation mode until they are told.
        objective.train()
        trainer.fit(
            module,
            _Leg(),
            ckpt_path=resume,
            weights_only=True,
        )
    objective.eval()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


class _Training(lightning.LightningModule):
    """An objective in the form that Lightning trains.

    It steps by itself and counts its steps by itself: what Lightning counts within its epochs is not
    the same after a resumption.
    """

    def __init__(self, objective: Objective, schedule: Schedule, seed_of: Callable[[int], int], course: Course) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.objective = objective
        self._schedule = schedule
        self._seed_of = seed_of
        self._course = course
        self._steps = 0

    def training_step(self, *_: Any) -> None:
        optimizer, rates = self.optimizers(), self.lr_schedulers()
        optimizer.zero_grad()  # type: ignore[union-attr]
        first = self._steps * self._schedule.accumulate
        for batch in range(first, first + self._schedule.accumulate):
            torch.manual_seed(self._seed_of(batch))
            loss = self.objective.loss(batch)
            if not bool(torch.isfinite(loss)):
                raise DivergedError(f"the loss became {float(loss)} in step {self._steps + 1}")
            self.manual_backward(loss / self._schedule.accumulate)
        optimizer.step()  # type: ignore[union-attr]
        rates.step()  # type: ignore[union-attr]
        self.objective.after_step()
        self._steps += 1
        self._course.reach(self._steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["steps"] = self._steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._steps = int(checkpoint["steps"])

    def configure_optimizers(self) -> Any:
        schedule = self._schedule
        learnt = [{"params": some, "lr": share * schedule.learning_rate} for some, share in self.objective.rates()]
        optimizer = torch.optim.AdamW(learnt, schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)]

    def _rate(self, step: int) -> float:
        return self._schedule.rate(self._course.place(step))


class _Leg:
    """An epoch of Lightning's: some steps, after which everything can be saved. What is in them, the module knows."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(_LEG))


class _Watcher(lightning.Callback):
    """Tells of progress, calls at the stops, and saves now and then."""

    def __init__(
        self,
        course: Course,
        stops: Sequence[int],
        at_stop: Callable[[int], None],
        checkpoint: Path | None,
        progress: Step,
    ) -> None:
        self._course = course
        self._stops = stops
        self._at_stop = at_stop
        self._checkpoint = checkpoint
        self._progress = progress
        self._done = 0
        self._saved = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._done = trainer.global_step
        self._course.begin(self._done)
        self._progress.advance(self._course.place(self._done))
        trainer.should_stop = self._done >= self._course.steps

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any, **__: Any
    ) -> None:
        if trainer.global_step == self._done:
            return
        before = self._course.place(self._done) + _SAME_PLACE
        self._done = trainer.global_step
        place = self._course.place(self._done) + _SAME_PLACE
        self._progress.advance(place - before)
        for stop in self._stops:
            if before < stop <= place:
                self._at_stop(stop)
        trainer.should_stop = self._done >= self._course.steps

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._checkpoint is None or time.monotonic() - self._saved < _SECONDS_BETWEEN_CHECKPOINTS:
            return
        partial = self._checkpoint.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        os.replace(partial, self._checkpoint)
        self._saved = time.monotonic()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C raise KeyboardInterrupt: Lightning ends the process instead, and stops listening for a second one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, handler)
