"""Inference runtimes: arrays in, arrays out. Only the chosen runtime's library is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.ocr.model_folder import Ranges

# OpenVINO's telemetry forks the process to send a web request. Forked from a native thread under gevent, the
# child never ends and keeps a copy of the models. None makes the import fail, which OpenVINO tolerates.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

Runtime = Literal["openvino", "onnxruntime"]
Precision = Literal["auto", "f32", "bf16", "int8"]
Floats = NDArray[np.float32]
Classes = NDArray[np.intp]
Shape = tuple[int, ...]
Outputs = tuple[NDArray[Any], ...]


class Network(Protocol):
    """Thread-safe. runtime: name of the runtime and its precision, for display."""

    runtime: str

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        """The outputs of each input, in order. Shapes may differ; inputs are consumed lazily."""

    def prepare(self, shape: Shape) -> None:
        """Do the one-time work for inputs of this shape in advance, so that no read waits for it.

        It may be incomplete if the network is in use at the same time.
        """


class Classifier(Protocol):
    """A network whose only output is softmax: the probability of each class (last axis)."""

    def among(self, classes: Classes) -> Network:
        """The network with its softmax restricted to these classes.

        It outputs for each step the index in `classes` of the most probable class, and its probability.
        """


def open_network(
    runtime: Runtime, onnx: Path, *, precision: Precision, cores: int, kernel_cache: int
) -> Network:
    """precision: for OpenVINO. cores: CPU cores, all of which compute one input.

    kernel_cache: kernels that OpenVINO keeps for known shapes; more save time and cost memory.
    Raises ModelError if the processor does not support the precision.
    """
    if runtime == "openvino":
        from app.ocr.runtimes.openvino import OpenVinoNetwork, read_model

        return OpenVinoNetwork(
            read_model(onnx), precision=precision, cores=cores, streams=1, kernel_cache=kernel_cache
        )
    from app.ocr.runtimes.onnxruntime import OnnxRuntimeNetwork

    return OnnxRuntimeNetwork(onnx, cores=cores)


def open_classifier(
    runtime: Runtime,
    onnx: Path,
    *,
    ranges: Ranges | None,
    precision: Precision,
    cores: int,
    kernel_cache: int,
) -> Classifier:
    """cores: CPU cores; OpenVINO computes one input per core, in parallel. ranges: needed for int8.

    Raises ModelError if int8 has no ranges, or the processor does not support the precision.
    """
    if runtime == "openvino":
        from app.ocr.runtimes.openvino_classifier import OpenVinoClassifier

        return OpenVinoClassifier(
            onnx, ranges=ranges, precision=precision, cores=cores, kernel_cache=kernel_cache
        )
    from app.ocr.runtimes.onnxruntime import OnnxRuntimeClassifier

    return OnnxRuntimeClassifier(onnx, cores=cores)
