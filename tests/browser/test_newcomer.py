"""`make run` as a newcomer meets it: its link is opened and reads a picture; Ctrl-C ends all of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect

from config.settings import ROOT
from tests.browser.conftest import Reader
from tests.gateway.conftest import await_true
from tests.process.conftest import OURS, STARTS_WITHIN_S, STOPS_WITHIN_S, Server
from tests.servers import free_port

LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["receipt.png"]


def said(server: Server) -> str:
    return (server.home / "said").read_text()


def link(server: Server) -> str | None:
    """What it printed last; None while it is still starting."""
    assert server.master.poll() is None, said(server)
    found = re.search(rf"{server.url}/#user=demo&code=\S+$", said(server), re.MULTILINE)
    return found and found[0]


@pytest.fixture(scope="module")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What `make run` starts. Its master is the script; what that says is in the file `said`."""
    home = tmp_path_factory.mktemp("newcomer")
    bind = f"127.0.0.1:{free_port()}"
    outer = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    env = outer | {"OCR_HOME": str(home), "OCR_BIND": bind, "OCR_ENGINE__MODELS_DIR": str(models_dir)}
    env["OCR_METRICS__BIND"] = f"127.0.0.1:{free_port()}"
    # What was started in the background may ignore SIGINT, and its children with it.
    command = ["env", "--default-signal=INT", "scripts/run.sh"]
    with (home / "said").open("wb") as file:
        script = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=file)
    started = Server(script, home, bind, env)
    try:
        await_true(lambda: link(started), 2 * STARTS_WITHIN_S)
        yield started
    finally:
        if script.poll() is None:
            script.terminate()
            script.wait(STOPS_WITHIN_S)


def test_a_newcomer_opens_the_link_and_reads_a_picture(reader: Callable[..., Reader], server: Server) -> None:
    """The code leaves the address bar at once, and is sent in one body alone; the secret is never sent."""

    printed = str(link(server))
    code = printed.partition("code=")[2]
    assert "\n".join(LINES) in said(server)
    somebody = reader()
    sent: list[str] = []
    somebody.page.on("request", lambda request: sent.append(f"{request.url} {request.post_data_buffer!r}"))
    somebody.page.goto(printed)
    assert somebody.page.url == f"{server.url}/"
    expect(somebody.page.locator("#account-name")).to_have_text("demo")
    somebody.upload()
    assert somebody.text() == LINES
    somebody.page.get_by_label("include my secret").check()
    assert len(sent) > 10
    secret = somebody.page.locator("#code").inner_text().partition("'")[2].partition("'")[0]
    assert len(secret) > 30
    assert not [request for request in sent if secret in request]
    assert [request.partition(" ")[0] for request in sent if code in request] == [f"{server.url}/sign-in"]
    assert code not in server.log("access.log") and secret not in server.log("access.log")
    assert somebody.page.evaluate("[document.cookie, localStorage.length]") == ["", 0]


def test_ctrl_c_stops_the_server_too(server: Server) -> None:
    gunicorn = Path("/proc", server.log("gunicorn.pid").strip())
    assert gunicorn.exists()
    server.master.send_signal(signal.SIGINT)
    assert server.master.wait(STOPS_WITHIN_S) == 0
    assert not gunicorn.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/healthz", timeout=5)
