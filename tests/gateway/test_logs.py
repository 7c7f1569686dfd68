"""deploy/logrotate.conf on the logs of a running gateway."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from config.settings import ROOT
from tests.gateway.conftest import Gateway, await_true
from tests.process.test_serving import png
from tests.servers import which


def logged(gateway: Gateway, request_id: str) -> bool:
    return request_id in gateway.log("nginx-access.log")


def test_logs_are_moved_while_all_of_it_runs(gateway: Gateway, tmp_path: Path) -> None:
    caller = gateway.caller("archivist")
    conf = tmp_path / "logrotate.conf"
    conf.write_text((ROOT / "deploy" / "logrotate.conf").read_text().replace("/opt/ocr", str(gateway.prefix)))
    for _ in range(2):  # the second time the first is compressed
        seen = gateway.post(caller.body(picture=png(1)[0])).headers["X-Request-ID"]
        await_true(partial(logged, gateway, seen))
        done = subprocess.run([which("logrotate"), "--force", "--state", str(tmp_path / "state"), str(conf)],
                              capture_output=True, text=True)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert seen in gateway.log("nginx-access.log.1")
    assert (gateway.prefix / "log" / "nginx-access.log.2.gz").exists()
    after = gateway.post(caller.body(picture=png(1)[0])).headers["X-Request-ID"]
    assert gateway.access(after)["http"] == 200
    assert any(seen in instance.log("ocr.log.1") for instance in gateway.instances)
    assert any(after in instance.log("ocr.log") for instance in gateway.instances)
    assert any("POST /ocr " in instance.log("access.log") for instance in gateway.instances)
