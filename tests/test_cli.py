"""What the command lines share: numbers that are checked, failures in one line."""

import argparse

import pytest
import tensorflow as tf

from wss import cli, data_service, eval, predict, train, vis
from wss.settings import Count, Positive


@pytest.mark.parametrize(
    "kind, text, value",
    [(Count, "3", 3), (Positive, "3", 3), (Positive, "0.5", 0.5)],
)
def test_numbers(kind, text, value):
    read = cli.number(kind)(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "nan", "inf", "one", "", "1e400"])
def test_numbers_that_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        cli.number(Count)(text)
    assert str(error.value) == f"{text}: it has to be a whole number above 0"


@pytest.mark.parametrize(
    "command, flag",
    [
        (eval, "--scales=nan"),
        (eval, "--scales=0"),
        (eval, "--timeout=-1"),
        (eval, "--timeout=nan"),
        (predict, "--scales=-0.5"),
        (vis, "--first=-1"),
        (vis, "--worst=1.5"),
        (data_service, "--port=65536"),
    ],
)
def test_wrong_numbers_of_flags(command, flag, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([flag])
    assert ended.value.code == 2
    name, value = flag.split("=")
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {name}: {value}: it has to be a" in message


@pytest.mark.parametrize(
    "command, flag",
    [
        (train, "--model_dir="),
        (eval, "--checkpoint="),
        (vis, "--model_dir="),
        (predict, "--images="),
        (predict, "--output_dir="),
    ],
)
def test_paths_of_unset_variables(command, flag, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([flag])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert f"argument {flag[:-1]}: it is empty, a path is needed" in error


def test_a_bucket_out_of_reach_is_one_line(capsys):
    def command():
        raise tf.errors.FailedPreconditionError(
            None, None, "Could not resolve host\n\t when reading gs://mine/a.tfrecord"
        )

    assert cli.run(command) == 2
    assert capsys.readouterr().err == (
        "error: gs://mine/a.tfrecord cannot be reached (Could not resolve host). "
        "Check its name, the network and your permissions, or choose a folder on this "
        "machine.\n"
    )


def test_an_unknown_file_system_is_one_line(capsys):
    def command():
        tf.io.gfile.exists("nosuch://bucket/a")

    assert cli.run(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: nosuch://bucket/a cannot be reached (")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        ValueError("gs://mine"),
        tf.errors.InternalError(None, None, "see https://tensorflow.org"),
        tf.errors.InternalError(None, None, "a fault of ours"),
    ],
)
def test_faults_of_ours_keep_their_trace(error):
    def command():
        raise error

    with pytest.raises(type(error)):
        cli.run(command)
