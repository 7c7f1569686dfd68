"""The service's log: one JSON object per line."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from app.telemetry.escape import escaped_json, shortened, without_secrets
from app.telemetry.log_file import LogFile

log = logging.getLogger("ocr")
MAX_LOGGED_CHARACTERS = 16_000
"""Maximum length of a logged value. A traceback may quote a whole request, which takes long to escape."""


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, event, pid, then the fields of `extra={"fields": {...}}`.

    User-info and query are removed from all URLs, also in error texts. Control characters are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{record.msecs:03.0f}Z",
            "level": record.levelname,
            "event": record.getMessage(),
            "pid": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        line = {name: _loggable(value) if isinstance(value, str) else value for name, value in line.items()}
        return escaped_json(json.dumps(line, ensure_ascii=False, default=lambda value: _loggable(str(value))))


def _loggable(text: str) -> str:
    return without_secrets(shortened(text, MAX_LOGGED_CHARACTERS))


def configure_logging(file: str, level: str, max_bytes: int) -> None:
    """Send the log to a file of at most max_bytes, or to standard error if file is `-`."""
    handler: logging.Handler
    if file == "-":
        handler = logging.StreamHandler(sys.stderr)
    else:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        handler = LogFile(file, max_bytes)
    handler.setFormatter(JsonLines())
    for old in log.handlers[:]:
        log.removeHandler(old)
        old.close()
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False
    for library in ("urllib3", "PIL"):  # at DEBUG they log URLs with their queries
        logging.getLogger(library).setLevel(max(logging.INFO, logging.getLogger(library).level))
