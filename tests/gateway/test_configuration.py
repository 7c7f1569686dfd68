"""deploy/nginx.conf as it is, its variants, and its copies of our own settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.settings import ROOT, Settings, described
from tests.gateway.conftest import Gateway
from tests.servers import which

DEPLOY = ROOT / "deploy"
VARIANTS = sorted(
    {path.name for path in (DEPLOY / "nginx").glob("upstream-*.conf")} - {"upstream-compose.conf"}
)

UNITS = sorted(path.name for path in (DEPLOY / "systemd").glob("*.service"))


def test_it_passes_nginxs_own_check_in_a_fresh_checkout(tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "deploy", "log", "var"],
                             cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    for name in tracked.stdout.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run([which("nginx"), "-p", ".", "-c", "deploy/nginx.conf", "-t"],
                          cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr.replace('the "user" directive', "")


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_way_to_share_out_the_work_passes_too(tmp_path: Path, variant: str) -> None:
    gateway = Gateway(tmp_path, [])
    gateway.configure(("include nginx/upstream.conf;", f"include nginx/{variant};"))
    assert "test is successful" in gateway.check()


def test_the_uwsgi_protocol_passes_too(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, [])
    gateway.configure(("nginx/pass-http.conf", "nginx/pass-uwsgi.conf"))
    assert "test is successful" in gateway.check()


@pytest.mark.parametrize("protocol", ["proxy", "uwsgi"])
def test_both_protocols_have_the_same_times_and_tries(protocol: str) -> None:
    file = DEPLOY / "nginx" / f"pass-{'http' if protocol == 'proxy' else protocol}.conf"
    text = file.read_text()
    for name, value in {
        "connect_timeout": "2s",
        "send_timeout": "30s",
        "read_timeout": "70s",
        "buffers": "16 16k",
        "next_upstream_tries": "2",
    }.items():
        assert f"{protocol}_{name} {value};" in text
    # Not `timeout`, which doubles the work. uwsgi_next_upstream knows no http_502.
    failures = {"proxy": "error http_502 non_idempotent", "uwsgi": "error non_idempotent"}[protocol]
    assert f"{protocol}_next_upstream {failures};" in text


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("nginx.conf", "send_timeout 30s;"),  # a client that does not take its answer
        ("nginx/tls.conf", "ssl_protocols TLSv1.2 TLSv1.3;"),  # Debian's own clients ask for nothing older
    ],
)
def test_what_no_client_here_can_try(file: str, line: str) -> None:
    assert line in (DEPLOY / file).read_text()


def test_its_copies_of_our_limits_are_right() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    limits = Settings().limits
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(megabytes) * 1024 * 1024 == limits.max_body_bytes
    [seconds] = re.findall(r"proxy_read_timeout (\d+)s;", (DEPLOY / "nginx" / "pass-http.conf").read_text())
    assert int(seconds) * 1000 > limits.max_timeout_ms
    [leaving] = re.findall(r"worker_shutdown_timeout (\d+)s;", text)
    assert int(leaving) > int(seconds)
    assert f"server {Settings().bind} " in (DEPLOY / "nginx" / "upstream-single.conf").read_text()


def test_it_keeps_connections_for_less_long_than_gunicorn() -> None:
    [seconds] = re.findall(r"keepalive_timeout (\d+)s;", (DEPLOY / "nginx" / "keepalive.conf").read_text())
    [theirs] = re.findall(r"^keepalive = (\d+)", (ROOT / "gunicorn.py").read_text(), re.MULTILINE)
    assert int(seconds) < int(theirs)


@pytest.mark.parametrize("file", ["deploy/systemd/ocr@.service", "scripts/up.sh"])
def test_the_instances_of_a_machine_share_what_lies_in_var(file: str) -> None:
    """Each has a home of its own, whose var/ it would take otherwise."""
    shared = {setting.variable for setting in described() if "var/" in setting.default}
    assert {"OCR_AUTH__FAILURES_FILE", "OCR_ENGINE__CRASH_DIR"} <= shared
    assert shared <= set(re.findall(r"^(?:Environment=)?(OCR_\w+)=", (ROOT / file).read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "line",
    [
        "User=ocr",
        "UMask=0077",  # others would be believed at the sockets as Nginx is
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        r"MemoryMax=\d+G",
        "ProtectSystem=strict",
    ],
)
def test_each_unit_is_held_within_its_bounds(unit: str, line: str) -> None:
    """What systemd's figure below would forgive, one at a time."""
    assert re.search(f"^{line}$", (DEPLOY / "systemd" / unit).read_text(), re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_units_and_finds_them_hardened(tmp_path: Path, unit: str) -> None:
    """In a copy that names this folder; exposure is systemd's own figure, from 0 (best) to 100."""
    text = (DEPLOY / "systemd" / unit).read_text()
    text = (
        text.replace("/opt/ocr", str(ROOT))
        .replace("User=ocr", "User=nobody")
        .replace("Group=ocr", "Group=nogroup")
    )
    copy = tmp_path / unit
    copy.write_text(text)
    checks = ["verify", "--man=no"], ["security", "--offline=yes", "--threshold=30"]
    for check in checks:
        done = subprocess.run([which("systemd-analyze"), *check, str(copy)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
