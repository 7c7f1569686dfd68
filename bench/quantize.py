"""Quantise a model to INT8 with NNCF; runs in an environment of its own, which has NNCF and none of the app.

    python bench/quantize.py MODEL.onnx INPUTS.npz FOLDER

Writes OpenVINO's own format, although under the name that a model folder has for ONNX: OpenVINO tells them
apart by what is in them. NNCF's ONNX files cannot be used: OpenVINO 2026.4 refuses them in bfloat16, and
computes them in float32 slower than the original.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would send what is done here

import nncf  # noqa: E402
import numpy as np  # noqa: E402
import openvino  # noqa: E402


def main() -> None:
    source, inputs, folder = map(Path, sys.argv[1:])
    model = openvino.Core().read_model(source)
    with np.load(inputs) as arrays:
        quantised = nncf.quantize(
            model,
            nncf.Dataset([arrays[key] for key in arrays]),
            preset=nncf.QuantizationPreset.MIXED,  # activations may be asymmetric: there is more than ReLU
            subset_size=len(arrays.files),
            ignored_scope=nncf.IgnoredScope(names=last_layer(model), validate=False),
        )
    openvino.save_model(quantised, folder / "inference.xml", compress_to_fp16=False)
    (folder / "inference.xml").rename(folder / "inference.onnx")  # beside inference.bin


def last_layer(model: openvino.Model) -> list[str]:
    """The product before a softmax: the engine cuts it off and computes it apart. Detection has none."""
    node = model.get_results()[0].input_value(0).get_node()
    if node.get_type_name() != "Softmax":
        return []
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    return [node.get_friendly_name()]


if __name__ == "__main__":
    main()
