"""A classification network, split into its last layer and the backbone before it.

The last layer of PP-OCR's recognition has 18,710 classes. It computes the steps of all lines together, in
blocks of one shape: this takes half the time of line by line, and less memory. All restrictions to some
classes share the backbone and add only a small last layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino
from openvino import opset13 as ops

from app.ocr.model_folder import ModelError, Ranges
from app.ocr.runtimes import Classes, Floats, Network, Outputs, Precision, Shape
from app.ocr.runtimes.openvino import OpenVinoNetwork, read_model
from app.ocr.runtimes.openvino_int8 import quantised
from app.ocr.runtimes.processor import prefers_int8
from app.ocr.tensor import round_up

# Steps in a block. From 32 to 256, time differs by less than a tenth, and memory grows.
BLOCK = 64


class LastLayer(NamedTuple):
    """probabilities = softmax(features @ weights + bias). weights: [features, classes]."""

    weights: Floats
    bias: Floats

    def among(self, classes: Classes) -> LastLayer:
        return LastLayer(np.ascontiguousarray(self.weights[:, classes]), self.bias[classes])

    def model(self) -> openvino.Model:
        """Features [BLOCK, n] -> the best class of each step and its probability."""
        features = ops.parameter([BLOCK, len(self.weights)], np.float32)
        product = ops.matmul(features, ops.constant(self.weights), transpose_a=False, transpose_b=False)
        probabilities = ops.softmax(ops.add(product, ops.constant(self.bias)), axis=-1)
        best = ops.topk(probabilities, ops.constant(np.int64(1)), axis=-1, mode="max", sort="none")
        return openvino.Model([best.output(1), best.output(0)], [features])


class OpenVinoClassifier:
    def __init__(
        self, onnx: Path, *, ranges: Ranges | None, precision: Precision, cores: int, kernel_cache: int
    ) -> None:
        self._open = partial(OpenVinoNetwork, precision=precision, cores=cores, streams=cores)
        backbone, self._last_layer = split_last_layer(onnx)
        int8 = precision == "int8" or (precision == "auto" and ranges is not None and prefers_int8())
        if int8:
            if ranges is None:
                raise ModelError(f"{onnx.parent} has no ranges.json, which int8 needs: choose auto or f32")
            backbone = quantised(backbone, ranges)
        self._backbone = self._open(backbone, kernel_cache=kernel_cache)
        self._runtime = self._backbone.runtime + (", int8" if int8 else "")

    def among(self, classes: Classes) -> Network:
        layer = self._last_layer.among(classes).model()
        return _Among(self._runtime, self._backbone, self._open(layer, kernel_cache=1))


class _Among:
    def __init__(self, runtime: str, backbone: OpenVinoNetwork, last_layer: OpenVinoNetwork) -> None:
        self.runtime = runtime
        self._backbone = backbone
        self._last_layer = last_layer

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        lines = [features[0] for (features,) in self._backbone.run(inputs)]
        if not lines:
            return []
        ends = np.cumsum([len(line) for line in lines])
        steps = np.zeros((round_up(int(ends[-1]), BLOCK), lines[0].shape[1]), np.float32)
        np.concatenate(lines, out=steps[: ends[-1]])
        blocks = self._last_layer.run(np.split(steps, len(steps) // BLOCK))
        classes, scores = (np.concatenate(parts)[:, 0] for parts in zip(*blocks, strict=True))
        return [(classes[None, a:b], scores[None, a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]

    def prepare(self, shape: Shape) -> None:
        self._backbone.prepare(shape)


def split_last_layer(onnx: Path) -> tuple[openvino.Model, LastLayer]:
    """The backbone, whose output is the features, and the last layer. Raises ModelError if there is none."""
    model = read_model(onnx)
    softmax = model.get_results()[0].input_value(0).get_node()
    add = _input_of(softmax)
    product = _input_of(add)
    if [node.get_type_name() for node in (softmax, add, product)] != ["Softmax", "Add", "MatMul"]:
        raise ModelError(f"{onnx} is not a CTC network: it does not end in MatMul, Add and Softmax")
    weights, bias = (node.input_value(1).get_node().data for node in (product, add))
    if product.get_attributes()["transpose_b"]:
        weights = weights.T
    return openvino.Model([product.input_value(0)], model.get_parameters()), LastLayer(weights, bias)


def _input_of(node: openvino.Node) -> openvino.Node:
    node = node.input_value(0).get_node()
    return _input_of(node) if node.get_type_name() == "Identity" else node
