"""What computes a network: arrays in, arrays out. A runtime's library is imported when it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.ocr.model_folder import Ranges

# OpenVINO's telemetry forks the process to send a web request. From a thread that gevent does not know, the
# child never ends and keeps a copy of the models. None makes its import fail: OpenVINO is prepared for that.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

Runtime = Literal["openvino", "onnxruntime"]
Precision = Literal["auto", "f32", "bf16", "int8"]
Floats = NDArray[np.float32]
Classes = NDArray[np.intp]
Shape = tuple[int, ...]
Outputs = tuple[NDArray[Any], ...]


class Network(Protocol):
    """Safe to call from several threads at once.

    runtime: what computes it and in which precision, for people.
    """

    runtime: str

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        """The outputs for each input, in order. Shapes may differ; inputs are taken as they are needed."""

    def prepare(self, shape: Shape) -> None:
        """Do now what is done once for inputs of this shape, so that no read has to wait for it.

        It may be incomplete where the network runs meanwhile.
        """


class Classifier(Protocol):
    """A network whose only output is the probability of each class (last axis), made by softmax."""

    def among(self, classes: Classes) -> Network:
        """The same network, but as if these classes were all that it knew: an exact restriction.

        Its outputs are, for each step, where in `classes` the most probable one stands, and its probability.
        """


def open_network(
    runtime: Runtime, onnx: Path, *, precision: Precision, cores: int, kernel_cache: int
) -> Network:
    """precision: what OpenVINO computes in. cores: how many the network may use, all of them for one input.

    kernel_cache: how many kernels OpenVINO keeps that it made for shapes seen before; memory against time.
    Raises ModelError where the processor lacks the precision.
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
    """cores: how many the network may use; OpenVINO computes an input on each, at the same time.

    ranges: what OpenVINO's int8 needs. Raises ModelError where they are missing for it, and where the
    processor lacks the precision.
    """
    if runtime == "openvino":
        from app.ocr.runtimes.openvino_classifier import OpenVinoClassifier

        return OpenVinoClassifier(
            onnx, ranges=ranges, precision=precision, cores=cores, kernel_cache=kernel_cache
        )
    from app.ocr.runtimes.onnxruntime import OnnxRuntimeClassifier

    return OnnxRuntimeClassifier(onnx, cores=cores)
