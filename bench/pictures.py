"""The pictures that all servers read, and the local server from which our service fetches them."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

from bench.servers import BenchError, Picture
from samples import draw

DRAWN_PAGES = 24
# These need orientation models, which only some servers run.
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
    """DRAWN_PAGES pictures: the upright samples repeated, larger each time, as JPEG."""
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
    """Serve the pages on a local port, page N at /N. Yields the port and the pictures."""
    host = ThreadingHTTPServer(("127.0.0.1", 0), _handler(list(pages.values())))
    thread = threading.Thread(target=host.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{host.server_port}"
    pictures = [Picture(name, data, f"{base}/{n}") for n, (name, data) in enumerate(pages.items())]
    try:
        yield host.server_port, pictures
    finally:
        host.shutdown()
        thread.join()
        host.server_close()


def _handler(bodies: Sequence[bytes]) -> type[BaseHTTPRequestHandler]:
    """Answers GET /N with bodies[N]."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[int(self.path.strip("/"))]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler
