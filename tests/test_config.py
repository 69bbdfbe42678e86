"""Gin files: where they are found, and what each mistake in them says."""

import shutil

import gin
import pytest
import tensorflow as tf

import wss.runs  # noqa: F401  What gin files configure.
from wss import config
from wss.errors import UserError


@gin.configurable(module="test")
def paint(colour="blue", width=1):
    return colour, width


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "paint.gin").write_text("paint.width = %WIDTH\n")
    (tmp_path / "paint.gin").write_text(
        "include 'base/paint.gin'\n\nWIDTH = 3\npaint.colour = 'red'\n"
    )
    monkeypatch.chdir(tmp_path)
    yield
    gin.clear_config()


def test_bindings_win_over_files():
    config.load(["paint.gin"], ["WIDTH = 5"])
    assert paint() == ("red", 5)


def test_includes_resolve_beside_their_file_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config.load([str(tmp_path / "paint.gin")])
    assert paint() == ("red", 3)


def test_files_in_a_bucket(tmp_path):
    # TensorFlow's file system in memory stands for gs:// and the like.
    for name in ("paint.gin", "base/paint.gin"):
        tf.io.gfile.copy(str(tmp_path / name), f"ram://bucket/{name}", overwrite=True)
    shutil.rmtree(tmp_path / "base")
    config.load(["ram://bucket/paint.gin"], ["WIDTH = 4"])
    assert paint() == ("red", 4)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_files_of_all_editors(tmp_path, encoding, line_end):
    text = "include 'base/paint.gin'\n# c'est l'\u00e9t\u00e9\n\nWIDTH = 3  # \u00e9\n"
    text = text.replace("\n", line_end).encode(encoding)
    (tmp_path / "paint.gin").write_bytes(text)
    (tmp_path / "base" / "paint.gin").write_bytes(
        f"paint.colour = 'red'  # \u00fc{line_end}paint.width = %WIDTH".encode(encoding)
    )
    config.load(["paint.gin"])
    assert paint() == ("red", 3)


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "paint.gin").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="paint.gin is not text. Save it as UTF-8"):
        config.load(["paint.gin"])
    (tmp_path / "paint.gin").write_bytes("A = '\u00e9'".encode("latin-1"))
    with pytest.raises(UserError, match="paint.gin, line 1: .* is not in UTF-8"):
        config.load(["paint.gin"])


def test_the_text_of_a_configuration_reads_back(tmp_path):
    config.load(["paint.gin"], ["WIDTH = 7"])
    (tmp_path / "stored.gin").write_text(config.text())
    config.load(["stored.gin"])
    assert paint() == ("red", 7)
    assert "paint.width = %WIDTH" in config.operative_text()


@pytest.mark.parametrize(
    "binding, message",
    [
        ("WIDHT = 5", "nothing uses the macro WIDHT. Did you mean WIDTH?"),
        ("width = 5", "nothing uses the macro width. Did you mean WIDTH?"),
        ("paint.colour = %WITH", "the macro WITH has no value. Did you mean WIDTH?"),
        ("paint.colour = %SPEED", "SPEED has no value. Set it: SPEED = ..."),
        ("SPEED = 5", "nothing uses the macro SPEED. Leave it out."),
        ("paint.color = 'red'", "named 'color'. Did you mean colour?"),
        ("pain.colour = 'red'", "matching 'pain'. Did you mean paint?"),
        ("Trainer.colour = 3", "matching 'Trainer'. It is called run_training now."),
        ("paint.colour = @paimt", "'@paimt'. Did you mean paint?"),
        ("paint.colour = red", "red is not a value. Strings need quotes"),
        ("paint.colour =", "The value cannot be read"),
        (
            "paint.width = (1, 2",
            "EOF in multi-line statement. Close all brackets and quotes.",
        ),
        ("WIDTH 5", "expected ':' or '='. A line is one statement: NAME = value."),
        ("import os", "do not import"),
    ],
)
def test_mistakes_in_bindings(binding, message):
    with pytest.raises(UserError) as error:
        config.load(["paint.gin"], [binding])
    assert str(error.value).startswith(f'--gin_bindings="{binding}": ')
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_mistakes_in_files_name_the_line(tmp_path):
    (tmp_path / "bad.gin").write_text("include 'paint.gin'\n\npaint.widht = 3\n")
    with pytest.raises(UserError, match=r"^bad.gin:3: .*Did you mean width\?"):
        config.load(["bad.gin"])


def test_missing_files():
    with pytest.raises(UserError, match="There is no gin file voc.gin"):
        config.load(["voc.gin"])


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("gin_configs/voc_1-17.gin", "voc_1-16.gin"),
        ("voc_1-16_unimatc.gin", "unimatch/voc_1-16.gin"),
        ("unimatch/voc_1-16_supervised", "supervised/voc_1-16_unimatch.gin"),
    ],
)
def test_the_closest_file_has_the_same_words(wrong, right):
    with pytest.raises(UserError, match=f"Did you mean {right}[?] The experiments are"):
        config.load([wrong])


