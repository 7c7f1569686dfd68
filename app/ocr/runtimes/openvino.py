"""OpenVINO: the fastest runtime on Intel and AMD processors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import openvino

from app.ocr.model_folder import ModelError
from app.ocr.runtimes import Floats, Outputs, Precision, Shape


class OpenVinoNetwork:
    def __init__(
        self, model: openvino.Model, *, precision: Precision, cores: int, streams: int, kernel_cache: int
    ) -> None:
        options: dict[str, int | str] = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": cores,
            # Undocumented. With the default of 5,000, a worker grows to 2 GB over pictures of mixed sizes.
            "CPU_RUNTIME_CACHE_CAPACITY": kernel_cache,
        }
        core = openvino.Core()
        # By default OpenVINO uses bfloat16 where the processor supports it, otherwise float32. If asked for
        # bfloat16, it emulates bfloat16 on any processor with AVX-512, which is not faster.
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ModelError("this processor does not support precision bf16: choose auto or f32")
        if precision in ("f32", "bf16"):
            options["INFERENCE_PRECISION_HINT"] = precision
        self._compiled = core.compile_model(model, "CPU", options)
        self.runtime = f"openvino {self._compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name()}"
        self._streams = streams
        self._in_flight = streams + 1  # one request waits, so that no stream idles
        # Threads must not share a request. A deque's pop and append are atomic, and a deque has no lock that
        # gevent would replace.
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

    def prepare(self, shape: Shape) -> None:
        """Run one input per stream, because each stream builds its own kernels.

        A fast stream may take two inputs, so that another stream stays unprepared.
        """
        self.run([np.zeros(shape, np.float32)] * self._streams)

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


def read_model(onnx: Path) -> openvino.Model:
    return openvino.Core().read_model(str(onnx))
