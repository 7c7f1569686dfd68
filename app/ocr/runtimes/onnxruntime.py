"""ONNX Runtime: for CUDA, and for processors that OpenVINO does not know."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnxruntime

from app.ocr.runtimes import Floats, Outputs

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # by preference


class OnnxRuntimeNetwork:
    def __init__(self, onnx: Path, *, cores: int, best_class: bool) -> None:
        self._session = onnxruntime.InferenceSession(
            str(onnx), _options(cores), [p for p in PROVIDERS if p in onnxruntime.get_available_providers()]
        )
        self._input = self._session.get_inputs()[0].name
        self._best_class = best_class

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        return [self._run_one(array) for array in inputs]

    def _run_one(self, array: Floats) -> Outputs:
        (output,) = self._session.run(None, {self._input: array})
        if self._best_class:
            return output.argmax(axis=-1), output.max(axis=-1)
        return (output,)


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
