"""Convolutions in 8-bit integers.

Their inputs are rounded to 256 steps over a range that was measured once, on other pictures; their weights to
255 steps, each output channel by its own largest. Where OpenVINO finds such a FakeQuantize on both sides of a
convolution it computes it in integers (Jacob et al., 2018). Everything else stays as precise as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino
from openvino import opset13 as ops

from app.ocr.model_folder import ModelError, Ranges
from app.ocr.tensor import Floats

LEVELS = 256
WEIGHT_LEVELS = 255  # one less, so that both signs reach as far
# Of fewer channels a convolution has little to do, and much to lose: the first ones see the picture itself.
MIN_CHANNELS = 32


def quantised(model: openvino.Model, ranges: Ranges) -> openvino.Model:
    """The model itself, changed. ranges: smallest and largest input of each convolution, by its name.

    Raises ModelError if they are of another model.
    """
    for convolution in quantisable(model):
        name = convolution.get_friendly_name()
        if name not in ranges:
            raise ModelError(f"no range was measured for {name}: run `python -m bench.calibrate`")
        values, weights = convolution.input_values()
        convolution.input(0).replace_source_output(_rounded_values(values, *ranges[name]))
        convolution.input(1).replace_source_output(_rounded_weights(weights))
    model.validate_nodes_and_infer_types()
    return model


def quantisable(model: openvino.Model) -> Iterator[openvino.Node]:
    """The convolutions over lines of text; those over one pixel, a channel's weight, take no time."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            channels, width = (node.input_value(0).get_partial_shape()[axis] for axis in (1, 3))
            if channels.get_length() >= MIN_CHANNELS and width.is_dynamic:
                yield node


def _rounded_values(values: openvino.Output, low: float, high: float) -> openvino.Output:
    """Zero is one of the steps: the padding around a picture must stay what it is."""
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
