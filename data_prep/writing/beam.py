"""Writes the shards of a split on Apache Beam, each as one unit of work."""

from collections.abc import Sequence

from data_prep.writing import shards
from wss.errors import UserError


def run(runner: str, options: Sequence[str], jobs: Sequence[str]) -> None:
    """Runs jobs on a Beam runner and waits for their end.

    Args:
      runner: Beam's name, such as DirectRunner or DataflowRunner.
      options: of the pipeline, such as "project=mine".
      jobs: paths from `Shard.save_job`, which all machines must be able to read.

    Raises:
      UserError: Apache Beam is not installed, or has no such runner.
    """
    try:
        import apache_beam as beam  # Optional: a single machine does not need it.
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            # Installed alone, it brings a protobuf that TensorFlow does not support.
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
        | beam.Reshuffle()  # Otherwise one machine may get all jobs.
        | beam.Map(shards.run_job)
    )
    pipeline.run().wait_until_finish()
