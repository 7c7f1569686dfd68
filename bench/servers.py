"""The servers that are compared: how each is started, asked for a page, watched and ended."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from app.authenticate import as_signed, sign
from config.settings import ROOT

STARTS_WITHIN_S = 120
STOPS_WITHIN_S = 30
SAMPLE_EVERY_S = 0.5
MODELS = ROOT / "models"
PEERS = ROOT / "bench" / ".venv"
NAMES = ("ours", "paddlex", "rapidocr_api")
TITLES = {
    "ours": "this service",
    "paddlex": "PaddleX serving 3.7.2 (onnxruntime)",
    "rapidocr_api": "rapidocr_api 0.2.0 (rapidocr 3.10.0)",
}


class BenchError(Exception):
    """The benchmark cannot go on; the text says why."""


@dataclass(frozen=True)
class Picture:
    name: str
    data: bytes = field(repr=False)
    url: str  # where the local picture host has it


@dataclass(frozen=True)
class Server:
    """What to start, and how to talk to it. ready_path answers with 200 once the server can read."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    home: Path
    base_url: str
    ready_path: str
    request: Callable[[Picture], dict[str, Any]]
    lines: Callable[[Any], list[str]]

    def read(self, picture: Picture) -> Any:
        """The parsed answer for a page."""
        answer = requests.post(f"{self.base_url}/ocr", timeout=300, **self.request(picture))
        if answer.status_code != 200:
            raise BenchError(
                f"{self.name} answered {answer.status_code} for {picture.name}: {answer.text[:500]}"
            )
        return answer.json()

    def ready(self) -> bool:
        try:
            return requests.get(self.base_url + self.ready_path, timeout=5).ok
        except requests.RequestException:
            return False

    def log_tail(self) -> str:
        logs = [self.home / "server.log", self.home / "log" / "error.log"]
        return "\n".join(line for log in logs if log.exists() for line in log.read_text().splitlines()[-20:])


@dataclass
class Watch:
    """What is known of a running server; peak_mb grows while it runs."""

    start_s: float = 0.0
    peak_mb: float = 0.0


@contextlib.contextmanager
def running(server: Server) -> Iterator[Watch]:
    """The server, ready. It is alone: all its processes have ended when the block is left."""
    with (server.home / "server.log").open("wb") as log:
        begun = time.monotonic()
        process = subprocess.Popen(
            server.command, cwd=ROOT, env=server.env, stdout=log, stderr=subprocess.STDOUT
        )
    watch, over = Watch(), threading.Event()
    sampler = threading.Thread(target=_sample, args=(process.pid, watch, over), daemon=True)
    try:
        sampler.start()
        while not server.ready():
            if process.poll() is not None or time.monotonic() - begun > STARTS_WITHIN_S:
                raise BenchError(f"{server.name} did not start. The end of its log:\n{server.log_tail()}")
            time.sleep(0.05)
        watch.start_s = time.monotonic() - begun
        yield watch
    finally:
        over.set()
        sampler.join()
        _end(process)


def make(name: str, home: Path, picture_port: int) -> Server:
    """home: an empty folder for what the server writes."""
    builders = {"ours": _ours, "paddlex": _paddlex, "rapidocr_api": _rapidocr_api}
    return builders[name](home, picture_port)


