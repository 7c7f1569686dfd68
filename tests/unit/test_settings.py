"""Settings, and the places that repeat them."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from app.telemetry.metrics_server import EXITS
from app.wiring.services import WORKER_CONNECTIONS
from config.settings import ROOT, Settings, described, unknown_variables


def test_gunicorns_copies_are_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """gunicorn.py is read before any of our modules may be imported, so it has copies."""
    monkeypatch.setattr(os, "environ", {"OCR_HOME": str(tmp_path)})
    loaded = runpy.run_path(str(ROOT / "gunicorn.py"))
    monkeypatch.undo()
    assert loaded["bind"] == Settings().bind
    (tmp_path / "ended").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "ended"))
    loaded["on_starting"](SimpleNamespace(log=None))
    assert [file.name for file in (tmp_path / "ended").iterdir()] == [EXITS]
    assert loaded["worker_class"] == "deploy.gunicorn_worker.BoundedWorker"
    assert loaded["worker_connections"] <= WORKER_CONNECTIONS
    assert loaded["timeout"] > Settings().limits.body_timeout_s < loaded["graceful_timeout"]
    assert not loaded["preload_app"]
    assert loaded["graceful_timeout"] > Settings().limits.max_timeout_ms / 1000


@pytest.mark.parametrize(("files", "connections"), [(1024, 724), (4096, WORKER_CONNECTIONS)])
def test_connections_leave_files_for_everything_else(tmp_path: Path, files: int, connections: int) -> None:
    code = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(sys.argv[1])));"
        "print(runpy.run_path('gunicorn.py')['worker_connections'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(files)],
        cwd=ROOT,
        env={"OCR_HOME": str(tmp_path), "FLASK_SKIP_DOTENV": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.stderr) == (str(connections), "")


def copy_gunicorns_settings(folder: Path) -> None:
    shutil.copy(ROOT / "gunicorn.py", folder)
    for part in ("deploy", "app"):
        (folder / part).symlink_to(ROOT / part)


@pytest.mark.parametrize(
    "line", ["export OCR_BIND=a", "OCR_BIND = a", 'OCR_BIND="a"', "OCR_BIND=a # b", "OCR_BIND=$HOME", "a"]
)
def test_a_line_of_the_env_file_that_flask_reads_otherwise_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    copy_gunicorns_settings(tmp_path)
    (tmp_path / ".env").write_text(f"# a comment\n\nOCR_BIND=127.0.0.1:9000\n{line}\n")
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(SystemExit, match=r"\.env, line 4: "):
        runpy.run_path(str(tmp_path / "gunicorn.py"))


def test_the_env_file_is_read_unless_flask_is_told_not_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy_gunicorns_settings(tmp_path)
    (tmp_path / ".env").write_text("OCR_BIND=127.0.0.1:9000\n")
    for told, bind in (("", "127.0.0.1:9000"), ("0", "127.0.0.1:9000"), ("1", "127.0.0.1:8081")):
        monkeypatch.setattr(os, "environ", {"FLASK_SKIP_DOTENV": told})
        assert runpy.run_path(str(tmp_path / "gunicorn.py"))["bind"] == bind


@pytest.mark.parametrize(
    ("file", "form"),
    [("docs/settings.md", "| `{0}` | {1} | {2} |"), ("config/example.env", "# {2}\n#{0}={1}")],
)
def test_every_setting_is_documented_with_its_default_and_meaning(file: str, form: str) -> None:
    text = (ROOT / file).read_text()
    for setting in described():
        default = setting.default
        if file == "docs/settings.md":
            default = f"`{default}`" if default else "none"
        assert form.format(setting.variable, default, setting.description) in text
    written = set(re.findall(r"OCR_[A-Z]+(?:__[A-Z_]+)+", text))
    assert written <= {setting.variable for setting in described()}


def test_a_misspelt_variable_is_found() -> None:
    environ = {"OCR_ENGINE__THREADS": "2", "OCR_ENGINE_THREADS": "2", "OCR_DAEMON": "1", "OCR_SECRET": ""}
    assert unknown_variables(environ) == ["OCR_ENGINE_THREADS"]


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCR_FETCH__ALLOW_PORTS", "80, 8000")
    monkeypatch.setenv("OCR_FETCH__ALLOW_HOSTS", "Pictures.example.com")
    monkeypatch.setenv("OCR_FETCH__ALLOW_NETWORKS", "10.0.0.0/8,fd00::/8")
    fetch = Settings().fetch
    assert fetch.allow_ports == {80, 8000}
    assert fetch.allow_hosts == {"pictures.example.com"}
    assert sorted(map(str, fetch.allow_networks)) == ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OCR_LIMITS__MAX_BODY_BYTES", "0"),
        ("OCR_ENGINE__NAME", "abacus"),
        ("OCR_FETCH__ALLOW_NETWORKS", "10.0.0.1/8"),
        ("OCR_STATE__DATABASE_URL", "sqlite:///:memory:"),
        ("OCR_STATE__DATABASE_URL", "mysql+pymysql://localhost"),
        ("OCR_STATE__DATABASE_URL", "mysql://localhost/ocr"),
        ("OCR_STATE__DATABASE_URL", "postgresql://localhost/ocr"),
        ("OCR_STATE", '{"busy_timeout_ms": 3000}'),
        ("OCR_LIMITS", '{"max_timeout_ms": 20000}'),
        ("OCR_ENGINE", '{"side_limit": 3000}'),
        ("OCR_ENGINE", '{"name": "paddleocr", "charset": "latin"}'),
        ("OCR_ENGINE__CHARSET", "no-such-file"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert (
        variable.removeprefix("OCR_").lower().split("__")
        == [str(part) for part in caught.value.errors()[0]["loc"]][:2]
    )
