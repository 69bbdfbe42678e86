"""A run's folder: made, locked, and failures to write there."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from wss.errors import UserError
from wss.files import atomic
from wss.ops.memory import explained_memory
from wss.run_folder import access


def test_a_refused_training_leaves_no_folder(tmp_path):
    with pytest.raises(UserError), access.sole_training(str(tmp_path / "new")):
        raise UserError("refused")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError), access.sole_training(str(tmp_path)):
        raise UserError("refused")
    assert tmp_path.exists()


@pytest.mark.parametrize("write", [atomic.write_text, lambda path, text: open(path)])
def test_a_folder_that_is_gone(tmp_path, write):
    gone = str(tmp_path / "gone")
    message = rf"folder {gone} cannot be written to .*No such .*--model_dir"
    with pytest.raises(UserError, match=message), access.explained_folder(gone):
        write(f"{gone}/run.json", "text")
    with pytest.raises(FileNotFoundError), access.explained_folder(gone):
        open(tmp_path / "other")


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "runs" / "mine")
    message = rf"The folder {folder} cannot be written to \(.*--model_dir"
    with pytest.raises(UserError, match=message):
        access.make_folder(folder)
    access.make_folder(str(tmp_path / "new" / "mine"))
    assert (tmp_path / "new" / "mine").is_dir()


def test_one_training_at_a_time(tmp_path):
    folder = str(tmp_path / "mine")
    script = (
        "import sys, time; from wss.run_folder import access\n"
        f"with access.sole_training({folder!r}): print('here', flush=True); "
        "time.sleep(600)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "here\n"
        message = f"Another run is training in {folder}. .* --model_dir"
        with pytest.raises(UserError, match=message):
            with access.sole_training(folder):
                pass
        with access.sole_training(str(tmp_path / "another")):
            pass
        other.kill()
    for _ in range(2):  # Whoever held it is gone.
        with access.sole_training(folder):
            pass
    assert os.listdir(folder) == []


def test_a_full_disk_is_not_out_of_memory():
    full = "runs/mine/run.json.tmp; No space left on device"
    message = (
        r"runs/mine cannot be written to \(.*No space left.*Make room.* not harmed"
    )
    with pytest.raises(UserError, match=message):
        with access.explained_folder("runs/mine"), explained_memory(str):
            raise tf.errors.ResourceExhaustedError(None, None, full)
