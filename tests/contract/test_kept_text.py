"""OCR_USAGE__KEEP_TEXT, from the environment to the row: with the database alone, and with Redis in front."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from app.model.usage import RECOGNISED, UsageRecord
from app.system.clock import SystemClock
from app.wiring.state import build_mover, build_state
from config.settings import Settings
from tests.contract.state import id_of, ocr_request
from tests.servers import RedisServer

TEXT = "发票 No. 7"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.fixture(params=["database alone", "redis in front"])
def redis_url(request: pytest.FixtureRequest) -> str:
    if request.param == "database alone":
        return ""
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.mark.parametrize(
    ("keep_text", "kept"), [("full", (TEXT, DIGEST)), ("hash", (None, DIGEST)), ("none", (None, None))]
)
def test_what_is_kept_is_what_the_setting_says(
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep_text: str,
    kept: tuple[str | None, str | None],
) -> None:
    monkeypatch.setenv("OCR_USAGE__KEEP_TEXT", keep_text)
    monkeypatch.setenv("OCR_STATE__DATABASE_URL", database_url)
    monkeypatch.setenv("OCR_STATE__REDIS_URL", redis_url)
    monkeypatch.setenv("OCR_STATE__REDIS_TIMEOUT_MS", "5000")
    monkeypatch.setenv("OCR_STATE__KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("OCR_STATE__SPOOL_DIR", str(tmp_path / "spool"))
    settings = Settings()
    state = build_state(settings, SystemClock(), failed=lambda store: None)
    state.store.upgrade()
    if state.redis:
        state.redis.link.ask("FLUSHALL")
    state.prepare()
    state.store.users.add("alice")
    account = state.accounts.find("alice")
    assert account is not None

    state.admission.admit(account, ocr_request(), nonce_ttl_s=60)
    state.usage.finish(UsageRecord(id_of("nonce-0001"), "alice", RECOGNISED, text=TEXT))
    mover = build_mover(settings, state)
    assert mover is None or mover.move_all() == 1

    (row,) = state.store.tail(10)
    assert (row["text"], row["text_sha256"]) == kept
    state.store.close()
