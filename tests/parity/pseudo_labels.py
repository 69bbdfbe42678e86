"""Grad-CAM, self-attention and fusion against the original's."""

import contextlib
from unittest import mock

import gin
import numpy as np
import tensorflow as tf

from tests.parity.common import (
    INFERENCE_TOLERANCE,
    LOSS_TOLERANCE,
    Check,
    Golden,
    compare_names,
    fill_weights,
    perturbed,
)
from tests.parity.forward import build_model
from tests.training import tiny
from wss.methods import pseudoseg
from wss.methods.base import StepOutput
from wss.methods.components import refined_grad_cam
from wss.methods.components.self_attention import SelfAttention
from wss.models import deeplab
from wss.models.batch_norm import collect_batch_statistics
from wss.models.tf1_checkpoint import named_variables


def check_unit(golden: Golden) -> list[Check]:
    """Compares on synthetic end points, with a classifier of arbitrary gradient."""
    features, low = golden["F16"], golden["F15"]
    image_labels, gradient = golden["cls_label"], golden["A"]
    maps = refined_grad_cam.gradient_class_activation_maps(
        tf.constant(features), lambda c: tf.constant(gradient[..., c]), image_labels
    )
    checks = [
        golden.compare(
            "v2_noatt_train__cam", refined_grad_cam.with_background(maps), 1e-5
        ),
        golden.compare("v1_noatt_train__cam", maps, 1e-5),
    ]
    end_points = [tf.constant(features), tf.constant(low)]
    for version, mode in ((2, "train"), (2, "infer"), (1, "train")):
        checks += _check_attention(golden, version, mode, end_points, maps)
    for factor, method in ((1, "nearest"), (2, "nearest"), (2, "bilinear")):
        attention = _attention(
            golden,
            end_points,
            golden["value_logits"].shape[-1],
            key_downsampling=factor,
            downsample_method=method,
        )
        logits = attention(
            end_points,
            golden["value_logits"],
            golden["valid_mask"][..., 0],
            training=False,
        )
        key = f"selfatt_linformer{int(factor > 1)}_{method}"
        checks.append(golden.compare(key, logits, INFERENCE_TOLERANCE))
    return checks


def _attention(golden: Golden, end_points, values, **options) -> SelfAttention:
    attention = SelfAttention(
        golden.meta.get("num_class", golden.meta.get("num_classes")),
        attention_dim=golden.meta["attention_dim"],
        **options,
    )
    attention.build(sum(x.shape[-1] for x in end_points), values)
    fill_weights(named_variables(attention))
    return attention


def _check_attention(golden: Golden, version, mode, end_points, maps) -> list[Check]:
    prefix = f"v{version}_att_{mode}"
    attention = _attention(golden, end_points, maps.shape[-1], version=version)
    variables = named_variables(attention)
    with tf.GradientTape() as tape:
        logits = attention(
            end_points, maps, golden["valid_mask"][..., 0], training=mode == "train"
        )
        target = tf.reduce_sum(logits * golden["R"])
    gradients = tape.gradient(target, variables)
    shown = refined_grad_cam.with_background(maps) if version == 2 else maps
    checks = [
        golden.compare(f"{prefix}__cam", shown, 1e-5),
        golden.compare(f"{prefix}__att_logits", logits, INFERENCE_TOLERANCE),
        compare_names(
            f"{prefix}__var_names",
            list(variables),
            golden.names(f"{prefix}__var_names"),
        ),
    ]
    for name, variable in variables.items():
        for kind, value in (("grad", gradients[name]), ("after_update", variable)):
            if (key := f"{prefix}__{kind}__{name}") in golden:
                checks.append(golden.compare(key, value, 1e-3))
    return checks


def check_network(golden: Golden) -> list[Check]:
    """Compares after a real backbone, in inference and train mode."""
    meta = golden.meta
    model = build_model(meta)
    valid = golden["valid"].astype(np.float32)
    mean_pixel = np.array(deeplab.mean_pixel(meta["model_variant"]), np.float32)
    images = tf.constant(np.where(valid > 0, golden["images"], mean_pixel))
    fill_weights(named_variables(model))
    checks = []
    for mode in ("infer", "train"):
        outputs = _network_outputs(golden, model, images, valid[..., 0], mode)
        noise = _network_noise(golden, model, images, valid[..., 0], mode, outputs)
        for key, output in outputs.items():
            checks.append(
                golden.compare(key, output, INFERENCE_TOLERANCE, noise=noise[key])
            )
    return checks


def _network_noise(golden, model, images, valid, mode, outputs):
    """The effect of rounding on each output, measured by the original and by us.

    Train-mode batch norm amplifies it, so one draw of the noise says little.
    """
    noise = {}
    for key in outputs:
        prefix, _, kind = key.partition("__")
        stored = golden.meta.get(f"{prefix}_perturb_1e-6_max_abs_diff", [0.0, 0.0])
        noise[key] = stored[0] if kind == "cam" else stored[1]
    if mode == "infer":
        return noise
    variables = named_variables(model)
    random = np.random.RandomState(0)
    for variable in variables.values():
        variable.assign(perturbed(variable, random))
    noisy = _network_outputs(golden, model, perturbed(images, random), valid, mode)
    fill_weights(variables)
    return {
        key: max(noise[key], float(np.max(np.abs(noisy[key] - outputs[key]))))
        for key in outputs
    }


