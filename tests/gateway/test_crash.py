"""A picture that crashes its worker, through Nginx: the second try must not take the second instance, too."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.gateway.conftest import Instance, MakeGateway, await_true
from tests.process.test_crash import LONG, readers_in, small


def test_a_picture_takes_one_worker_down_and_not_the_next_instances(
    make_gateway: MakeGateway, tmp_path: Path
) -> None:
    gateway = make_gateway(OCR_ENGINE__CRASH_DIR=tmp_path, WEB_CONCURRENCY=1)
    caller = gateway.caller("crasher")
    before = {worker: instance for instance in gateway.instances for worker in instance.workers()}

    def reader() -> int:
        return next(iter(readers_in(tmp_path, LONG) & before.keys()), 0)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(gateway.post, caller.body(picture=LONG))
        await_true(reader)
        os.kill(crashed := reader(), signal.SIGSEGV)
        answer = sent.result()
    assert (answer.status_code, answer.json()["error"]) == (500, "ocr_failed")
    assert ", unix:" in gateway.access(answer.headers["X-Request-ID"])["upstream"]
    [other] = [instance for worker, instance in before.items() if worker != crashed]
    await_true(lambda: replaced(before[crashed], crashed))
    gateway.await_ready()
    again = gateway.post(caller.body(picture=LONG))
    assert (again.status_code, again.json()["error"]) == (500, "ocr_failed")
    assert gateway.post(caller.body(picture=small())).status_code == 200
    assert set(other.workers()) == before.keys() - {crashed}
    assert gateway.records("crasher", "charged") == 1


def replaced(instance: Instance, worker: int) -> bool:
    return bool(instance.workers()) and worker not in instance.workers()
