"""Metrics over several workers and their ends, and the files that name them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import redis
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.errors import ServiceError
from app.model.usage import RECOGNISED
from config.settings import ROOT
from tests.process.conftest import Server
from tests.process.test_faults import await_true
from tests.process.test_serving import patiently, png
from tests.servers import RedisServer, which
from tests.signing import Caller

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "ocr.json"
NAME = re.compile(r"\bocr_[a-z0-9_]+\b")


Samples = dict[tuple[str, str], float]


def samples(server: Server) -> Samples:
    """Every sample by its name and its labels' values."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(server.metrics())
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def two_workers(start_server: Callable[..., Server]) -> Server:
    return start_server(WEB_CONCURRENCY=2)


@pytest.fixture(scope="module")
def alice(two_workers: Server) -> Caller:
    return two_workers.caller()


def test_sums_are_over_all_workers_and_outlive_them(two_workers: Server, alice: Caller) -> None:
    server = two_workers
    await_true(lambda: shown(server))
    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(lambda n: patiently(server, alice, png(n)[0]), range(12)))
    assert {body["status_code"] for body in bodies} == {6}
    requests.post(f"{server.url}/ocr", json={}, timeout=10)
    before = samples(server)
    assert before["ocr_requests_total", "6"] == before["ocr_pictures_total", "PNG"] == 12
    assert before["ocr_lines_total", ""] == 12
    assert before["ocr_requests_total", "0"] == 1
    assert before["ocr_workers", ""] == 2
    assert before["ocr_queue_length", ""] == 0
    for stage in ("queue", "fetch", "decode", "ocr", "detection", "recognition", "total"):
        assert before["ocr_stage_seconds_count", stage] == 12
    parts = before["ocr_stage_seconds_sum", "detection"] + before["ocr_stage_seconds_sum", "recognition"]
    assert 0.5 * parts < before["ocr_stage_seconds_sum", "ocr"] <= parts + 12 * 0.05 + 1

    old = set(server.workers())
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    await_true(lambda: server.workers() and not old & set(server.workers()))
    server.await_ready()
    patiently(server, alice, png(20)[0])
    after = samples(server)
    assert after["ocr_requests_total", "6"] == 13
    assert after["ocr_worker_exits_total", ""] == before["ocr_worker_exits_total", ""] + 2


def test_the_memory_shown_is_that_of_the_workers_that_run(two_workers: Server) -> None:
    sizes = {label: value for (name, label), value in samples(two_workers).items()
             if name == "ocr_worker_resident_bytes"}  # fmt: skip
    assert set(sizes) == set(map(str, two_workers.workers()))
    assert all(10**8 < size < 10**10 for size in sizes.values())


def test_requests_under_way_are_shown_while_they_are(two_workers: Server, alice: Caller) -> None:
    receipt = (ROOT / "samples" / "receipt.png").read_bytes()
    with ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(patiently, two_workers, alice, receipt) for _ in range(6)]
        await_true(lambda: samples(two_workers)["ocr_queue_length", ""] >= 3)
        assert {answer.result()["status_code"] for answer in sent} == {6}
    assert samples(two_workers)["ocr_queue_length", ""] == 0


def test_counters_go_on_through_a_reload(two_workers: Server, alice: Caller) -> None:
    before, old = samples(two_workers), set(two_workers.workers())
    two_workers.master.send_signal(signal.SIGHUP)
    await_true(lambda: two_workers.workers() and not old & set(two_workers.workers()))
    two_workers.await_ready()
    patiently(two_workers, alice, png(30)[0])
    after = samples(two_workers)
    assert after["ocr_requests_total", "6"] == before["ocr_requests_total", "6"] + 1
    assert after["ocr_workers", ""] == 2


def test_metrics_are_nowhere_else(two_workers: Server) -> None:
    assert requests.get(f"{two_workers.url}/metrics", timeout=10).status_code == 404


def replaced(server: Server, worker: int) -> bool:
    """Whether another has taken the worker's place."""
    return len(server.workers()) == 2 and worker not in server.workers()


def test_another_worker_shows_them_when_one_has_ended(two_workers: Server) -> None:
    for victim in two_workers.workers():
        os.kill(victim, signal.SIGKILL)
        await_true(lambda: shown(two_workers))
        two_workers.await_ready()
        await_true(partial(replaced, two_workers, victim))


def shown(server: Server) -> bool:
    try:
        return "ocr_workers" in server.metrics()
    except requests.ConnectionError:
        return False


def test_a_listener_that_somebody_else_has_keeps_no_server_from_its_work(
    two_workers: Server, start_server: Callable[..., Server]
) -> None:
    server = start_server(OCR_METRICS__BIND=two_workers.env["OCR_METRICS__BIND"])
    assert "metrics are not shown here" in server.log("ocr.log")
    assert server.stop() == 0


def named(text: str) -> set[str]:
    return set(NAME.findall(text))


