"""Read a model's folder, in PaddleOCR 3's format: `<name>/inference.onnx` and `<name>/inference.yml`.

The paddleocr package reads the same folders, and any detection or recognition model of PaddleOCR 3 can
replace the default models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

Ranges = Mapping[str, tuple[float, float]]
"""Smallest and largest input value of each convolution, by its name in the model."""

Kind = Literal["detection", "recognition"]
KINDS: dict[str, Kind] = {"DBPostProcess": "detection", "CTCLabelDecode": "recognition"}


class ModelError(Exception):
    """A model is missing, damaged or of the wrong kind. The message tells the operator the remedy."""


@dataclass(frozen=True, slots=True)
class DetectionModel:
    """mean, std, scale: normalisation of BGR values 0-255. Others: parameters of DB post-processing."""

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
    """height: of the network's input, in pixels. characters: one per class, the CTC blank first.

    ranges: needed for int8; None if the folder has no ranges.json.
    """

    onnx: Path
    height: int
    characters: tuple[str, ...]
    ranges: Ranges | None = None

    def among(self, classes: Iterable[int]) -> RecognitionModel:
        """The same model, restricted to these classes."""
        return replace(self, characters=tuple(self.characters[i] for i in classes))


def load_detection(models_dir: Path, name: str) -> DetectionModel:
    with _explained(models_dir / name) as config:
        _expect("detection", config)
        normalize, post = _operations(config)["NormalizeImage"], config["PostProcess"]
        return DetectionModel(
            onnx=models_dir / name / "inference.onnx",
            mean=tuple(map(float, normalize["mean"])),
            std=tuple(map(float, normalize["std"])),
            scale=_fraction(normalize["scale"]),
            thresh=float(post["thresh"]),
            box_thresh=float(post["box_thresh"]),
            unclip_ratio=float(post["unclip_ratio"]),
            max_candidates=int(post["max_candidates"]),
        )


def load_recognition(models_dir: Path, name: str) -> RecognitionModel:
    with _explained(models_dir / name) as config:
        _expect("recognition", config)
        return RecognitionModel(
            onnx=models_dir / name / "inference.onnx",
            height=int(_operations(config)["RecResizeImg"]["image_shape"][1]),
            characters=("", *map(str, config["PostProcess"]["character_dict"]), " "),
            ranges=_ranges(models_dir / name / "ranges.json"),
        )


def kind_of_folder(folder: Path) -> Kind:
    with _explained(folder) as config:
        return kind_of(config)


def kind_of(config: dict[str, Any]) -> Kind:
    return KINDS[config["PostProcess"]["name"]]


@contextmanager
def _explained(folder: Path) -> Iterator[dict[str, Any]]:
    """The parsed inference.yml. Errors while the caller reads it are raised as ModelError."""
    path = folder / "inference.yml"
    if not path.is_file() or not (folder / "inference.onnx").is_file():
        raise ModelError(f"no model {folder.name} in {folder.parent}: run `flask models pull`")
    try:
        # As safe as yaml.safe_load, but in C: 0.06 s instead of 1 s for 18,708 characters.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        yield yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} does not describe a usable model: {error!r}") from error


def _ranges(path: Path) -> Ranges | None:
    if not path.is_file():
        return None
    return {name: (float(low), float(high)) for name, (low, high) in json.loads(path.read_text()).items()}


def _expect(kind: Kind, config: dict[str, Any]) -> None:
    if kind_of(config) != kind:
        raise ValueError(f"expected a {kind} model, found a {kind_of(config)} model")


def _operations(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: values for step in config["PreProcess"]["transform_ops"] for name, values in step.items()}


def _fraction(value: float | str) -> float:
    """A number, or a division such as "1./255.", which PaddleOCR evaluates as Python."""
    numerator, _, denominator = str(value).partition("/")
    return float(numerator) / float(denominator or 1)
