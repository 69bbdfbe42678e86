"""Paths that TensorFlow takes for patterns when it reads checkpoints."""

import pytest
import tensorflow as tf

from wss.errors import UserError
from wss.files import paths


@pytest.mark.parametrize("name", ["a[b]", "a\\b", "a*b", "a?b"])
def test_patterns_are_refused(name):
    with pytest.raises(UserError, match=r"^--model_dir '.*'.* rename") as error:
        paths.check("--model_dir", f"runs/{name}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a]b", "a{b}", "a\nb", "a b,c=%20", "'ä\"$#~:"])
def test_what_is_accepted_can_be_read_back(tmp_path, name):
    path = str(tmp_path / name / "ckpt")
    paths.check("--model_dir", path)
    saved, restored = tf.Variable([1.0, 2.0]), tf.Variable([0.0, 0.0])
    tf.train.Checkpoint(v=saved).write(path)
    tf.train.Checkpoint(v=restored).read(path).assert_consumed()
    assert restored.numpy().tolist() == [1.0, 2.0]
