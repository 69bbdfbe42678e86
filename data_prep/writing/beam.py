"""Writes the shards of a split on Apache Beam, each as one unit of work."""

from collections.abc import Sequence

from data_prep.writing import shards
from wss.errors import UserError


def run(runner: str, options: Sequence[str], jobs: Sequence[str]) -> None:
    """Runs jobs on a Beam runner and waits for their end.

    Args:
      runner: Beam's name of it, such as DirectRunner or DataflowRunner.
      options: of the pipeline, such as "project=mine".
      jobs: paths of what `shards.save_job` saved; all machines must see them.

    Raises:
      UserError: Apache Beam is not installed, or knows no such runner.
    """
    try:
        import apache_beam as beam  # Optional: one machine does without it.
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            # By itself it would bring a protobuf that TensorFlow does not know.
            f"--runner={runner} needs Apache Beam: pip install -e '.[beam]'. Without "
            "--runner all cores of this machine are used."
        ) from error
    flags = [f"--runner={runner}", *(f"--{option}" for option in options)]
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(flags))
    except ValueError as error:
        raise UserError(
            f"Apache Beam does not accept {' '.join(flags)}: {error}"
        ) from error
    _ = (
        pipeline
        | beam.Create(list(jobs))
        | beam.Reshuffle()  # Else the jobs may stay together, on one machine.
        | beam.Map(shards.run_job)
    )
    pipeline.run().wait_until_finish()
