"""docs/architecture.md names every room of app/, and only paths that exist."""

from __future__ import annotations

import re

from config.settings import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_tree_has_every_room_and_every_loose_module() -> None:
    tree = re.search(r"^    app/\n(?:      .*\n)+", TEXT, re.MULTILINE)
    assert tree
    named = {name.split("/")[0] for name in re.findall(r"^      ([\w/.]+)", tree[0], re.MULTILINE)}
    assert named == {
        path.name for path in (ROOT / "app").iterdir() if path.suffix == ".py" or any(path.rglob("*.py"))
    }


def test_every_path_exists() -> None:
    paths = re.findall(r"`((?:app|clients|config|deploy|docs|tests)/[\w./-]*)`", TEXT)
    missing = {path for path in paths if "NAME" not in path and not (ROOT / path).exists()}
    assert missing <= {"app/jobs/"}  # a room to come


def test_it_stays_short() -> None:
    assert len(TEXT.splitlines()) <= 150
