import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from wss.data import input_pipeline, parsing, sampling
from wss.data.input_pipeline import Split
from wss.errors import UserError

CROP = (33, 33)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards")
    records.write_split(path, "labeled", [3, 2])
    records.write_split(path, "unlabeled", [4, 3], with_mask=False, start=100)
    return str(path)


def training(data_dir, steps, **options):
    """The first batches, as numpy."""
    options = {"crop_size": CROP, "batch_size": 2, "seed": 1, **options}
    unlabeled = options.pop("unlabeled", Split(data_dir, "unlabeled"))
    dataset = input_pipeline.training_batches(
        Split(data_dir, "labeled"), unlabeled, spec=records.SPEC, **options
    )
    return list(dataset.take(steps).as_numpy_iterator())


def assert_same(first, second):
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


def test_layout(data_dir):
    dataset = input_pipeline.training_batches(
        Split(data_dir, "labeled"),
        Split(data_dir, "unlabeled"),
        spec=records.SPEC,
        crop_size=CROP,
        batch_size=2,
    )
    layout = tf.nest.map_structure(
        lambda part: (tuple(part.shape), part.dtype.name), dataset.element_spec
    )
    # Otherwise several workers get batches of unknown size.
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    image, mask = ((2, 33, 33, 3), "float32"), ((2, 33, 33), "float32")
    label, classes = ((2, 33, 33), "int32"), ((2, 2), "float32")
    position = ((2,), "int64")
    assert layout == {
        "labeled": {
            "image": image,
            "label": label,
            "valid": mask,
            "image_labels": classes,
            "position": position,
        },
        "unlabeled": {
            "weak": image,
            "strong": image,
            "label": label,
            "valid": mask,
            "image_labels": classes,
            "position": position,
        },
    }
    batch = next(dataset.as_numpy_iterator())
    assert (batch["unlabeled"]["label"] == 255).all()
    assert not batch["unlabeled"]["image_labels"].any()
    assert batch["labeled"]["image_labels"].any()
    assert list(batch["labeled"]["position"]) == [0, 1]


def test_no_unlabeled_part_for_the_baseline(data_dir):
    assert list(training(data_dir, 1, unlabeled=None)[0]) == ["labeled"]


def test_restart_continues_exactly(data_dir):
    """Over several epochs of 5 and 7 records in batches of 2."""
    undisturbed = training(data_dir, 13)
    for start in (2, 11):
        assert_same(
            undisturbed[start:], training(data_dir, 13 - start, start_step=start)
        )


def test_seed_and_stream_decide(data_dir):
    """The same records as labeled and unlabeled split are not drawn alike."""
    options = {"unlabeled": Split(data_dir, "labeled"), "strong_augmentation": ()}
    first = training(data_dir, 1, seed=1, **options)[0]
    second = training(data_dir, 1, seed=2, **options)[0]
    assert (first["labeled"]["image"] != second["labeled"]["image"]).any()
    assert (first["labeled"]["image"] != first["unlabeled"]["weak"]).any()


def test_every_epoch_is_another_permutation():
    visits = sampling.visits(5, tf.constant([3, 4], tf.int64), 0).take(60)
    positions, visited = map(np.array, zip(*visits.as_numpy_iterator()))
    np.testing.assert_array_equal(positions, np.arange(60))
    epochs = visited.reshape(12, 5)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(5), (12, 1)))
    assert len(np.unique(epochs, axis=0)) > 6
    later = sampling.visits(5, tf.constant([3, 4], tf.int64), 12).take(48)
    assert_same(np.array(list(later.as_numpy_iterator())).T[1], visited[12:])


@pytest.mark.parametrize("pipelines, replicas", [(1, 2), (2, 4)])
def test_global_batch_does_not_depend_on_the_workers(data_dir, pipelines, replicas):
    options = {"batch_size": 4, "start_step": 1, "unlabeled": None}
    whole = training(data_dir, 3, **options)
    local = replicas // pipelines
    workers = [
        training(
            data_dir,
            3 * local,
            **options,
            input_context=tf.distribute.InputContext(pipelines, worker, replicas),
        )
        for worker in range(pipelines)
    ]
    for step in range(3):
        parts = [
            batch
            for worker in workers
            for batch in worker[step * local : (step + 1) * local]
        ]
        joined = tf.nest.map_structure(lambda *part: np.concatenate(part), *parts)
        assert_same(whole[step], joined)


def test_batch_must_divide_over_replicas(data_dir):
    with pytest.raises(UserError, match="BATCH_SIZE = 3 .* over 2 replicas"):
        context = tf.distribute.InputContext(1, 0, 2)
        training(data_dir, 1, batch_size=3, input_context=context)


def test_policies_are_chosen_by_name(data_dir):
    plain = training(data_dir, 2, strong_augmentation=())
    hidden = training(data_dir, 2, strong_augmentation="cutout")
    for batch, other in zip(plain, hidden):
        part = batch["unlabeled"]
        np.testing.assert_array_equal(part["weak"], part["strong"])
        np.testing.assert_array_equal(part["weak"], other["unlabeled"]["weak"])
        # A hole of 100 pixels covers any crop of 33 whose center is in it.
        assert not other["unlabeled"]["valid"][:, 16, 16].any()
    with pytest.raises(UserError, match="Unknown strong augmentation 'typo'"):
        training(data_dir, 1, strong_augmentation=("typo",))


def test_labeled_split_without_masks(data_dir):
    dataset = input_pipeline.training_batches(
        Split(data_dir, "unlabeled"),
        None,
        spec=records.SPEC,
        crop_size=CROP,
        batch_size=1,
    )
    with pytest.raises(UserError, match="Image 1.. has no mask"), parsing.user_errors():
        next(iter(dataset))


def test_evaluation_visits_every_image_once(data_dir):
    dataset = input_pipeline.evaluation_batches(data_dir, "labeled", spec=records.SPEC)
    batches = list(dataset.as_numpy_iterator())
    assert [batch["name"][0] for batch in batches] == [b"0", b"1", b"2", b"3", b"4"]
    for number, batch in enumerate(batches):
        np.testing.assert_array_equal(batch["image"][0], records.image(number))
        np.testing.assert_array_equal(batch["label"][0], records.label(number))


@pytest.mark.parametrize("name", ["max_resize", "resize_factor"])
def test_a_limit_of_resizing_is_not_dropped_without_resizing(data_dir, name):
    with pytest.raises(
        UserError, match="need evaluation_batches.min_resize. Set it too"
    ):
        input_pipeline.evaluation_batches(
            data_dir, "labeled", spec=records.SPEC, **{name: 8}
        )


def test_labels_that_are_no_class_stop_the_training(tmp_path):
    broken = records.example(
        ENCODED=records.png(records.image(0)),
        FILENAME=b"odd",
        LABEL_ENCODED=records.png(np.full([24, 30, 1], 7, np.uint8)),
    )
    path = str(tmp_path / "labeled-00000-of-00001.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(broken)
    message = (
        r"The mask of image odd has the label 7, which is neither a class of made_up"
    )
    with pytest.raises(UserError, match=message), parsing.user_errors():
        training(str(tmp_path), 1, batch_size=1, unlabeled=None)
