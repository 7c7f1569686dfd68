"""What computes a network: arrays in, arrays out. A runtime's library is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Runtime = Literal["openvino", "onnxruntime"]
Floats = NDArray[np.float32]
Outputs = tuple[NDArray[Any], ...]


class Network(Protocol):
    """Safe to call from several threads at once."""

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        """The outputs for each input, in order. Shapes may differ; inputs are taken as they are needed."""


def open_network(
    runtime: Runtime,
    onnx: Path,
    *,
    cores: int,
    streams: int = 1,
    best_class: bool = False,
    kernel_cache: int = 500,
) -> Network:
    """cores: how many the network may use. streams: how many inputs it computes at once, sharing these cores.

    best_class: for an output of class probabilities (last axis) return the index of the most probable class,
    and its probability, instead of all of them.

    kernel_cache: how many kernels OpenVINO keeps that it made for shapes seen before; memory against time.
    """
    if runtime == "openvino":
        from app.ocr.runtimes.openvino import OpenVinoNetwork

        return OpenVinoNetwork(
            onnx, cores=cores, streams=streams, best_class=best_class, kernel_cache=kernel_cache
        )
    from app.ocr.runtimes.onnxruntime import OnnxRuntimeNetwork

    return OnnxRuntimeNetwork(onnx, cores=cores, best_class=best_class)
