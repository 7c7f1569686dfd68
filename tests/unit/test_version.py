"""One release has one number: in the service, in its Python client and in the changelog."""

from __future__ import annotations

import re
import tomllib

from app.version import VERSION
from config.settings import ROOT


def test_the_python_client_has_the_version_of_the_service() -> None:
    package = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())
    assert package["project"]["version"] == VERSION


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    releases = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == VERSION
