"""Quantise convolutions to 8-bit integers (Jacob et al., 2018).

Inputs are rounded to 256 levels over a range measured in advance, weights to 255 levels, scaled per output
channel. OpenVINO computes a convolution in integers if both of its inputs are a FakeQuantize. All other
operations keep their precision.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino
from openvino import opset13 as ops

from app.ocr.model_folder import ModelError, Ranges
from app.ocr.tensor import Floats

LEVELS = 256
WEIGHT_LEVELS = 255  # odd, so that positive and negative weights have the same range
# Convolutions of fewer channels take little time and lose much accuracy: the first ones see the image itself.
MIN_CHANNELS = 32


def quantised(model: openvino.Model, ranges: Ranges) -> openvino.Model:
    """Change the model in place and return it. Raises ModelError if ranges lack one of its convolutions."""
    for convolution in quantisable(model):
        name = convolution.get_friendly_name()
        if name not in ranges:
            raise ModelError(f"ranges.json has no range for {name}: run `python -m bench.calibrate`")
        values, weights = convolution.input_values()
        convolution.input(0).replace_source_output(_rounded_values(values, *ranges[name]))
        convolution.input(1).replace_source_output(_rounded_weights(weights))
    model.validate_nodes_and_infer_types()
    return model


def quantisable(model: openvino.Model) -> Iterator[openvino.Node]:
    """The convolutions over text lines. Those over a single pixel (channel attention) take no time."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            channels, width = (node.input_value(0).get_partial_shape()[axis] for axis in (1, 3))
            if channels.get_length() >= MIN_CHANNELS and width.is_dynamic:
                yield node


def _rounded_values(values: openvino.Output, low: float, high: float) -> openvino.Output:
    """Zero is one of the levels, so that padding stays zero."""
    step = (max(high, 0.0) - min(low, 0.0)) / (LEVELS - 1)
    begin = round(min(low, 0.0) / step) * step
    ends = [
        ops.constant(np.full((1, 1, 1, 1), end, np.float32)) for end in (begin, begin + step * (LEVELS - 1))
    ]
    return ops.fake_quantize(values, *ends, *ends, LEVELS).output(0)


def _rounded_weights(weights: openvino.Output) -> openvino.Output:
    largest: Floats = np.abs(weights.get_node().data).max(axis=(1, 2, 3), keepdims=True).astype(np.float32)
    largest[largest == 0] = 1
    ends = [ops.constant(-largest), ops.constant(largest)]
    return ops.fake_quantize(weights, *ends, *ends, WEIGHT_LEVELS).output(0)
