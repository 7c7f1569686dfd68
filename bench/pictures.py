"""The pictures that all servers read, and the local host that ours fetches them from."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

from bench.servers import BenchError, Picture
from samples import draw

DRAWN_PAGES = 24
# They need models for orientation, which only some servers run.
NOT_UPRIGHT = ("upside_down.png", "tall.png")

Pages = dict[str, bytes]
Labels = dict[str, list[str]]


def from_folder(folder: Path) -> tuple[Pages, Labels]:
    """Pictures that labels.json names: file name -> lines."""
    try:
        labels = json.loads((folder / "labels.json").read_text("utf-8"))
        return {name: (folder / name).read_bytes() for name in labels}, labels
    except (OSError, ValueError) as error:
        raise BenchError(f"{folder} must hold pictures and a labels.json: {error}") from error


def drawn() -> tuple[Pages, Labels]:
    """The upright samples over and over, each time as a larger photograph, until there are enough."""
    pages: Pages = {}
    labels: Labels = {}
    upright = [page for page in (make() for make in draw.SAMPLES) if page.name not in NOT_UPRIGHT]
    for number, page in enumerate(itertools.islice(itertools.cycle(upright), DRAWN_PAGES)):
        scale = 1 + number // len(upright)
        size = (page.image.width * scale, page.image.height * scale)
        out = io.BytesIO()
        page.image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
        name = f"{number:02d}-{Path(page.name).stem}.jpg"
        pages[name], labels[name] = out.getvalue(), list(page.lines)
    return pages, labels


@contextlib.contextmanager
def hosted(pages: Mapping[str, bytes]) -> Iterator[tuple[int, list[Picture]]]:
    """The pages on a local host, which has each under its position: the host's port, and the pictures."""
    bodies = list(pages.values())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[int(self.path.strip("/"))]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    host = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=host.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{host.server_port}"
    try:
        yield (
            host.server_port,
            [
                Picture(name, data, f"{base}/{position}")
                for position, (name, data) in enumerate(pages.items())
            ],
        )
    finally:
        host.shutdown()
        thread.join()
        host.server_close()
