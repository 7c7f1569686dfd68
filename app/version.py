"""The release: SemVer of the wire format, the settings, the commands and the tables together."""

from __future__ import annotations

VERSION = "1.0.0"
"""Also in clients/python/pyproject.toml and the newest heading of CHANGELOG.md; a test compares the three."""
