"""Counts the floating point operations of convolutions and matrix products in a graph.

A multiplication and an addition are two operations.
"""

from typing import Callable, Optional

import numpy as np
import tensorflow as tf

Shape = Optional[tuple[int, ...]]


def of_graph(graph: tf.Graph, repeats: int = 1) -> float:
    """The operations of a whole graph.

    Args:
      graph: must have static shapes.
      repeats: number of iterations of each of its loops.
    """
    definition = graph.as_graph_def(add_shapes=True)
    return _Counter(definition.library, repeats).of_nodes(definition.node, {})


def of_round(graph: tf.Graph, repeats: int = 1) -> float:
    """Like `of_graph`, for one iteration of the graph's only loop."""
    definition = graph.as_graph_def(add_shapes=True)
    (loop,) = [node for node in definition.node if node.op.endswith("While")]
    counter = _Counter(definition.library, repeats)
    return counter.of_library(loop.attr["body"].func.name)


class _Counter:
    """Adds up the operations of nodes and of the functions that they call."""

    # A class, because closures that call each other would keep the whole library in
    # memory until the garbage collector runs.

    def __init__(self, library, repeats: int):
        self._library = {f.signature.name: f for f in library.function}
        self._repeats = repeats
        self._seen: dict[str, float] = {}

    def of_nodes(self, nodes, arguments: dict[str, list[Shape]]) -> float:
        shapes = dict(arguments)
        for node in nodes:
            shapes[node.name] = _shapes(node.attr)
        operations = 0.0
        for node in nodes:
            inputs = [_look_up(shapes, name) for name in node.input]
            outputs = shapes[node.name]
            operations += _operations(node, inputs, outputs)
            for called in _called(node):
                times = self._repeats if node.op.endswith("While") else 1
                operations += times * self.of_library(called)
        return operations

    def of_library(self, name: str) -> float:
        if name not in self._seen and name in self._library:
            body = self._library[name]
            arguments = {
                argument.name: _shapes(body.arg_attr[index].attr)
                for index, argument in enumerate(body.signature.input_arg)
            }
            self._seen[name] = self.of_nodes(body.node_def, arguments)
        return self._seen.get(name, 0.0)


def of_forward_pass(model: Callable, size: tuple[int, int]) -> float:
    """The operations of the network on one image of `size` (height, width)."""
    images = tf.TensorSpec([1, *size, 3], tf.float32)
    function = tf.function(lambda images: model(images, training=False))
    return of_graph(function.get_concrete_function(images).graph)


def _operations(node, inputs: list[Shape], outputs: list[Shape]) -> float:
    """The operations of one node; 0 if it is cheap or a shape is unknown."""
    output = outputs[0] if outputs else None
    kernel = inputs[1] if len(inputs) > 1 else None
    gradient = inputs[2] if len(inputs) > 2 else None
    if node.op == "Conv2D" and kernel:
        return 2 * _size(output) * np.prod(kernel[:3])
    if node.op == "Conv2DBackpropInput" and kernel:
        return 2 * _size(gradient) * np.prod(kernel[:3])
    if node.op == "Conv2DBackpropFilter" and output:
        return 2 * _size(gradient) * np.prod(output[:3])
    if node.op == "DepthwiseConv2dNative" and kernel:
        return 2 * _size(output) * np.prod(kernel[:2])
    if node.op == "DepthwiseConv2dNativeBackpropInput" and kernel:
        return 2 * _size(gradient) * np.prod(kernel[:2])
    if node.op == "DepthwiseConv2dNativeBackpropFilter" and output:
        return 2 * _size(gradient) * np.prod(output[:2])
    if node.op in ("MatMul", "BatchMatMul", "BatchMatMulV2") and inputs[0]:
        transposed = node.attr["transpose_a"].b or node.attr["adj_x"].b
        return 2 * _size(output) * inputs[0][-2 if transposed else -1]
    return 0.0


def _called(node) -> list[str]:
    """Names of the functions that a node calls; of a condition, the first branch."""
    if node.op in ("If", "StatelessIf"):
        return [node.attr["then_branch"].func.name]
    if node.op in ("While", "StatelessWhile"):
        return [node.attr["body"].func.name]
    if "f" in node.attr and node.op.endswith("PartitionedCall"):
        return [node.attr["f"].func.name]
    return []


def _shapes(attributes) -> list[Shape]:
    if "_output_shapes" not in attributes:
        return []
    return [
        (
            None
            if shape.unknown_rank or any(side.size < 0 for side in shape.dim)
            else tuple(side.size for side in shape.dim)
        )
        for shape in attributes["_output_shapes"].list.shape
    ]


def _look_up(shapes: dict[str, list[Shape]], name: str) -> Shape:
    """Shape of the input "node", "node:1" or, in functions, "node:output:0"."""
    node, *place = name.split(":")
    found = shapes.get(node, [])
    index = int(place[-1]) if place else 0
    return found[index] if index < len(found) else None


def _size(shape: Shape) -> float:
    return float(np.prod(shape)) if shape else 0.0
