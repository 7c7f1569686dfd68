"""What Redis and the spool hold of a request: text that workers of two releases read from each other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import app.state.redis_front as redis_front
from app.state.redis_front.admission_script import AdmissionKeys, Outcome
from app.state.redis_front.keys import held_key, quota_key
from app.state.redis_front.pending import PendingUsage
from app.state.sql.quota_period import QuotaPeriod

REQUEST_ID = "0123456789abcdef0123456789abcdef"
ROW = {"request_id": REQUEST_ID, "user_id": 7, "username": "al.ice", "started_at": 1_767_225_600_123}
PERIODS = {
    QuotaPeriod(7, "day", 1_767_225_600_000, 1_767_398_400_000): (
        '{"user_id":7,"period":"day","starts_ms":1767225600000,"ends_ms":1767398400000}',
        f"{REQUEST_ID}|al.ice|7|day|1767225600000|1767398400000",
        "7:day:1767225600000",
    ),
    QuotaPeriod(7): (
        '{"user_id":7,"period":"none","starts_ms":0,"ends_ms":null}',
        f"{REQUEST_ID}|al.ice|7|none|0|",
        "7:none:0",
    ),
}


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("only_if_open", [True, False])
def test_the_text_of_the_stream_and_the_spool(period: QuotaPeriod, only_if_open: bool) -> None:
    budget, _, _ = PERIODS[period]
    text = (
        f'{{"budget":{budget},"row":{{"request_id":"{REQUEST_ID}","user_id":7,"username":"al.ice",'
        '"started_at":1767225600123,"status_code":6,"text":"发票"},'
        f'"only_if_open":{str(only_if_open).lower()}}}'
    )
    usage = PendingUsage(period, ROW | {"status_code": 6, "text": "发票"}, only_if_open)
    assert usage.as_json() == text
    assert PendingUsage.from_json(text) == usage


@pytest.mark.parametrize("period", PERIODS)
def test_the_element_of_the_open_requests(period: QuotaPeriod) -> None:
    _, member, _ = PERIODS[period]
    assert PendingUsage(period, ROW).member == member
    lost = PendingUsage.from_member(member, ROW["started_at"])  # type: ignore[arg-type]
    assert lost == PendingUsage(period, ROW, only_if_open=True)


@pytest.mark.parametrize("period", PERIODS)
def test_the_keys_of_a_period(period: QuotaPeriod) -> None:
    _, _, suffix = PERIODS[period]
    assert (quota_key(period), held_key(period)) == (f"ocr:quota:{suffix}", f"ocr:held:{suffix}")


BUDGET = PERIODS[QuotaPeriod(7)][0]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "null", "{}"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        PendingUsage.from_json(text)


@pytest.mark.parametrize(
    ("budget", "row"),
    [
        ("{}", ROW | {"status_code": 6}),
        (BUDGET, None),
        (BUDGET, ROW),
        (BUDGET, ROW | {"status_code": "6"}),
        (BUDGET, ROW | {"status_code": 6, "user_id": "7"}),
    ],
)
def test_a_record_without_its_fields_is_refused(budget: str, row: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        PendingUsage.from_json(f'{{"budget":{budget},"row":{json.dumps(row)},"only_if_open":false}}')


def test_the_admission_script_and_its_caller_use_the_same_names() -> None:
    script = (Path(redis_front.__path__[0]) / "lua" / "admit.lua").read_text()
    (keys,) = re.findall(r"local (.*) = unpack\(KEYS\)", script)
    assert keys.lower().split(", ") == list(AdmissionKeys._fields)
    assert set(re.findall(r"answer\('(\w+)'", script)) == {outcome.value for outcome in Outcome}