def labels_there(server: Server) -> dict[str, set[str]]:
    """The values that each label may have: those shown, the contract's codes, and what Prometheus adds."""
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    there: dict[str, set[str]] = {"instance": set(), "job": {job["job_name"] for job in scraped}}
    for family in text_string_to_metric_families(server.metrics()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                there.setdefault(label, set()).add(value)
    codes = [RECOGNISED, *(error.status_code for error in ServiceError.__subclasses__())]
    return there | {"status_code": {str(code) for code in codes}}


def assert_there(expression: str, metrics: set[str], labels: dict[str, set[str]]) -> None:
    assert named(expression) <= metrics, expression
    for label, values in re.findall(r'(\w+)[=!][=~]?"([^"]*)"', expression):
        assert set(values.split("|")) <= labels[label], expression
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert set(grouped.split(", ")) <= labels.keys(), expression


def test_rules_and_dashboard_name_only_what_there_is(
    start_server: Callable[..., Server], redis_server: RedisServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    server = start_server(OCR_STATE__REDIS_URL=redis_server.url, OCR_AUTH__MAX_AHEAD_S=1)
    await_true(lambda: shown(server))
    assert patiently(server, server.caller(), png(40)[0])["status_code"] == 6
    with redis_server.stopped():
        requests.post(f"{server.url}/ocr", json=Caller("nobody", "x").body(picture=b"x"), timeout=10)
        unready = requests.get(f"{server.url}/readyz", timeout=10)
        assert (unready.status_code, unready.json()["store"]) == (503, "unavailable")
        assert requests.get(f"{server.url}/healthz", timeout=10).ok
    await_true(lambda: ("ocr_stream_lag_seconds", "") in samples(server))
    assert samples(server)["ocr_store_faults_total", "redis"] >= 1
    there, labels = {name for name, _ in samples(server)}, labels_there(server)
    assert {"total", "queue"} <= labels["stage"] and labels["store"] == {"redis"}
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"].keys() == {"summary", "description"}
            assert_there(rule["expr"], there, labels)
    expressions = [
        target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    ]
    assert expressions
    for expression in expressions:
        assert_there(expression, there, labels)


def test_every_alert_is_explained_to_the_operator() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert f"`{rule['alert']}`" in text


WORKERS = {
    'ocr_workers{instance="a"}': "8 8",
    'ocr_worker_max_bytes{instance="a"}': "3e9 3e9",
    'ocr_worker_max_bytes{instance="any"}': "0 0",
    'ocr_worker_resident_bytes{instance="a", worker="1"}': "2e9 4e9",
    'ocr_worker_resident_bytes{instance="any", worker="1"}': "2e9 4e9",
}
DISKS = {
    'ocr_disk_free_bytes{instance="a", folder="/full"}': "2e6 5e5",
    'ocr_disk_free_bytes{instance="a", folder="/free"}': "9e9 9e9",
    'ocr_disk_min_free_bytes{instance="a"}': "1e6 1e6",
}


@pytest.mark.parametrize(
    ("alert", "series", "found"),
    [
        ("OcrDiskFull", DISKS, {'ocr_disk_free_bytes{instance="a", folder="/full"}': 5e5}),
        ("OcrWorkerLarge", WORKERS, {'ocr_worker_resident_bytes{instance="a", worker="1"}': 4e9}),
        ("OcrWorkersEnd", WORKERS | {'ocr_worker_exits_total{instance="a"}': "0 8"}, {}),
        ("OcrWorkersEnd", WORKERS | {'ocr_worker_exits_total{instance="a"}': "0 20"}, {'{instance="a"}': 20}),
    ],
)
def test_an_alert_is_about_what_it_names(
    tmp_path: Path, alert: str, series: dict[str, str], found: dict[str, float]
) -> None:
    [rule] = [
        rule
        for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
        if rule["alert"] == alert
    ]
    samples = [{"labels": labels, "value": value} for labels, value in found.items()]
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": rule["expr"], "eval_time": "0m", "exp_samples": []},
            {"expr": rule["expr"], "eval_time": "1m", "exp_samples": samples},
        ],
    }
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump({"tests": [case]}))
    done = subprocess.run([which("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("counter", "fired"), [("ocr_requests", False), ("ocr_signed_requests", True)])
def test_only_signed_requests_raise_the_alerts_on_failures(tmp_path: Path, counter: str, fired: bool) -> None:
    """The names are those that a server shows, as the tests above assert."""
    codes = {"OcrFailing": ("5", "page"), "OcrBusy": ("17", "ticket")}
    series = {f'{counter}_total{{status_code="{code}"}}': "0+600x60" for code, _ in codes.values()}
    series['ocr_signed_requests_total{status_code="6"}'] = "0+60x60"
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["annotations"] = {}
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    alerts = []
    for name in [rule["alert"] for group in rules["groups"] for rule in group["rules"]]:
        expected = [{"exp_labels": {"severity": codes[name][1]}}] if fired and name in codes else []
        alerts.append({"eval_time": "50m", "alertname": name, "exp_alerts": expected})
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": alerts,
    }
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": [case]}))
    done = subprocess.run([which("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        [which("promtool"), "check", "rules", str(PROMETHEUS / "alerts.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
