"""ONNX Runtime: for CUDA, and for processors that OpenVINO does not know."""

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
        """Its kernels are made for any shape."""


class OnnxRuntimeClassifier:
    def __init__(self, onnx: Path, *, cores: int) -> None:
        self._network = OnnxRuntimeNetwork(onnx, cores=cores)

    def among(self, classes: Classes) -> Network:
        return _Among(self._network, classes)


class _Among:
    """Restricts afterwards: the graph cannot be changed here. As exact, and it saves no time.

    Probabilities divided by their sum are what softmax makes of these classes alone.
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
    """What the exporter wrote beside the graph, for instance the characters of a recognition model."""
    session = onnxruntime.InferenceSession(str(onnx), _options(1), ["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


def _options(cores: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.inter_op_num_threads = 1
    # Idle threads would otherwise spin, and take the cores from the other threads that read pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena keeps the memory of the largest picture for ever.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return options