def _network_outputs(golden, model, images, valid, mode):
    """Maps and attention logits by the golden's keys, for all choices of end points."""
    mask = None
    stored = [key for key in golden.keys if key.startswith("dropmask__")]
    if mode == "train" and stored:
        keep = golden.meta[stored[0].replace("dropmask__", "keep_prob__")]
        mask = tf.constant(golden[stored[0]].astype(np.float32) / keep)
    strides = {
        prefix: sorted(map(int, prefix.split("_")[2].split("-")), reverse=True)
        for prefix in sorted({key.split("__")[0] for key in golden.keys})
        if prefix.startswith(f"{mode}_")
    }
    deepest = {model.backbone.strides[first] for first, *_ in strides.values()}
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        with collect_batch_statistics(), _watched(model.backbone, deepest, tape):
            end_points = model.backbone(images, training=mode == "train")
        per_class = tf.unstack(model.classify(end_points, mask), axis=1)
    outputs = {}
    for prefix, of_prefix in strides.items():
        version = prefix.split("_")[1]
        features = [model.end_point(end_points, stride) for stride in of_prefix]
        if features[0] is model.features(end_points):
            maps = refined_grad_cam.class_activation_maps(
                features[0], model.classifier_kernel, golden["cls_label"], mask
            )
        else:
            maps = refined_grad_cam.gradient_class_activation_maps(
                features[0],
                lambda c, x=features[0]: tape.gradient(per_class[c], x),
                golden["cls_label"],
            )
        attention = _attention(
            golden, features, maps.shape[-1], version=int(version[1])
        )
        logits = attention(features, maps, tf.constant(valid))
        shown = refined_grad_cam.with_background(maps) if version == "v2" else maps
        outputs[f"{prefix}__cam"] = shown.numpy()
        outputs[f"{prefix}__att_logits"] = logits.numpy()
    return outputs


@contextlib.contextmanager
def _watched(backbone, names, tape):
    """Watches what some of the backbone's blocks give, and nothing before it.

    With the images watched instead, the gradient of each class would be computed
    through the whole network.
    """
    last = {modules[-1] for name, modules in backbone.blocks if name in names}
    call_module = backbone.call_module

    def call(module, *arguments):
        outputs = call_module(module, *arguments)
        if module in last:
            tape.watch(outputs)
        return outputs

    with mock.patch.object(backbone, "call_module", call):
        yield


# The original's names of the losses, by prefix.
LOSSES = {
    "loss_cls": "classifier",
    "loss_consistency": "consistency",
    "semantic": "supervised",
    "self-attention": "attention",
}


def our_loss(name: str) -> str:
    """Our name of one of the original's losses."""
    return next(ours for theirs, ours in LOSSES.items() if name.startswith(theirs))


class _GivenNetworks:
    """A model and an attention whose outputs are read from the golden file.

    An "image" is a string that names the requested pass.
    """

    def __init__(self, golden: Golden, weakly: bool):
        self.weakly = weakly
        self.inputs = {
            key[len("in__") :]: tf.constant(golden[key])
            for key in golden.keys
            if key.startswith("in__")
        }
        self.num_classes = golden.meta["num_classes"]
        self.classifier_kernel = tf.zeros([1, self.num_classes - 1])
        self.used_valid = {}

    def backbone(self, images, training=False):
        return images if training or images != "weak" else "weak_inference"

    def segment(self, end_points, training, dropout_seeds):
        return self.inputs[f"logits_{end_points}"]

    def classify(self, end_points, dropout_mask=None):
        name = {"weak_inference": "infer", "weak": "train", "seg": "seg"}[end_points]
        # With image-level labels any pass that trains the classifier reads the same.
        if self.weakly and name == "seg":
            name = "train"
        return self.inputs[f"cls_logits_{name}"]

    def dropout_mask(self, seeds):
        return None

    def end_point(self, end_points, stride):
        return end_points

    def features(self, end_points):
        return end_points

    def attention(self, hypercolumn, maps, valid, training):
        name = "labeled" if hypercolumn[0] == "seg" else "weak"
        self.used_valid[name] = valid
        return self.inputs[f"att_cam_{name}"]


def check_fusion(golden: Golden) -> list[Check]:
    """Compares the method after its networks, in every variation of the flags."""
    checks = []
    for index, variation in enumerate(golden.meta["variations"]):
        flags = {**golden.meta["flags_default"], **variation}
        checks += _check_variation(golden, f"v{index:02d}__", flags)
    return checks


