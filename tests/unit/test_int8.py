"""8-bit convolutions: what is rounded, and that it hardly shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.ocr.model_folder import ModelError, Ranges, load_recognition
from app.ocr.models import RANGES
from app.ocr.recognize import NORMALIZE
from app.ocr.runtimes import open_classifier, processor
from app.ocr.runtimes.openvino_classifier import split_last_layer
from app.ocr.runtimes.openvino_int8 import LEVELS, WEIGHT_LEVELS, quantisable, quantised
from samples.draw import numbered

MODEL = "PP-OCRv6_small_rec"


@pytest.fixture(scope="module")
def onnx(models_dir: Path) -> Path:
    return models_dir / MODEL / "inference.onnx"


@pytest.fixture(scope="module")
def ranges() -> Ranges:
    measured: Ranges = json.loads((RANGES / f"{MODEL}.json").read_text())
    return measured


def test_a_pulled_model_has_its_ranges(models_dir: Path, ranges: Ranges) -> None:
    assert load_recognition(models_dir, MODEL).ranges == {name: tuple(ends) for name, ends in ranges.items()}


def test_the_ranges_are_of_all_convolutions_over_lines_and_of_no_others(onnx: Path, ranges: Ranges) -> None:
    assert [node.get_friendly_name() for node in quantisable(split_last_layer(onnx)[0])] == list(ranges)


def test_both_sides_of_each_convolution_are_rounded(onnx: Path, ranges: Ranges) -> None:
    model = quantised(split_last_layer(onnx)[0], ranges)
    for convolution in quantisable(model):
        values, weights = (value.get_node() for value in convolution.input_values())
        assert (values.get_levels(), weights.get_levels()) == (LEVELS, WEIGHT_LEVELS)
        low, high = (values.input_value(n).get_node().data.item() for n in (1, 2))
        step = (high - low) / (LEVELS - 1)
        assert low / step == pytest.approx(round(low / step), abs=1e-3)  # zero is one of the steps
        name = convolution.get_friendly_name()
        assert (low, high) == pytest.approx(ranges[name], abs=1.01 * step)


def test_a_line_reads_as_in_float32(onnx: Path, ranges: Ranges) -> None:
    drawn = numbered(2468).image
    drawn = drawn.resize((drawn.width * 48 // drawn.height, 48))
    line = NORMALIZE(np.asarray(drawn), height=48, width=drawn.width)
    exact, rounded = (
        open_classifier("openvino", onnx, ranges=ranges, precision=precision, cores=1, kernel_cache=10)
        .among(np.arange(18_710))
        .run([line])[0]
        for precision in ("f32", "int8")
    )
    assert (rounded[0] == exact[0]).all()
    assert rounded[1] == pytest.approx(exact[1], abs=0.2)
    assert (rounded[1] != exact[1]).any()


def test_a_model_without_ranges_is_refused_for_int8_and_read_otherwise(onnx: Path) -> None:
    with pytest.raises(ModelError, match=r"ranges\.json"):
        open_classifier("openvino", onnx, ranges=None, precision="int8", cores=1, kernel_cache=10)
    open_classifier("openvino", onnx, ranges=None, precision="auto", cores=1, kernel_cache=10)


def test_ranges_of_another_model_are_refused(onnx: Path) -> None:
    with pytest.raises(ModelError, match=r"ranges.json has no range for Conv\.1: "):
        open_classifier("openvino", onnx, ranges={}, precision="int8", cores=1, kernel_cache=10)


@pytest.mark.parametrize(
    ("extensions", "preferred"),
    [
        ({"avx2"}, False),
        ({"avx2", "avx_vnni"}, True),
        ({"avx512f", "avx512_vnni", "avx512_bf16"}, True),
        ({"avx512f", "avx512_vnni", "amx_bf16", "amx_int8"}, False),
    ],
)
def test_auto_takes_int8_where_it_is_the_fastest(
    monkeypatch: pytest.MonkeyPatch, extensions: set[str], preferred: bool
) -> None:
    monkeypatch.setattr(processor, "extensions", lambda: frozenset(extensions))
    assert processor.prefers_int8() is preferred
