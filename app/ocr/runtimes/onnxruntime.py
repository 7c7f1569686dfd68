"""ONNX Runtime: for CUDA, and for processors that OpenVINO does not support."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime

from app.ocr.runtimes import Classes, Floats, Network, Outputs, Shape

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # by preference
TINY = np.finfo(np.float32).tiny


class OnnxRuntimeNetwork:
    def __init__(self, onnx: Path, *, cores: int) -> None:
        self._session = onnxruntime.InferenceSession(
            str(onnx), _options(cores), [p for p in PROVIDERS if p in onnxruntime.get_available_providers()]
        )
        self._input = self._session.get_inputs()[0].name
        self.runtime = f"onnxruntime f32, {self._session.get_providers()[0]}"

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        return [tuple(self._session.run(None, {self._input: array})) for array in inputs]

    def prepare(self, shape: Shape) -> None:
        """Nothing to do: the kernels fit any shape."""


class OnnxRuntimeClassifier:
    def __init__(self, onnx: Path, *, cores: int) -> None:
        self._network = OnnxRuntimeNetwork(onnx, cores=cores)

    def among(self, classes: Classes) -> Network:
        return _Among(self._network, classes)


class _Among:
    """Restricts the output, because ONNX Runtime cannot change the graph: exact, but without saving time.

    Probabilities divided by their sum equal the softmax over these classes alone.
    """

    def __init__(self, network: OnnxRuntimeNetwork, classes: Classes) -> None:
        self.runtime = network.runtime
        self._network = network
        self._classes = classes

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        return [self._best(self._network.run([array])[0][0]) for array in inputs]

    def prepare(self, shape: Shape) -> None:
        self._network.prepare(shape)

    def _best(self, probabilities: Floats) -> Outputs:
        if len(self._classes) < probabilities.shape[-1]:
            probabilities = probabilities[..., self._classes]
            total = probabilities.sum(axis=-1, keepdims=True)
            probabilities /= np.maximum(total, TINY)
        return probabilities.argmax(axis=-1), probabilities.max(axis=-1)


def metadata(onnx: Path) -> dict[str, str]:
    """The metadata of an ONNX file, for example a recognition model's characters."""
    session = onnxruntime.InferenceSession(str(onnx), _options(1), ["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


def _options(cores: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.inter_op_num_threads = 1
    # Spinning idle threads would take cores from other threads that read pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena never frees the memory of the largest picture.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return options
