"""The training loop. It knows steps and checkpoints, and nothing of segmentation."""

import contextlib
import dataclasses
import math
import sys
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import gin
import tensorflow as tf

from wss.errors import NotFiniteError, UserError
from wss.settings import Count, Natural
from wss.training import curves, memory, summaries
from wss.training.checkpoints import Checkpoints
from wss.training.input_clock import InputClock
from wss.training.preemption import StopSignals
from wss.training.profiling import ProfileWindow
from wss.training.train_step import TrainingStep

# Seconds that a signal may have to wait for the running steps.
_LOOP_SECONDS = 5.0


@gin.configurable(
    allowlist=[
        "checkpoint_interval",
        "keep_checkpoints",
        "eval_interval",
        "log_interval",
        "image_interval",
        "steps_per_loop",
    ]
)
@dataclasses.dataclass
class Trainer:
    """Runs steps up to the last, from wherever the last run stopped.

    Everything random or that depends on time is a function of the step, so a run that
    was stopped and started again takes the same steps as one that was not.

    Attributes:
      training_step: takes the steps.
      batches: gives the distributed data set that begins with a step's batch.
      model_dir: where checkpoints and TensorBoard events go.
      total_steps: length of the training.
      images_per_step: images that all replicas see in a step, for the pace.
      items: what a checkpoint holds beside the step and the optimizer, by name.
      begin: called before anything is written with the number of steps taken so far;
        0: the training is new. May still refuse to train.
      started: called before this run's first step with the graph of a step.
      evaluate: called with the step for an evaluation; returns whether this was the
        best so far. Called again at the step that a run goes on from.
      save_batch: called with a step and what went wrong there; writes down the images
        of its batch and returns the file's path.
      input_errors: inside it, a failure of the batches' making is a `UserError`.
      class_names: names of the entries of monitors that have one for each class.
      profile_steps: the profiler runs from behind the first to behind the second step.
      checkpoint_interval: steps between two checkpoints; 0 means only at the end.
      keep_checkpoints: how many of the last checkpoints to keep.
      eval_interval: steps between two evaluations; 0 means only at the end.
      log_interval: steps between two progress lines and two points of a curve; 0 means
        only at the start and the end.
      image_interval: steps between two histograms and sample images; 0 means only at
        the end.
      steps_per_loop: steps that run without coming back to Python, at most; slow ones
        come back more often.
    """

    training_step: TrainingStep
    batches: Callable[[int], Any]
    model_dir: str
    total_steps: int
    images_per_step: int
    items: Mapping[str, Any]
    begin: Optional[Callable[[int], None]] = None
    started: Optional[Callable[[Any], None]] = None
    evaluate: Optional[Callable[[int], bool]] = None
    save_batch: Optional[Callable[[int, str], str]] = None
    input_errors: Callable[[], ContextManager] = contextlib.nullcontext
    class_names: Sequence[str] = ()
    profile_steps: Optional[Tuple[int, int]] = None
    checkpoint_interval: Natural = 1000
    keep_checkpoints: Count = 5
    eval_interval: Natural = 0
    log_interval: Natural = 10
    image_interval: Natural = 500
    steps_per_loop: Count = 10

    def __post_init__(self):
        self._checkpoints = Checkpoints(
            self.model_dir,
            self.training_step.step,
            self.keep_checkpoints,
            optimizer=self.training_step.optimizer,
            **self.items,
        )
        self._stopwatch = summaries.Stopwatch()
        self._quick_steps = 0  # That take as long as a signal may wait.
        self._input_clock = InputClock()
        self._signals = StopSignals()
        self._profile = ProfileWindow(self.profile_steps, f"{self.model_dir}/train")
        self.summaries: Optional[summaries.Summaries] = None  # Once it trains.

    def train(self) -> None:
        """Trains to the last step.

        Raises:
          UserError: a batch can not be made (the state before it is saved), a loss is
            not finite, or a checkpoint can not be written; the checkpoints before stay.
          Stopped: a signal came; the state is saved.
        """
        restored = self._checkpoints.restore()
        if restored:
            print(f"Continuing from {self._checkpoints.latest}.", flush=True)
        step = int(self.training_step.step.numpy())
        if self.begin is not None:
            self.begin(step)
        events = f"{self.model_dir}/train"
        curves.forget_from(events, step + 1 if restored else 0)
        self.summaries = summaries.Summaries(events)
        self.training_step.share()
        step = int(self.training_step.step.numpy())
        with self._signals.watch():
            if restored and self._evaluates(step):
                self._evaluate(step)  # It may have been stopped in it.
            if step >= self.total_steps:
                print(f"This run is finished: it took its {step} steps.", flush=True)
                return
            batches = iter(self.batches(step))
            iterator = self._input_clock.timed(batches, self.training_step.step)
            with self._input_clock.watch():
                self._take_steps(iterator, step)
        self._profile.stop()

    def _take_steps(self, iterator: Any, step: int) -> None:
        first = step
        graph = self.training_step.prepare(iterator)
        if self.started is not None:
            self.started(graph)
        while step < self.total_steps:
            # The first step by itself: it shows signs of life.
            count = 1 if step == first else self._steps_to_next_event(step)
            results = self._run(iterator, count)
            step += count
            if step == first + 1:
                self._stopwatch.start(step)
                self._input_clock.take()
            self._handle_events(step, results, is_first=step == first + 1)
            if self.training_step.any_worker(self._signals.received is not None):
                self._save()
                self.training_step.any_worker(True)  # No one leaves before all have.
                self._signals.stop()

    def _run(self, iterator: Any, count: int) -> Dict[str, Any]:
        """Takes steps, and saves those before a batch that can not be made."""
        try:
            with self.input_errors():
                return self.training_step.run(iterator, tf.constant(count))
        except UserError:
            if self.training_step.step.numpy() > 0:
                self._save()
                print(f"The state is saved in {self._checkpoints.latest}.", flush=True)
            raise

    def _handle_events(
        self, step: int, results: Mapping[str, Any], is_first: bool
    ) -> None:
        """Whatever is due behind a step, the cheap things first."""
        self._profile.update(step)
        if is_first or self._is_due(step, self.log_interval):
            self._check_finite()
            self._stopwatch.lap(step)
            pace = self._stopwatch.steps_per_second or 0.0
            # The workers come back behind the same steps.
            quick = self.training_step.mean_of_workers(int(_LOOP_SECONDS * pace))
            self._quick_steps = quick
            self._log(step, results)
        with self._stopwatch.pause():
            if self._is_due(step, self.image_interval):
                self._draw(step, results)
            if self._is_due(step, self.checkpoint_interval) or self._evaluates(step):
                self._save()
            if self._evaluates(step):
                self._evaluate(step)

    def _save(self) -> None:
        self._check_finite()
        self.summaries.flush()
        self._checkpoints.save()

    def _evaluates(self, step: int) -> bool:
        return self.evaluate is not None and self._is_due(step, self.eval_interval)

    def _evaluate(self, step: int) -> None:
        """Evaluates what has just been saved, so that a signal may break it off."""
        with self._signals.raising():
            is_best = self.evaluate(step)
        if is_best:
            self._checkpoints.save_best()

    def _is_due(self, step: int, interval: int) -> bool:
        """Everything is due behind the last step; an interval of 0 means only then."""
        return step == self.total_steps or (interval > 0 and step % interval == 0)

    def _steps_to_next_event(self, step: int) -> int:
        intervals = (
            self.log_interval,
            self.image_interval,
            self.checkpoint_interval,
            self.eval_interval,
        )
        to_event = [every - step % every for every in intervals if every > 0]
        to_event.append(self._profile.steps_to_next(step) or self.total_steps)
        loop = max(1, min(self.steps_per_loop, self._quick_steps))
        return min([*to_event, loop, self.total_steps - step])

    def _check_finite(self) -> None:
        try:
            self.training_step.check_finite()
        except NotFiniteError as error:
            batch = ""
            if self.save_batch is not None:
                path = self.save_batch(error.step, str(error))
                batch = f" The images of its batch are listed in {path}."
            raise NotFiniteError(
                f"{error}{batch} {self._advice_on_rate()}",
                error.step,
            ) from error

    def _advice_on_rate(self) -> str:
        """What helps against losses that are not finite, and how to go about it."""
        settings = (
            "a smaller learning_rate.base or a slow start "
            "(learning_rate.slow_start_steps)"
        )
        latest = self._checkpoints.latest
        if latest is None:
            return (
                f"No checkpoint was written before. Start again with {settings}, or "
                "from other weights where there is an INIT_CHECKPOINT."
            )
        # In the same folder the rate has to stay what it is.
        return (
            f"The last good checkpoint is {latest}. Train into another --model_dir "
            f"with {settings}. If the losses were sound until then, INIT_CHECKPOINT = "
            f"'{latest}' and Experiment.initialize_last_layer = True begin with its "
            "weights."
        )

    def _log(self, step: int, results: Mapping[str, Any]) -> None:
        losses = {name: float(value) for name, value in results["losses"].items()}
        rate = float(results["learning_rate"])
        pace = self._stopwatch.steps_per_second
        images_per_second = pace * self.images_per_step if pace else None
        waiting = self._input_clock.take() / max(self._stopwatch.lap_seconds, 1e-9)
        waiting = min(waiting, 1.0) if pace else 0.0
        print(
            summaries.progress_line(
                step, self.total_steps, losses, rate, images_per_second, pace, waiting
            ),
            flush=True,
        )
        if losses.get("supervised") == 0.0:
            print(
                f"warning: step {step} found no labeled pixel: its masks are ignored "
                "everywhere. python -m data_prep.verify shows which values they hold.",
                file=sys.stderr,
                flush=True,
            )
        scalars = {
            **_tagged("losses", losses),
            **_tagged("monitors", results["monitors"]),
            "learning_rate": rate,
            "monitors/weight_norm": self.training_step.weight_norm(),
            **_tagged("memory_gb", memory.used()),
        }
        if images_per_second:
            scalars["performance/images_per_second"] = images_per_second
            scalars["performance/seconds_per_step"] = 1.0 / pace
            scalars["performance/waiting_for_input"] = waiting
        self.summaries.scalars(scalars, step)
        self.summaries.flush()

    def _draw(self, step: int, results: Mapping[str, Any]) -> None:
        """Histograms, pictures, and a curve for each class that the last batch had."""
        self.summaries.histograms(results["histograms"], step)
        self.summaries.images(_tagged("samples", results["images"]), step)
        self.summaries.scalars(
            {
                f"{monitor}/{name}": value
                for monitor, entries in results["classes"].items()
                for name, value in zip(self.class_names, entries.numpy().tolist())
                if math.isfinite(value)
            },
            step,
        )


def _tagged(group: str, values: Mapping[str, Any]) -> Dict[str, Any]:
    return {f"{group}/{name}": value for name, value in values.items()}
