"""U2PL on a tiny network: schedules, teacher, banks, replicas, XLA, restarts."""

import functools

import gin
import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny
from tests.training.test_replicas import TOLERANCE
from tests.training.test_train_step import lower
from wss.errors import UserError
from wss.methods.u2pl import U2PL
from wss.models.batch_norm import collect_batch_statistics
from wss.models.tf1_checkpoint import named_variables

LOSSES = {"supervised", "unsupervised", "contrastive"}
BANKS = {
    "depth": 8,
    "queries": 4,
    "negatives": 3,
    "new_keys": 16,
    "bank_capacity": 40,
    "first_bank_capacity": 60,
}


@pytest.fixture(autouse=True)
def small_banks():
    for name, value in BANKS.items():
        gin.bind_parameter(f"Contrast.{name}", value)


def make(**options):
    """A method whose networks are confident, so that there are anchors."""
    method = tiny.make_method(U2PL, **options)
    for network in (method, method.teacher):
        for name, variable in named_variables(network).items():
            if name.endswith("moving_variance"):
                variable.assign(tf.fill(variable.shape, 0.3))
            if name == "logits/semantic/weights":
                variable.assign(50.0 * variable)
    return method


def make_batches(steps, batch=2):
    """Bright pixels have later classes, so that there is something to learn."""
    batches = tiny.make_batches(steps, batch)
    for part, image in (("labeled", "image"), ("unlabeled", "weak")):
        brightness = tf.reduce_mean(batches[part][image], -1)
        label = tf.clip_by_value((brightness - 75.0) / 25.0, 0.0, tiny.CLASSES - 1)
        known = batches[part]["valid"] > 0
        batches[part]["label"] = tf.where(known, tf.cast(label, tf.int32), 255)
    return batches


def run(method, batch, step=1):
    with collect_batch_statistics():
        step = tf.constant(step, tf.int64)
        return tiny.merged(
            method.compute_losses(
                batch, step, step / 20, 0, method.loss_normalizers(batch)
            )
        )


def update(method, output, step=1):
    kept = {name: value[tf.newaxis] for name, value in output.aux.items()}
    method.on_update_end(tf.constant(step, tf.int64), kept)


@pytest.fixture(scope="module")
def batch():
    return tf.nest.map_structure(lambda x: x[0], make_batches(1))


def test_the_labels_alone_teach_in_the_warm_up(batch):
    method = make(warm_up_steps=2)
    warm, learning = run(method, batch, step=1), run(method, batch, step=2)
    assert set(warm.losses) == set(learning.losses) == LOSSES
    assert warm.losses["supervised"] == learning.losses["supervised"] > 0
    assert warm.losses["unsupervised"] == 0 < learning.losses["unsupervised"]
    assert not np.any(warm.aux["present"])
    update(method, learning, step=2)
    assert run(method, batch, step=1).losses["contrastive"] == 0
    assert run(method, batch, step=2).losses["contrastive"] > 0


def test_banks_get_the_teachers_rows_behind_the_step(batch):
    method = make()
    output = run(method, batch)
    counts = np.sum(output.aux["present"], axis=1)
    assert np.sum(counts) > 0 and np.max(counts) <= BANKS["new_keys"]
    assert not np.any(method.contrast.bank.sizes)
    update(method, output)
    np.testing.assert_array_equal(method.contrast.bank.sizes, counts)
    ages = tf.tile(tf.range(BANKS["new_keys"], dtype=tf.int64)[tf.newaxis], [4, 1])
    rows = method.contrast.bank.take(ages).numpy()
    for c in range(tiny.CLASSES):
        present = output.aux["present"][c].numpy() > 0
        expected = output.aux["keys"][c].numpy()[present]
        np.testing.assert_array_equal(rows[c, : len(expected)], expected)


