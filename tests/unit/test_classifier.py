"""The restriction of the recognition network to some of its classes is exact, by either runtime."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from app.ocr.charset import classes_of
from app.ocr.model_folder import ModelError, RecognitionModel, load_recognition
from app.ocr.recognize import Recognizer
from app.ocr.runtimes import (
    Classes,
    Classifier,
    Floats,
    Outputs,
    Runtime,
    Shape,
    open_classifier,
    open_network,
)
from app.ocr.runtimes.openvino_classifier import split_last_layer
from samples import draw

TEXTS = ("T-2345", "合计 TOTAL", "¥145.90", "Thank you, see you again! 谢谢惠顾", "x")


@pytest.fixture(scope="module")
def model(models_dir: Path) -> RecognitionModel:
    return load_recognition(models_dir, "PP-OCRv6_small_rec")


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def classifier(request: pytest.FixtureRequest, model: RecognitionModel) -> Classifier:
    runtime: Runtime = request.param
    return open_classifier(runtime, model.onnx, ranges=None, precision="f32", cores=2, kernel_cache=100)


@pytest.fixture(scope="module")
def lines(model: RecognitionModel) -> list[Floats]:
    """Drawn lines as the network sees them, of several widths."""

    class Inputs:
        runtime = "none"

        def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
            seen.extend(inputs)
            return [(np.zeros((1, 1), int), np.zeros((1, 1), np.float32)) for _ in seen]

        def prepare(self, shape: Shape) -> None: ...

    seen: list[Floats] = []
    sheet = draw.Sheet(700, 60 * len(TEXTS))
    sheet.block(10, 40, "\n".join(TEXTS), 32, leading=60)
    image = np.asarray(sheet.image)[:, :, ::-1]
    boxes = []
    for row, text in enumerate(TEXTS):
        right, top = 14 + draw.font(32).getlength(text), 60 * row
        boxes.append(np.array([(6, top + 4), (right, top + 4), (right, top + 52), (6, top + 52)], np.float32))
    Recognizer(model, Inputs()).recognize(np.ascontiguousarray(image), boxes)
    return seen


@pytest.fixture(scope="module")
def probabilities(model: RecognitionModel, lines: list[Floats]) -> list[Floats]:
    """Of all classes, by the network as it was exported."""
    network = open_network("onnxruntime", model.onnx, precision="auto", cores=2, kernel_cache=1)
    return [output for (output,) in network.run(lines)]


def some_classes(model: RecognitionModel) -> dict[str, Classes]:
    return {
        "full": classes_of("full", model.characters),
        "latin": classes_of("latin", model.characters),
        "digits": classes_of("digits", model.characters),
        "two": np.array([0, 16]),
    }


@pytest.mark.parametrize("name", ["full", "latin", "digits", "two"])
def test_a_restriction_is_the_softmax_of_its_classes_alone(
    model: RecognitionModel,
    classifier: Classifier,
    lines: list[Floats],
    probabilities: list[Floats],
    name: str,
) -> None:
    among = some_classes(model)[name]
    outputs = classifier.among(among).run(lines)
    assert len(outputs) == len(lines)
    for (classes, scores), whole in zip(outputs, probabilities, strict=True):
        exact = whole[..., among].astype(np.float64)
        exact /= exact.sum(axis=-1, keepdims=True)
        assert classes.shape == scores.shape == exact.shape[:2]
        chosen = np.take_along_axis(exact, classes[..., None].astype(np.intp), axis=-1)[..., 0]
        assert np.abs(chosen - exact.max(axis=-1)).max() < 1e-3  # the most probable, but for a tie
        assert np.abs(scores - chosen).max() < 1e-3


def test_the_cut_layer_has_the_full_ones_columns_and_no_others(model: RecognitionModel) -> None:
    _, layer = split_last_layer(model.onnx)
    digits = classes_of("digits", model.characters)
    cut = layer.among(digits)
    assert cut.weights.shape == (layer.weights.shape[0], len(digits))
    features = np.random.default_rng(5).standard_normal((7, len(layer.weights))).astype(np.float32)
    full = features @ layer.weights + layer.bias
    assert full.shape[1] == len(model.characters)
    np.testing.assert_allclose(features @ cut.weights + cut.bias, full[:, digits], rtol=0, atol=1e-4)


def test_steps_of_many_lines_do_not_mix(
    model: RecognitionModel, classifier: Classifier, lines: list[Floats]
) -> None:
    """They are computed in blocks that begin and end within lines."""
    network = classifier.among(classes_of("latin", model.characters))
    together = network.run([*lines, *reversed(lines)])
    for line, (classes, scores) in zip([*lines, *reversed(lines)], together, strict=True):
        [(alone, alone_scores)] = network.run([line])
        assert np.array_equal(classes, alone)
        np.testing.assert_allclose(scores, alone_scores, atol=1e-5)


def test_no_lines_no_outputs(model: RecognitionModel, classifier: Classifier) -> None:
    assert classifier.among(np.array([0, 1])).run([]) == []


def test_a_network_without_classes_is_refused(models_dir: Path) -> None:
    with pytest.raises(ModelError, match="does not end in"):
        split_last_layer(models_dir / "PP-OCRv6_small_det" / "inference.onnx")
