"""What the models compute in: it can be chosen, is told, and is never silently another."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.ocr.model_folder import ModelError
from app.ocr.runtimes.processor import prefers_int8
from app.wiring.engine import build_engine
from config.settings import EngineSettings


@pytest.fixture(scope="module")
def native_bf16() -> bool:
    """Whether OpenVINO says that this processor computes in bfloat16."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def computes_in(models_dir: Path, **choice: str) -> str:
    return build_engine(EngineSettings(models_dir=models_dir, **choice)).runtime


def test_auto_takes_no_precision_that_the_processor_lacks(models_dir: Path, native_bf16: bool) -> None:
    rest = ["openvino bf16", "openvino f32"] if native_bf16 else ["openvino f32"]
    int8 = ", int8" if prefers_int8() else ""
    assert computes_in(models_dir) in [f"{name}{int8}" for name in rest]


def test_int8_may_be_asked_for_everywhere(models_dir: Path) -> None:
    assert computes_in(models_dir, precision="int8").endswith(", int8")


def test_f32_may_be_asked_for_everywhere(models_dir: Path) -> None:
    assert computes_in(models_dir, precision="f32") == "openvino f32"
    assert computes_in(models_dir, precision="f32", runtime="onnxruntime").startswith("onnxruntime f32")


def test_bf16_is_taken_or_refused(models_dir: Path, native_bf16: bool) -> None:
    if native_bf16:
        assert computes_in(models_dir, precision="bf16") == "openvino bf16"
    else:
        with pytest.raises(ModelError, match="does not support precision bf16"):
            computes_in(models_dir, precision="bf16")


@pytest.mark.parametrize("choice", [{"runtime": "onnxruntime"}, {"name": "paddleocr"}])
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_bf16_and_int8_are_openvinos_alone(choice: dict[str, str], precision: str) -> None:
    with pytest.raises(ValidationError, match=f"precision {precision}"):
        EngineSettings(precision=precision, **choice)