def _ours(home: Path, picture_port: int) -> Server:
    """Gunicorn as an operator starts it, with a user whose requests are signed and counted."""
    address = f"127.0.0.1:{_free_port()}"
    binaries = Path(sys.prefix, "bin")
    env = _environment() | {
        "OCR_HOME": str(home),
        "OCR_BIND": address,
        "OCR_STATE__DATABASE_URL": f"sqlite:///{home}/var/ocr.sqlite",  # whatever .env says
        "OCR_STATE__KEY_FILE": str(home / "var" / "secret.key"),
        "OCR_LOG__FILE": str(home / "log" / "ocr.log"),
        "OCR_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "OCR_FETCH__ALLOW_PORTS": str(picture_port),
        "OCR_AUTH__RATE_PER_MINUTE": "100000",  # counted, but never the limit
        "OCR_AUTH__RATE_BURST": "100000",
        "OCR_DAEMON": "false",
    }
    added = subprocess.run(
        [str(binaries / "flask"), "users", "add", "bench", "--quota", "1000000"],
        cwd=ROOT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    if added.returncode:
        raise BenchError(f"no user could be added: {added.stderr}")
    secret = added.stdout.split()[-1]

    def request(picture: Picture) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "username": "bench",
            "timestamp": int(time.time()),
            "nonce": secrets.token_urlsafe(12),
            "picture_url": picture.url,
            "timeout_ms": 60_000,
        }
        signature = sign(secret, {name: as_signed(value) for name, value in fields.items()})
        return {"json": fields | {"sign": signature}}

    return Server(
        name="ours",
        command=[str(binaries / "gunicorn"), "--config", "gunicorn.py", "run_ocr_flask:app"],
        env=env,
        home=home,
        base_url=f"http://{address}",
        ready_path="/readyz",
        request=request,
        lines=lambda answer: [line["text"] for line in answer["lines"]],
    )


def _paddlex(home: Path, _picture_port: int) -> Server:
    """The same models in the same runtime on all cores; without what would look at whole documents."""
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
    config.write_text(json.dumps(pipeline))  # JSON is YAML too
    port = _free_port()
    return Server(
        name="paddlex",
        command=[
            str(PEERS / "paddlex" / "bin" / "paddlex"), "--serve", "--pipeline", str(config),
            "--engine", "onnxruntime", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port),
        ],
        env=_environment()
        | {"PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True", "PADDLE_PDX_CACHE_HOME": str(home / "cache")},
        home=home,
        base_url=f"http://127.0.0.1:{port}",
        ready_path="/health",
        # Without the pictures of the result that it would draw, encode and send.
        request=lambda picture: {
            "json": {"file": base64.b64encode(picture.data).decode(), "fileType": 1, "visualize": False}
        },
        lines=lambda answer: answer["result"]["ocrResults"][0]["prunedResult"]["rec_texts"],
    )  # fmt: skip


def _paddle_model(kind: str, name: str) -> dict[str, Any]:
    return {"module_name": kind, "model_name": name, "model_dir": str(MODELS / name)}


def _rapidocr_api(home: Path, _picture_port: int) -> Server:
    """As it comes: the small models of the same generation, which its package carries."""
    port = _free_port()
    return Server(
        name="rapidocr_api",
        command=[
            str(PEERS / "rapidocr_api" / "bin" / "rapidocr_api"),
            "--ip",
            "127.0.0.1",
            "--port",
            str(port),
        ],
        env=_environment(),
        home=home,
        base_url=f"http://127.0.0.1:{port}",
        ready_path="/",
        request=lambda picture: {"files": {"image_file": (picture.name, picture.data)}},
        lines=lambda answer: [line["rec_txt"] for line in answer.values()],
    )


def _environment() -> dict[str, str]:
    """Of our settings only the engine's, so that they can be tried out."""
    ours = ("OCR_", "PYTHONPATH", "PROMETHEUS_")
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("OCR_ENGINE__") or not name.startswith(ours)
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it, as far as they are alive."""
    found = [pid]
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it may end while we look
            for child in listing.read_text().split():
                found += _tree(int(child))
    return found


def _sample(pid: int, watch: Watch, over: threading.Event) -> None:
    """Proportional set size: pages that processes share count once."""
    while not over.wait(SAMPLE_EVERY_S):
        total = 0
        for one in _tree(pid):
            with contextlib.suppress(OSError, StopIteration):
                report = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
                total += int(next(line for line in report if line.startswith("Pss:")).split()[1])
        watch.peak_mb = max(watch.peak_mb, total * 1024 / 1e6)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Politely; what has not ended after a while is killed, process by process."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        for pid in _tree(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
