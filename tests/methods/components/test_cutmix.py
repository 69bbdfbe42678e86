"""Parts of images that show another image."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.components import cutmix


def seeds_of(count):
    return tf.stack([tf.zeros([count], tf.int32), tf.range(count)], 1)


@pytest.fixture(scope="module")
def boxes():
    return cutmix.draw_boxes(seeds_of(200), (60, 90), probability=0.75).numpy()


def test_boxes_are_rectangles_of_the_area_that_was_asked_for(boxes):
    drawn = boxes[boxes.any((1, 2))]
    assert 0.65 < len(drawn) / 200 < 0.85
    for box in drawn:
        rows, columns = box.any(1), box.any(0)
        np.testing.assert_array_equal(box, rows[:, np.newaxis] & columns)
        assert np.diff(np.flatnonzero(rows)).max(initial=1) == 1
        height, width = rows.sum(), columns.sum()
        assert 0.2 <= height / width <= 4.5
        # Whole pixels are a little less than what was drawn.
        assert 0.01 < box.mean() <= 0.4
    assert drawn.mean((1, 2)).max() > 0.3


def test_boxes_lie_anywhere(boxes):
    covered = boxes.mean(0)
    assert covered[5:-5, 5:-5].min() > 0 and covered[20:40, 30:60].min() > 0.1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_boxes_are_the_same_compiled_and_in_any_batch(jit_compile, boxes):
    draw = tf.function(
        lambda seeds: cutmix.draw_boxes(seeds, (60, 90), probability=0.75),
        jit_compile=jit_compile,
    )
    np.testing.assert_array_equal(draw(seeds_of(200)[40:43]), boxes[40:43])


def test_paste_shows_the_next_image():
    boxes = tf.constant([[[True, False]], [[False, False]], [[True, True]]])
    labels = tf.constant([[[1, 1]], [[2, 2]], [[3, 3]]])
    expected = [[[2, 1]], [[2, 2]], [[1, 1]]]
    assert cutmix.paste(boxes, labels).numpy().tolist() == expected
    images = tf.tile(labels[..., tf.newaxis], [1, 1, 1, 3])
    pasted = cutmix.paste(boxes, images).numpy()
    assert all(pasted[..., c].tolist() == expected for c in range(3))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_rectangles_cover_half_the_image_anywhere(jit_compile):
    draw = tf.function(cutmix.draw_half_boxes, jit_compile=jit_compile, autograph=False)
    size = (31, 40)
    boxes = draw(seeds_of(20), size).numpy()
    for box in boxes:
        rows, columns = np.any(box, 1), np.any(box, 0)
        np.testing.assert_array_equal(box, rows[:, np.newaxis] & columns)
        assert 21 <= columns.sum() < 40
        # Rows are a whole number.
        assert abs(box.sum() - 31 * 40 / 2) <= columns.sum() / 2
    assert len({box.tobytes() for box in boxes}) >= 18


def test_rectangles_reach_every_edge():
    boxes = cutmix.draw_half_boxes(seeds_of(60), (9, 12)).numpy()
    for edge in (boxes[:, 0], boxes[:, -1], boxes[:, :, 0], boxes[:, :, -1]):
        assert 0.1 < np.mean(np.any(edge, 1)) < 0.95


def test_half_of_the_classes():
    labels = np.full([60, 4, 5], 255, np.int32)
    labels[:, :3] = np.arange(15).reshape(3, 5) % 5  # 5 of 7 classes.
    parts = cutmix.draw_half_classes(seeds_of(60), tf.constant(labels), 7).numpy()
    assert not np.any(parts[:, 3])
    chosen = [frozenset(image[part]) for image, part in zip(labels, parts)]
    assert {len(classes) for classes in chosen} == {2}
    assert len(set(chosen)) == 10  # Every pair comes up.
    for image, part, classes in zip(labels, parts, chosen):
        np.testing.assert_array_equal(part, np.isin(image, list(classes)))