def test_a_file_that_had_its_method_in_its_name_is_found(tmp_path, capsys):
    """Users' own files include it."""
    own = tmp_path / "own.gin"
    own.write_text("include 'shapes_supervised.gin'\nDATA_DIR = 'data'\n")
    config.load([str(own)])
    note = "note: shapes_supervised.gin is now supervised/shapes.gin."
    assert capsys.readouterr().err.splitlines() == [note]
    assert config.find_file("gin_configs/voc_1-16_unimatch_r50.gin", [""]).endswith(
        "gin_configs/unimatch/voc_1-16_r50.gin"
    )


def test_a_run_is_named_after_the_file_and_its_folder():
    named = {path: config.experiment_name(path) for path in config.experiments()}
    assert len(set(named.values())) == len(named)
    assert named["voc_1-16.gin"] == "voc_1-16"
    assert named["supervised/voc_1-16_u2pl.gin"] == "voc_1-16_u2pl_supervised"
    assert config.experiment_name("/home/me/gin_configs/voc_1-16.gin") == "voc_1-16"
    assert config.experiment_name("../mine/./voc.gin") == "voc"
    assert config.experiment_name("./voc.gin") == config.experiment_name("../voc.gin")
    assert config.experiment_name("gs://bucket/voc.gin") == "voc"


def test_includes_are_found_in_the_folder_above(tmp_path):
    (tmp_path / "green").mkdir()
    shutil.move(tmp_path / "paint.gin", tmp_path / "green" / "paint.gin")
    config.load(["green/paint.gin"])
    assert paint() == ("red", 3)
    (tmp_path / "base" / "paint.gin").rename(tmp_path / "green" / "own.gin")
    (tmp_path / "green" / "paint.gin").write_text("include 'own.gin'\nWIDTH = 4\n")
    config.load([str(tmp_path / "green" / "paint.gin")])
    assert paint() == ("blue", 4)


def test_missing_includes_name_the_line(tmp_path):
    (tmp_path / "bad.gin").write_text("include 'nothing.gin'\n")
    with pytest.raises(UserError, match="^bad.gin:1: There is no gin file nothing.gin"):
        config.load(["bad.gin"])


def test_a_file_that_includes_itself(tmp_path):
    (tmp_path / "loop.gin").write_text("include 'loop.gin'\n")
    with pytest.raises(UserError, match="loop.gin:1: the file includes itself"):
        config.load(["loop.gin"])


def test_an_experiment_without_its_first_include(tmp_path):
    bad = "include 'base/shapes.gin'\ninclude 'base/supervised.gin'\n"
    (tmp_path / "bad.gin").write_text(bad + "LABELED_SPLIT = '1-32'\n")
    with pytest.raises(UserError) as error:
        config.load(["bad.gin"])
    advice = "Let the experiment's file begin with include 'base/experiment.gin'."
    assert str(error.value).endswith(f"nothing uses the macro MODEL_VARIANT. {advice}")


def test_defaults_never_replace_what_was_set(tmp_path):
    (tmp_path / "base" / "several.gin").write_text("SYNC_BATCH_NORM = True\n")
    late = "include 'base/several.gin'\ninclude 'base/experiment.gin'\n"
    (tmp_path / "bad.gin").write_text(late)
    with pytest.raises(UserError) as error:
        config.load(["bad.gin"])
    assert str(error.value) == (
        "bad.gin:2: base/experiment.gin sets macros to their defaults, and "
        "SYNC_BATCH_NORM has its value from base/several.gin:1 already. Include "
        "base/experiment.gin first."
    )


def test_macros_that_are_auto_are_chosen():
    def choose(macros):
        assert macros.keys() == {"WIDTH"}
        return {"WIDTH": 6 if macros["WIDTH"] == "auto" else macros["WIDTH"]}

    config.load(["paint.gin"], ["WIDTH = 'auto'"], choose)
    assert paint() == ("red", 6) and "WIDTH = 6" in config.text()
    config.load(["paint.gin"], ["WIDTH = 5"], choose)
    assert paint() == ("red", 5)


def test_auto_is_offered_where_it_is_chosen():
    def choose(macros):
        return {name: macros[name] for name in ("CROP_SIZE", "MODEL_VARIANT")}

    def load(binding):
        with pytest.raises(UserError) as error:
            config.load(["shapes.gin"], [binding], choose)
        return str(error.value)

    assert load("CROP_SIZE = 'wide'").endswith("from 1 to 16385, or 'auto'.")
    assert (
        load("MODEL_VARIANT = 3") == "MODEL_VARIANT = 3: it has to be a text in quotes."
    )
    assert load("BATCH_SIZE = 'auto'").endswith("a whole number from 1 to 65536.")
