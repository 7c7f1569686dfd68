"""OpenVINO: the fastest on processors by Intel and AMD."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

# OpenVINO's telemetry forks the process to send a web request. From a thread that gevent does not know, the
# child never ends and keeps a copy of the models. None makes its import fail: OpenVINO is prepared for that.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402
from openvino import opset13 as ops  # noqa: E402

from app.ocr.runtimes import Floats, Outputs  # noqa: E402


class OpenVinoNetwork:
    def __init__(self, onnx: Path, *, cores: int, streams: int, best_class: bool, kernel_cache: int) -> None:
        core = openvino.Core()
        model = core.read_model(str(onnx))
        if best_class:
            model = _with_best_class(model)
        # The precision is OpenVINO's choice: bfloat16 where the processor multiplies it natively, else
        # float32. On real receipts both reach a word F1 of 0.89, and bfloat16 takes half the time.
        options = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": cores,
            # Not in OpenVINO's documents. With its 5,000 a worker grows to 2 GB over pictures of mixed sizes.
            "CPU_RUNTIME_CACHE_CAPACITY": kernel_cache,
        }
        self._compiled = core.compile_model(model, "CPU", options)
        self._in_flight = streams + 1  # one waits, so that no stream does
        # A request must not be shared between threads. Taking from a deque and giving back is atomic, and
        # unlike a queue it has no lock for gevent to replace.
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
    """In the graph, so that two numbers a step leave it and not one for each of 18,710 classes."""
    probabilities = model.get_results()[0].input_value(0)
    best = ops.topk(probabilities, ops.constant(np.int64(1)), axis=-1, mode="max", sort="none")
    last = ops.constant(np.int64(-1))
    outputs = [ops.squeeze(best.output(1), last), ops.squeeze(best.output(0), last)]
    return openvino.Model(outputs, model.get_parameters())