def _bind(flags) -> None:
    """The original's flags as our gin bindings."""
    bindings = {
        "fuse.temperature": flags["temperature"],
        "fuse.source": {"avg": "average", "att": "attention"}[flags["pseudo_src"]],
        "fuse.normalize_over": "batch" if flags["logit_norm"] else "none",
        "fuse.soft": flags["soft_pseudo_label"],
        "fuse.threshold": flags["pseudo_label_threshold"],
        "softmax_cross_entropy.upsample_logits": flags["upsample_logits"],
        "softmax_cross_entropy.top_k_fraction": flags["top_k_percent_pixels"],
        "softmax_cross_entropy.class_weights": flags.get("label_weights"),
    }
    for name, value in bindings.items():
        gin.bind_parameter(name, value)


def _batch(inputs):
    def images(suffix):
        return {
            "label": inputs[f"label{suffix}"][..., 0],
            "valid": tf.cast(inputs[f"valid{suffix}"][..., 0], tf.float32),
            "image_labels": inputs[f"cls_label{suffix}"],
        }

    return {
        "labeled": {"image": "seg", **images("_seg")},
        "unlabeled": {"weak": "weak", "strong": "strong", **images("")},
    }


def _check_variation(golden: Golden, prefix: str, flags) -> list[Check]:
    networks = _GivenNetworks(golden, flags["weakly"])
    fused, used_labels = [], []

    def maps(features, kernel, image_labels, dropout_mask=None):
        if features != "seg":
            used_labels.append(image_labels)
        return networks.inputs["cam_weak"][..., 1:]

    def fuse(*args, original=pseudoseg.fuse):
        fused.append(original(*args))
        return fused[0]

    gin.clear_config()
    _bind(flags)
    method = pseudoseg.PseudoSeg(
        networks,
        golden.meta["ignore_label"],
        weakly=flags["weakly"],
        classifier_on_unlabeled=flags["cls_with_cls"],
        unlabeled_weight=flags["unlabeled_weight"],
        use_attention=flags["use_attention"],
    )
    if flags["use_attention"]:
        method.grad_cam.attention = networks.attention
    with mock.patch.object(
        refined_grad_cam, "class_activation_maps", maps
    ), mock.patch.object(pseudoseg, "fuse", fuse), mock.patch.object(
        pseudoseg, "draw_seeds", lambda *_: None
    ), tf.GradientTape() as tape:
        tape.watch(networks.inputs)
        step = tf.constant(0, tf.int64)
        batch = _batch(networks.inputs)
        output = tiny.merged(
            method.compute_losses(
                batch, step, progress=0.0, seed=0, loss_normalizers={}
            )
        )
        total = tf.add_n(list(output.losses.values()))
    gin.clear_config()
    gradients = tape.gradient(total, networks.inputs)

    checks = _compare_losses_and_gradients(golden, prefix, output.losses, gradients)
    compared = _pseudo_labels(fused[0].probabilities, output, flags)
    if used_labels:
        compared["image_level_label_used_weak"] = used_labels[0]
    for name, valid in networks.used_valid.items():
        compared[f"valid_mask_used_{name}"] = valid[..., tf.newaxis]
    return checks + [
        golden.compare(prefix + key, value, LOSS_TOLERANCE)
        for key, value in compared.items()
        if prefix + key in golden
    ]


def _pseudo_labels(probabilities: tf.Tensor, output: StepOutput, flags) -> dict:
    """The pseudo labels and their monitors, by the original's names."""
    if flags["soft_pseudo_label"]:
        pseudo_labels = tf.reshape(probabilities, [-1, probabilities.shape[-1]])
    else:
        pseudo_labels = tf.reshape(tf.argmax(probabilities, -1), [-1])
    compared = {"pseudo_label": pseudo_labels}
    for theirs, ours in (
        ("max_prob_weak", "decoder"),
        ("max_att_prob_weak", "attention"),
        ("max_prob_avg", "fused"),
        ("max_prob_avg_t", "sharpened"),
    ):
        compared[theirs] = output.histograms.get(f"confidence/{ours}")
    # Without a threshold the ratio is 1, and we have no curve of it.
    ratio = output.monitors.get("mask_ratio")
    compared["valid_ratio"] = 1.0 if ratio is None else ratio.result()
    return compared


def _compare_losses_and_gradients(golden, prefix, losses, gradients) -> list[Check]:
    checks = []
    start = f"{prefix}loss__"
    reference = [key for key in golden.keys if key.startswith(start)]
    checks.append(
        compare_names(
            f"{prefix}loss_names",
            list(losses),
            [our_loss(key[len(start) :]) for key in reference],
        )
    )
    for key in sorted(reference):
        loss = losses.get(our_loss(key[len(start) :]), np.nan)
        checks.append(golden.compare(key, loss, LOSS_TOLERANCE))
    without = golden.meta["none_grads"][prefix]
    checks.append(
        Check(
            f"{prefix}no_gradient",
            float(sum(gradients[name] is not None for name in without)),
            0.0,
        )
    )
    for name, gradient in gradients.items():
        if (key := f"{prefix}grad__{name}") in golden:
            gradient = np.nan if gradient is None else gradient
            checks.append(golden.compare(key, gradient, LOSS_TOLERANCE))
    return checks
