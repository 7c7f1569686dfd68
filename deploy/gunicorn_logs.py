"""gunicorn's error log and access log: files of limited size, without secrets and control characters.

gunicorn.py runs this file by its path, because an imported module would not be reloaded with the master. It
runs before gevent patches anything, so it uses only the standard library.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).resolve().parents[1]
MB = 1_000_000

escape = run_path(str(ROOT / "app" / "telemetry" / "escape.py"))
LogFile = run_path(str(ROOT / "app" / "telemetry" / "log_file.py"))["LogFile"]


class SafeToPrint(logging.Filter):
    """Removes control characters, URL queries and the text of malformed requests from a record."""

    def filter(self, record):
        message = record.getMessage()
        if message.startswith("Invalid request from ip="):
            message = re.sub(r"['\"].*", "...", message, flags=re.DOTALL)
        record.msg = _safe(message, keep="\n" if record.name == "gunicorn.error" else "")
        record.args = None
        if record.exc_info and record.exc_info[0]:
            record.exc_text = _safe(logging.Formatter().formatException(record.exc_info), keep="\n")
        return True


def _safe(text, keep):
    """Indent continuation lines by a blank, so that none looks like a record of its own."""
    return escape["escaped"](escape["without_secrets"](text), keep=keep).replace("\n", "\n ")


def log_file(path, max_mb):
    """A wrong folder or owner stops the start. During a reload, an error would stop the master, so only log
    lines are lost.
    """
    handler = LogFile(str(path), max_mb * MB)
    if not logging.getLogger("gunicorn.error").handlers:
        handler.check()
    return handler


def log_config(folder, max_mb):
    """For gunicorn's logconfig_dict. The filter is on handlers: a logger would get another at each reload."""
    names = ("error", "access")
    return {
        "root": {},
        "formatters": {
            "error": {
                "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
                "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            },
            "access": {"format": "%(message)s"},
        },
        "filters": {"safe": {"()": SafeToPrint}},
        "handlers": {
            name: {
                "()": log_file,
                "path": folder / f"{name}.log",
                "max_mb": max_mb,
                "formatter": name,
                "filters": ["safe"],
            }
            for name in names
        },
        "loggers": {
            f"gunicorn.{name}": {"level": "INFO", "handlers": [name], "propagate": False} for name in names
        },
    }
