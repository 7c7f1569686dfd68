"""The pages' own files, under a path that holds a digest of all of them: browsers may cache them forever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from app.web.access import callers

FOLDER = Path(__file__).parent / "static"
SAMPLE = Path(__file__).parents[2] / "samples" / "receipt.png"
"""The picture that the console offers to a visitor who has none."""
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Assets:
    """files: contents by name. digest: of all files, since modules import each other by relative name."""

    files: dict[str, bytes]
    digest: str

    @classmethod
    def load(cls) -> Assets:
        paths = [path for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES]
        files = {path.name: path.read_bytes() for path in paths} | {"sample.png": SAMPLE.read_bytes()}
        whole = hashlib.sha256()
        for name, content in files.items():
            whole.update(f"{name} {len(content)}\n".encode() + content)
        return cls(files, whole.hexdigest()[:16])

    def url(self, name: str) -> str:
        """The path of a file, for a page. Raises LookupError for an unknown name."""
        if name not in self.files:
            raise LookupError(name)
        return f"/static/{self.digest}/{name}"


def blueprint(assets: Assets) -> Blueprint:
    routes = Blueprint("assets", __name__)

    @routes.get("/static/<digest>/<name>")
    @callers("anyone")
    def file(digest: str, name: str) -> Response:
        """A page that was opened before an upgrade asks under an older digest; that answer is not cached."""
        if name not in assets.files:
            raise NotFound
        answer = Response(assets.files[name], content_type=TYPES[Path(name).suffix])
        answer.headers["Cache-Control"] = FOR_EVER if digest == assets.digest else "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return routes