@pytest.mark.parametrize("statistics", ["average", "own"])
def test_the_teacher_follows(batch, statistics):
    method = make(teacher_statistics=statistics, warm_up_steps=5)
    student, teacher = named_variables(method), named_variables(method.teacher)
    assert student.keys() == teacher.keys()
    assert not {v.ref() for v in method.variables} & {v.ref() for v in teacher.values()}
    output = run(method, batch)
    for values, value in ((student, 3.0), (teacher, 1.0)):
        for variable in values.values():
            variable.assign(tf.fill(variable.shape, value))
    update(method, output, step=8)  # Keeps 1 - 1 / 4.
    for variable in teacher.values():
        moves = variable.trainable or statistics == "average"
        expected = 0.75 * 1.0 + 0.25 * 3.0 if moves else 1.0
        np.testing.assert_allclose(variable, tf.fill(variable.shape, expected))
    update(method, output, step=5)  # The end of the warm-up.
    for variable in teacher.values():
        np.testing.assert_array_equal(variable, tf.fill(variable.shape, 3.0))


@pytest.mark.parametrize(
    "options",
    [
        {"mixing": "cutout", "mixing_probability": 1.0},
        {"mixing": "classmix", "mixing_probability": 1.0},
        {"teacher_statistics": "own", "mixing": "none"},
    ],
    ids=str,
)
def test_choices(batch, options):
    output = run(make(**options), batch)
    assert all(np.isfinite(loss) for loss in output.losses.values())
    assert output.losses["unsupervised"] > 0
    hidden = np.mean(output.images["unlabeled/pseudo_label"].tensor == 255)
    padding = 1.0 - np.mean(batch["unlabeled"]["valid"])
    if options["mixing"] == "cutout":
        assert hidden > padding + 0.2
    else:
        assert abs(hidden - padding) < 0.3


def test_an_auxiliary_head_learns_the_labels_alone(batch):
    plain, method = make(), make(auxiliary_weight=0.4)
    new = named_variables(method).keys() - named_variables(plain).keys()
    assert {"auxiliary/conv/weights", "auxiliary/outputs/biases"} <= new
    regularized = {v.ref() for v in method.regularized_variables}
    assert named_variables(method)["auxiliary/conv/weights"].ref() in regularized
    losses = run(method, batch).losses
    assert set(losses) == LOSSES | {"auxiliary"}
    # Logits near 0: all classes are about equally likely.
    np.testing.assert_allclose(
        losses["auxiliary"], 0.4 * np.log(tiny.CLASSES), rtol=0.1
    )
    labeled = {**batch["labeled"]}
    labeled["label"] = tf.fill(labeled["label"].shape, 255)
    assert run(method, {**batch, "labeled": labeled}).losses["auxiliary"] == 0
    with tf.GradientTape() as tape:
        loss = run(method, batch).losses["auxiliary"]
    named = named_variables(method)
    names = ["auxiliary/conv/weights", "plain/conv3/weights", "plain/conv4/weights"]
    gradients = tape.gradient(loss, [named[name] for name in names])
    assert all(np.any(g) for g in gradients[:2]) and gradients[2] is None


def test_unknown_choices_are_told():
    with pytest.raises(UserError, match="mixing = 'mixup': it has to be one of cutmix"):
        make(mixing="mixup")
    gin.bind_parameter("Contrast.negative_rule", "none")
    with pytest.raises(UserError, match="Contrast.negative_rule = 'none'"):
        make()


def test_labels_of_unlabeled_images_reach_no_loss(batch):
    method = make()
    before = run(method, batch).losses
    unlabeled = {**batch["unlabeled"]}
    unlabeled["label"] = tf.zeros_like(unlabeled["label"])
    after = run(method, {**batch, "unlabeled": unlabeled}).losses
    assert {n: float(v) for n, v in before.items()} == {
        n: float(v) for n, v in after.items()
    }


