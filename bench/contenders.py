"""The measured servers: our service as an operator starts it, and its peers with their defaults."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.authenticate import as_signed, sign
from app.model.claim import Value
from bench.processes import free_port
from bench.servers import BenchError, Picture, Server
from bench.versions import NEW, Version
from config.settings import ROOT

MODELS = ROOT / "models"
ENVIRONMENTS = ROOT / "bench" / ".venv"
TITLES = {
    "ours": "this service",
    "paddlex": "PaddleX serving 3.7.2 (onnxruntime)",
    "rapidocr_api": "rapidocr_api 0.2.0 (rapidocr 3.10.0)",
}
PEERS = tuple(TITLES)[1:]


def make(name: str, home: Path, picture_port: int, options: Mapping[str, Value]) -> Server:
    """home: an empty folder for what the server writes. options: of requests to our service."""
    if name == "ours":
        return ours(home, picture_port, options)
    return {"paddlex": _paddlex, "rapidocr_api": _rapidocr_api}[name](home)


def install(name: str, say: Callable[[str], None]) -> None:
    """Install a peer into its own virtual environment: two peers need different versions of OpenCV."""
    folder = ENVIRONMENTS / name
    requirements = ROOT / "bench" / f"requirements-{name}.txt"
    done = folder / ".installed"
    if done.exists() and done.read_text() == requirements.read_text():
        return
    say(f"Installing {requirements.name} into {folder.relative_to(ROOT)} (a minute or two) ...")
    pip = [str(folder / "bin" / "pip"), "install", "--disable-pip-version-check", "-r", str(requirements)]
    for command in ([sys.executable, "-m", "venv", str(folder)], pip):
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise BenchError(f"{name} could not be installed:\n{ran.stderr[-3000:]}")
    done.write_text(requirements.read_text())


def ours(home: Path, picture_port: int, options: Mapping[str, Value], version: Version = NEW) -> Server:
    """Gunicorn with a user whose requests are signed and counted. home: an empty folder."""
    env = version.understood(our_environment(home, picture_port))
    address = env["OCR_BIND"]
    secret = new_user(env, version)

    def request(picture: Picture) -> dict[str, Any]:
        fields: dict[str, Value] = {
            "username": "bench",
            "timestamp": int(time.time()),
            "nonce": secrets.token_urlsafe(12),
            "picture_url": picture.url,
            "timeout_ms": 60_000,
            **options,
        }
        signature = sign(secret, {name: as_signed(value) for name, value in fields.items()})
        return {"json": fields | {"sign": signature}}

    return Server(
        name=version.name,
        command=gunicorn(version, "run_ocr_flask:app"),
        env=env,
        home=home,
        base_url=f"http://{address}",
        ready_path="/readyz",
        request=request,
        lines=lambda answer: [line["text"] for line in answer["lines"]],
        root=version.root,
    )


def gunicorn(version: Version, application: str) -> list[str]:
    """The command by which an operator starts gunicorn in the version's root."""
    return [str(version.bin / "gunicorn"), "--config", "gunicorn.py", application]


def our_environment(home: Path, picture_port: int) -> dict[str, str]:
    """Environment of our server with its own home, independent of `.env`."""
    return _environment() | {
        "OCR_HOME": str(home),
        "OCR_BIND": f"127.0.0.1:{free_port()}",
        "OCR_STATE__DATABASE_URL": f"sqlite:///{home}/var/ocr.sqlite",
        "OCR_STATE__REDIS_URL": "",
        "OCR_STATE__KEY_FILE": str(home / "var" / "secret.key"),
        "OCR_LOG__FILE": str(home / "log" / "ocr.log"),
        "OCR_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "OCR_FETCH__ALLOW_PORTS": str(picture_port),
        "OCR_AUTH__RATE_PER_MINUTE": "100000",  # counted, but never reached
        "OCR_AUTH__RATE_BURST": "100000",
        "OCR_DAEMON": "false",
    }


def new_user(env: Mapping[str, str], version: Version = NEW) -> str:
    """Add a user named bench. Returns its secret."""
    command = [str(version.bin / "flask"), "users", "add", "bench", "--quota", "1000000"]
    added = subprocess.run(command, cwd=version.root, env=env, capture_output=True, text=True)
    if added.returncode:
        raise BenchError(f"no user could be added: {added.stderr}")
    return added.stdout.split()[-1]


def _paddlex(home: Path) -> Server:
    """PaddleX with our models on all cores, without document preprocessing."""
    pipeline = {
        "pipeline_name": "OCR",
        "text_type": "general",
        "use_doc_preprocessor": False,
        "use_textline_orientation": False,
        "SubModules": {  # the figures are PaddleX's defaults
            "TextDetection": _paddle_model("text_detection", "PP-OCRv6_small_det")
            | {"limit_side_len": 64, "limit_type": "min", "max_side_limit": 4000}
            | {"thresh": 0.3, "box_thresh": 0.6, "unclip_ratio": 1.5},
            "TextRecognition": _paddle_model("text_recognition", "PP-OCRv6_small_rec")
            | {"batch_size": 6, "score_thresh": 0.0},
        },
    }
    config = home / "OCR.yaml"
    config.write_text(json.dumps(pipeline))  # JSON is valid YAML
    port = free_port()
    return Server(
        name="paddlex",
        command=[
            str(ENVIRONMENTS / "paddlex" / "bin" / "paddlex"), "--serve", "--pipeline", str(config),
            "--engine", "onnxruntime", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port),
        ],
        env=_environment()
        | {"PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True", "PADDLE_PDX_CACHE_HOME": str(home / "cache")},
        home=home,
        base_url=f"http://127.0.0.1:{port}",
        ready_path="/health",
        # visualize: without False it would also draw, encode and send pictures of the result.
        request=lambda picture: {
            "json": {"file": base64.b64encode(picture.data).decode(), "fileType": 1, "visualize": False}
        },
        lines=lambda answer: answer["result"]["ocrResults"][0]["prunedResult"]["rec_texts"],
    )  # fmt: skip


def _paddle_model(kind: str, name: str) -> dict[str, Any]:
    return {"module_name": kind, "model_name": name, "model_dir": str(MODELS / name)}


def _rapidocr_api(home: Path) -> Server:
    """rapidocr_api with its defaults: the small models of the same generation, from its package."""
    port = free_port()
    program = ENVIRONMENTS / "rapidocr_api" / "bin" / "rapidocr_api"
    return Server(
        name="rapidocr_api",
        command=[str(program), "--ip", "127.0.0.1", "--port", str(port)],
        env=_environment(),
        home=home,
        base_url=f"http://127.0.0.1:{port}",
        ready_path="/",
        request=lambda picture: {"files": {"image_file": (picture.name, picture.data)}},
        lines=lambda answer: [line["rec_txt"] for line in answer.values()],
    )


def _environment() -> dict[str, str]:
    """Our environment without our settings, except those of the engine, which may be tried out."""
    ours = ("OCR_", "PYTHONPATH", "PROMETHEUS_")
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("OCR_ENGINE__") or not name.startswith(ours)
    }
