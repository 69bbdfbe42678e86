"""Folders of results: what a user made stays, what a command wrote is replaced."""

import os
import subprocess
import sys

import pytest

from wss.errors import UserError
from wss.files import outputs
from wss.files.outputs import LIST, OutputFolder


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def test_a_later_run_replaces_what_an_earlier_one_wrote(folder):
    OutputFolder(folder).write("masks/a.png", b"first")
    again = OutputFolder(folder)
    again.check(["masks/a.png", "masks/b.png"], ["masks"])
    again.write("masks/a.png", b"second")
    OutputFolder(folder).check(["masks/a.png"], ["masks"])
    with open(again.place("masks/a.png"), "rb") as file:
        assert file.read() == b"second"
    assert os.listdir(f"{folder}/masks") == ["a.png"]


def test_what_no_command_wrote_stays(folder):
    os.mkdir(f"{folder}/masks")
    for name in ("masks/b.png", "masks/.DS_Store"):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(b"mine")
    message = rf"1 file in {folder} .* no command of wss wrote .*{folder}/masks/b.png\."
    for names, folders in ((["masks/b.png"], []), (["masks/a.png"], ["masks"])):
        with pytest.raises(UserError, match=f"{message} .*--overwrite"):
            OutputFolder(folder).check(names, folders)
        OutputFolder(folder, overwrite=True).check(names, folders)
    OutputFolder(folder).check(["masks/a.png"], ["overlays"])


def test_what_was_changed_since_stays(folder):
    OutputFolder(folder).write("a.png", b"predicted")
    with open(f"{folder}/a.png", "wb") as file:
        file.write(b"corrected")
    with pytest.raises(UserError, match="or they have changed since; the first is"):
        OutputFolder(folder).check(["a.png"])
    with pytest.raises(UserError, match="changed since"):
        OutputFolder(folder).write_checked("a.png", b"predicted again")
    OutputFolder(folder).write_checked("a.png", b"corrected")  # It is unchanged.


def test_a_run_that_is_killed_leaves_nothing_that_stops_the_next(folder):
    """Between the list and the file, and in the middle of the list."""
    os.mkdir(f"{folder}/masks")
    output = OutputFolder(folder)
    output.write("masks/a.png", b"old")
    output._note({"masks/a.png": outputs.hashlib.sha256(b"new").hexdigest()})
    with open(f"{folder}/{LIST}", "ab") as file:
        file.write(b'\n{"name": "masks/b.pn')
    again = OutputFolder(folder)
    again.check(["masks/a.png", "masks/b.png"], ["masks"])
    again.write("masks/b.png", b"b")
    assert OutputFolder(folder).foreign(["masks/b.png"], ["masks"]) == []


def test_what_killed_runs_left_on_their_way_goes(folder):
    script = (
        "import sys, time; from wss.files.outputs import OutputFolder\n"
        f"with OutputFolder({folder!r}).workplace() as path:\n"
        "    open(path + '/half', 'w').close(); print(path, flush=True)\n"
        "    time.sleep(600)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        path = other.stdout.readline().strip()
        with OutputFolder(folder).workplace():
            assert os.path.exists(f"{path}/half")  # Another export is running.
        other.kill()
    with open(f"{folder}/.unfinished-photo", "w"):
        pass
    OutputFolder(folder).write("a", b"a")
    assert sorted(os.listdir(folder)) == [LIST, "a"]


def test_a_folder_is_moved_as_a_whole(folder):
    for text in ("old", "new"):
        output = OutputFolder(folder)
        output.check(output.below("model"))
        with output.workplace() as workplace:
            os.makedirs(f"{workplace}/model/part")
            with open(f"{workplace}/model/part/{text}", "w") as file:
                file.write(text)
            output.move(f"{workplace}/model", "model")
    assert os.listdir(f"{folder}/model/part") == ["new"]
    with open(f"{folder}/model/notes.txt", "w") as file:
        file.write("mine")
    output = OutputFolder(folder)
    with pytest.raises(UserError, match="model/notes.txt"):
        output.check(output.below("model"))
    assert sorted(os.listdir(folder)) == [LIST, "model"]


def test_a_write_that_fails_leaves_what_was_there(folder, monkeypatch):
    output = OutputFolder(folder)
    output.write("a.png", b"old")

    def replace(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    message = rf"Cannot write into {folder} \(No space left on device\)\. Make room"
    with pytest.raises(UserError, match=message), output.explained():
        output.write("a.png", b"new")
    with open(output.place("a.png"), "rb") as file:
        assert file.read() == b"old"
    assert sorted(os.listdir(folder)) == [LIST, "a.png"]


def test_an_error_without_words_of_the_system(folder):
    with pytest.raises(UserError, match=r"\(encoder error -2\)"):
        with OutputFolder(folder).explained():
            raise OSError("encoder error -2")


def test_a_name_as_long_as_a_name_can_be(folder):
    name = "n" * 251 + ".png"
    OutputFolder(folder).write(f"masks/{name}", b"mask")
    assert os.listdir(f"{folder}/masks") == [name]


def test_results_are_known_below_their_folder_only(folder):
    OutputFolder(f"{folder}/out").write("masks/a.png", b"mask")
    path = f"{folder}/out/masks/a.png"
    assert outputs.is_result(path, folder) and outputs.is_result(path, f"{folder}/out")
    assert not outputs.is_result(path, f"{folder}/out/masks")
    assert not outputs.is_result(f"{folder}/out/masks/b.png", folder)
    os.symlink(f"{folder}/out", f"{folder}/link")
    assert OutputFolder(f"{folder}/out").has_written(f"{folder}/link/masks/a.png")
    assert not OutputFolder(f"{folder}/out").has_written(f"{folder}/a.png")


def test_what_is_known_is_noted_once(tmp_path):
    for _ in range(3):
        OutputFolder(str(tmp_path)).write("a", b"a")
        outputs.write_noted(str(tmp_path / "b"), "b")
    lines = (tmp_path / LIST).read_text().split()
    assert len([line for line in lines if '"name"' in line]) == 2
    assert not OutputFolder(str(tmp_path)).foreign(["a", "b"])


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_list_that_is_no_file_is_not_waited_for(tmp_path, make):
    make(tmp_path / LIST)
    with pytest.raises(UserError, match="not a regular file"):
        OutputFolder(str(tmp_path)).write("a", b"a")
    assert os.listdir(tmp_path) == [LIST]
