"""The training loop: one run on one page, from its first line to its last."""

import dataclasses
from collections.abc import Iterator
from typing import Optional

import gin
import tensorflow as tf

from wss.data import parsing
from wss.errors import NotFiniteError, UserError
from wss.evaluation.evaluator import Evaluator, build_evaluator
from wss.experiment import Experiment, build_method, distributed_batches
from wss.methods.base import Batch, Method
from wss.ops.memory import explained_memory
from wss.run_folder import description
from wss.run_folder.checkpoints import Checkpoints
from wss.run_folder.event_files import forget_from
from wss.settings import Count, Natural
from wss.training import diagnostics, distribution, run_card, starting_point
from wss.training.preemption import StopSignals
from wss.training.profiling import ProfileWindow
from wss.training.summaries import Progress
from wss.training.train_step import Results, TrainingStep, build_training_step


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What is due after which step: intervals in steps; 0: only at the end."""

    total_steps: int
    log: int
    images: int
    checkpoint: int
    evaluation: int
    steps_per_loop: int

    def is_due(self, step: int, interval: int) -> bool:
        """Whether something is due after a step; after the last, everything is."""
        return step == self.total_steps or (interval > 0 and step % interval == 0)

    def steps_to_next(self, step: int, profile: ProfileWindow) -> int:
        """Steps to take at once: until something is due, or the profiler switches."""
        intervals = (self.log, self.images, self.checkpoint, self.evaluation)
        to_event = [every - step % every for every in intervals if every > 0]
        to_event.append(profile.steps_to_next(step) or self.total_steps)
        return min(*to_event, max(1, self.steps_per_loop), self.total_steps - step)


@dataclasses.dataclass(frozen=True)
class _Run:
    """The parts of a run."""

    experiment: Experiment
    schedule: Schedule
    method: Method
    training_step: TrainingStep
    checkpoints: Checkpoints
    evaluator: Optional[Evaluator]
    profile: ProfileWindow
    signals: StopSignals

    def evaluates_after(self, step: int) -> bool:
        is_due = self.schedule.is_due(step, self.schedule.evaluation)
        return self.evaluator is not None and is_due

    def saves_after(self, step: int) -> bool:
        is_due = self.schedule.is_due(step, self.schedule.checkpoint)
        return is_due or self.evaluates_after(step)


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
def run_training(
    experiment: Experiment,
    evaluates: bool = True,
    profile_steps: Optional[tuple[int, int]] = None,
    *,
    checkpoint_interval: Natural = 1000,
    keep_checkpoints: Count = 5,
    eval_interval: Natural = 0,
    log_interval: Natural = 10,
    image_interval: Natural = 500,
    steps_per_loop: Count = 1,
) -> None:
    """Trains to the last step; resumes from the last checkpoint if there is one.

    Random numbers and schedules are functions of the step, so a resumed run takes the
    same steps as one that was never stopped.

    Args:
      experiment: what to train.
      evaluates: evaluate during training and at the end.
      profile_steps: steps between which TensorFlow's profiler runs.
      checkpoint_interval: steps between two checkpoints; 0: only at the end.
      keep_checkpoints: how many of the last checkpoints to keep.
      eval_interval: steps between two evaluations; 0: only at the end.
      log_interval: steps between two progress lines, each with a point of the curves;
        0: only at the start and the end.
      image_interval: steps between two sets of histograms and sample images; 0: only at
        the end.
      steps_per_loop: maximum number of steps that run without returning to Python. A
        signal takes effect after them, and the time that they wait for their batches is
        not measured.

    Raises:
      UserError: a batch cannot be made (the state before it is saved), a loss is not
        finite, the device is out of memory, or a checkpoint cannot be written; earlier
        checkpoints stay.
      Stopped: a signal was received; the state is saved.
    """
    method = build_method(experiment)
    training_step = build_training_step(experiment, method)
    run = _Run(
        experiment,
        Schedule(
            experiment.train_steps,
            log=log_interval,
            images=image_interval,
            checkpoint=checkpoint_interval,
            evaluation=eval_interval,
            steps_per_loop=steps_per_loop,
        ),
        method,
        training_step,
        Checkpoints(
            experiment.model_dir,
            training_step.step,
            keep_checkpoints,
            optimizer=training_step.optimizer,
            model=method.model,
            method=method,
        ),
        build_evaluator(experiment, method.evaluated_networks) if evaluates else None,
        ProfileWindow(profile_steps, f"{experiment.model_dir}/train"),
        StopSignals(),
    )
    card = run_card.describe(experiment, method, training_step.compiles)
    print(card, flush=True)
    with parsing.user_errors(), explained_memory(
        lambda: diagnostics.less_memory(experiment)
    ):
        progress = _restore(run)
        with run.signals.watch():
            _train(run, progress)
    description.write(experiment)  # The folder may have been emptied meanwhile.
    run_card.write_record(experiment, experiment.train_steps)


def _restore(run: _Run) -> Progress:
    """Restores the last checkpoint, or starts a new run; prepares its folder."""
    restored = run.checkpoints.restore()
    step = int(run.training_step.step.numpy())
    if restored:
        print(f"Continuing from {run.checkpoints.latest}.", flush=True)
    if step == 0:
        starting_point.load(run.experiment, run.method)
    description.write(run.experiment)
    if run.evaluator is not None:
        run.evaluator.forget_after(step)
    events = f"{run.experiment.model_dir}/train"
    forget_from(events, step + 1 if restored else 0)
    run.training_step.share()  # Only the chief needs the checkpoint.
    return Progress(run.experiment, events)


def _train(run: _Run, progress: Progress) -> None:
    """Takes the remaining steps; logs, saves and evaluates when it is due."""
    schedule, strategy = run.schedule, run.experiment.strategy
    first = step = int(run.training_step.step.numpy())
    if run.checkpoints.latest and run.evaluates_after(step):
        _evaluate(run, step)  # The run may have been stopped during it.
    if step >= schedule.total_steps:
        print(f"This run is already finished, after {step} steps.", flush=True)
        return
    batches = iter(distributed_batches(run.experiment, step))
    while step < schedule.total_steps:
        # The first step runs alone, so that its results show early.
        count = 1 if step == first else schedule.steps_to_next(step, run.profile)
        results = _take_steps(run, batches, count, progress)
        step += count
        run.profile.update(step)
        if step == first + 1:
            run_card.show_start(run.experiment, progress.summaries, first)
            progress.start(step)
        if step == first + 1 or schedule.is_due(step, schedule.log):
            _check_finite(run)
            progress.log(step, results, run.training_step.weight_norm())
        with progress.paused():
            if schedule.is_due(step, schedule.images):
                progress.draw(step, results)
            if run.saves_after(step):
                _save(run, progress)
            if run.evaluates_after(step):
                _evaluate(run, step)
        if distribution.any_of(strategy, run.signals.received is not None):
            _save(run, progress)
            distribution.any_of(strategy, True)  # Workers wait until all have saved.
            run.signals.stop()
    run.profile.stop()


def _take_steps(
    run: _Run, batches: Iterator[Batch], count: int, progress: Progress
) -> Results:
    """Takes steps; saves the state if the next batch cannot be made."""
    try:
        with parsing.user_errors():
            if run.schedule.steps_per_loop > 1:
                return run.training_step.run(batches, tf.constant(count))
            with progress.waiting():
                batch = next(batches)
            return run.training_step.run_once(batch)
    except UserError:
        if run.training_step.step.numpy() > 0:
            _save(run, progress)
            print(f"The state is saved in {run.checkpoints.latest}.", flush=True)
        raise


def _save(run: _Run, progress: Progress) -> None:
    _check_finite(run)
    progress.summaries.flush()
    run.checkpoints.save()


def _evaluate(run: _Run, step: int) -> None:
    """Evaluates the state just saved, so a signal may interrupt the evaluation."""
    with run.signals.raising():
        if not run.evaluator.has_evaluated(step):
            is_last = step == run.schedule.total_steps
            run.evaluator.evaluate(step, print_table=is_last)
    if run.evaluator.best_step() == step:
        run.checkpoints.save_best()


def _check_finite(run: _Run) -> None:
    try:
        run.training_step.check_finite()
    except NotFiniteError as error:
        latest = run.checkpoints.latest
        raise diagnostics.explained_batch(run.experiment, error, latest) from error
