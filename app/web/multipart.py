"""The fields of a multipart/form-data body, with the picture as a file: Werkzeug's parser behind limits."""

from __future__ import annotations

from io import BytesIO
from typing import IO, Any

from flask import Request
from werkzeug.formparser import FormDataParser

from app.errors import RequestMalformed
from app.model.claim import Value
from app.web.dialects.fields import MAX_FIELDS, scan_form

MAX_HEAD_BYTES = 8 * 1024
"""Of the head of a part, and of the text before the first part."""

MAX_BOUNDARY_CHARS = 100
"""RFC 2046 allows 70; Werkzeug's test client, which callers' tests may use, sends a few more."""


class StrictFormParser(FormDataParser):
    """Raises an error for a malformed form, where Werkzeug's parser returns an empty one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"silent": False})


class OcrHttpRequest(Request):
    form_data_parser_class = StrictFormParser

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        """In memory: the whole body is there already."""
        return BytesIO()


def read_form(incoming: Request, body: bytes | bytearray) -> tuple[dict[str, Value], bytes | None]:
    """The fields, and the file named `image`. Raises RequestMalformed."""
    options = incoming.mimetype_params
    check_parts(body, options.get("boundary", ""))
    parser = incoming.make_form_data_parser()
    try:
        _, form, files = parser.parse(BytesIO(body), incoming.mimetype, len(body), options)
    except ValueError as error:
        raise RequestMalformed(str(error)) from error
    for name in [*form, *files]:
        if name is None:  # possible, although Werkzeug's types exclude it
            raise RequestMalformed("a part without a name")
        if len(form.getlist(name)) + len(files.getlist(name)) > 1:
            raise RequestMalformed("named twice", field=name[:64])
    if unknown := files.keys() - {"image"}:
        raise RequestMalformed("a file of another name", field=min(unknown)[:64])
    return scan_form(form), files["image"].read() if "image" in files else None


def check_parts(body: bytes | bytearray, boundary: str) -> None:
    """Raise RequestMalformed where Werkzeug would need seconds: it reads the text before the first part, and
    the head of each part, line by line and without a limit.
    """
    if not 0 < len(boundary) <= MAX_BOUNDARY_CHARS:
        raise RequestMalformed("no boundary, or a long one")
    line = b"--" + boundary.encode("latin-1", "replace")
    at = body.find(line, 0, MAX_HEAD_BYTES) if b"\r" + line not in body else -1
    for _ in range(MAX_FIELDS + 1):
        if at < 0:
            break
        if body.startswith(b"--", at + len(line)):
            return
        head_end = body.find(b"\r\n\r\n", at, at + MAX_HEAD_BYTES)
        if head_end < 0:
            break
        at = body.find(b"\n" + line, head_end + 3) + 1 or -1
    raise RequestMalformed("parts that are too many, have long heads or no end")