def test_two_classes(batch, monkeypatch):
    monkeypatch.setattr(tiny, "CLASSES", 2)
    method = make()
    batch = {name: dict(part) for name, part in batch.items()}
    label = batch["labeled"]["label"]
    batch["labeled"]["label"] = tf.where(label == 255, 255, label // 2)
    update(method, run(method, batch))
    assert np.all(method.contrast.bank.sizes > 0)
    loss = run(method, batch).losses["contrastive"]
    assert 0 < loss < 0.1 * np.log(1 + 3 * np.exp(4.0))


def test_graph_equals_eager(batch):
    method = make()
    update(method, run(method, batch))
    eager = run(method, batch).losses
    graph = tf.function(lambda b: run(method, b).losses, autograph=False)(batch)
    for name in LOSSES:
        np.testing.assert_allclose(graph[name], eager[name], rtol=1e-4)


def test_the_whole_step_is_one_computation_of_xla(batch):
    make_all = functools.partial(make, auxiliary_weight=0.4)
    assert lower(tiny.make_step(method=make_all), batch).count(" convolution(") > 60


@pytest.mark.usefixtures("unoptimized")
def test_portions_are_to_one_device_what_replicas_are_to_several(two_cpus):
    batches, results = make_batches(4, batch=4), []
    for strategy, portions in ((tiny.one_device(), 2), (two_cpus, 1)):
        step = tiny.make_step(strategy, make, accumulation_steps=portions)
        # Micro-batches cannot see later ones; replicas can count together.
        step._shares_counts = False
        curves, changes = tiny.train(step, batches, strategy)
        others = [v.numpy() for v in step._method.other_variables]
        results.append((curves, changes, others))
    (curves, changes, others), (curves2, changes2, others2) = results
    assert curves["losses/contrastive"][-1] > 0
    for tag in curves:
        tolerance = TOLERANCE if tag.startswith("losses/") else 1e-3
        np.testing.assert_allclose(curves[tag], curves2[tag], atol=tolerance)
    for name, change in changes.items():
        tolerance = 1e-2 * np.max(np.abs(change)) + 3e-7
        np.testing.assert_allclose(change, changes2[name], rtol=0, atol=tolerance)
    assert others[-1].tolist() == others2[-1].tolist()  # Rows that were pushed.
    for value, value2 in zip(others, others2):
        np.testing.assert_allclose(value, value2, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("unoptimized")
def test_replicas_divide_by_what_all_of_them_counted(two_cpus):
    """Without mixing and unreliable pixels, two replicas equal one."""
    options = dict(unreliable_percent=0.0, contrastive_weight=0.0, mixing="none")
    batches, curves = make_batches(3, batch=4), []
    for strategy in (tiny.one_device(), two_cpus):
        step = tiny.make_step(
            strategy, functools.partial(make, **options), cross_replica_statistics=True
        )
        curves.append(tiny.train(step, batches, strategy)[0])
    single, pair = (found["losses/unsupervised"] for found in curves)
    assert np.all(single[1:] > 0)
    # Each replica leaves out its least reliable pixel.
    np.testing.assert_allclose(pair, single, rtol=5e-3)


def test_a_restart_goes_on_bit_for_bit_and_losses_fall(tmp_path):
    """All state that survives a step is in the checkpoint."""
    step = tiny.make_step(method=lambda: make(warm_up_steps=4))
    method = step._method
    items = {"model": method.model, "method": method, "optimizer": step.optimizer}
    saver = tf.train.Checkpoint(step=step.step, **items)
    batches = make_batches(12)
    first = tiny.train(step, tf.nest.map_structure(lambda x: x[:8], batches))[0]
    path = saver.write(str(tmp_path / "ckpt"))
    rest = tf.nest.map_structure(lambda x: x[8:], batches)
    undisturbed = tiny.train(step, rest)
    state = [v.numpy() for v in method.other_variables]
    saver.read(path).assert_consumed()
    resumed = tiny.train(step, rest)
    assert undisturbed[0]["losses/contrastive"].min() > 0
    for before, after in zip(undisturbed, resumed):
        for name, value in before.items():
            np.testing.assert_array_equal(value, after[name], err_msg=name)
    for value, variable in zip(state, method.other_variables):
        np.testing.assert_array_equal(value, variable)
    supervised = first["losses/supervised"]
    assert np.mean(undisturbed[0]["losses/supervised"]) < supervised[0]
    assert np.all(first["losses/unsupervised"][:4] == 0)
