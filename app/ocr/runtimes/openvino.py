"""OpenVINO: the fastest on processors by Intel and AMD."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

# OpenVINO's telemetry forks the process to send a web request. From a thread that gevent does not know, the child never
# ends and keeps a copy of the models. None makes the import fail, and OpenVINO then works without it.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino
from openvino import opset13 as ops

from app.ocr.runtimes import Floats, Outputs


class OpenVinoNetwork:
    def __init__(self, onnx: Path, *, cores: int, streams: int, best_class: bool) -> None:
        core = openvino.Core()
        model = core.read_model(str(onnx))
        if best_class:
            model = _with_best_class(model)
        self._compiled = core.compile_model(
            model,
            "CPU",
            {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": cores, **__import__("json").loads(__import__("os").environ.get("OVCFG","{}"))},
        )
        self._in_flight = streams + 1
        # A request must not be shared between threads. Taking from and giving to a deque is atomic, and unlike a queue
        # it has no lock that gevent could have replaced.
        self._idle: deque[openvino.InferRequest] = deque()

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        outputs: list[Outputs] = []
        running: deque[openvino.InferRequest] = deque()
        for array in inputs:
            if len(running) == self._in_flight:
                outputs.append(self._finish(running.popleft()))
            request = self._take()
            request.start_async({0: array}, share_inputs=True)
            running.append(request)
        outputs.extend(self._finish(request) for request in running)
        return outputs

    def _take(self) -> openvino.InferRequest:
        try:
            return self._idle.pop()
        except IndexError:
            return self._compiled.create_infer_request()

    def _finish(self, request: openvino.InferRequest) -> Outputs:
        request.wait()
        outputs = tuple(np.array(tensor.data) for tensor in request.output_tensors)
        self._idle.append(request)
        return outputs


def _with_best_class(model: openvino.Model) -> openvino.Model:
    """Two numbers a step leave the graph instead of one for each of 18,710 classes."""
    best = ops.topk(model.get_results()[0].input_value(0), ops.constant(np.int64(1)), axis=-1, mode="max", sort="none")
    axis = ops.constant(np.int64(-1))
    return openvino.Model(
        [ops.squeeze(best.output(1), axis), ops.squeeze(best.output(0), axis)], model.get_parameters()
    )
