"""The operator's commands, over the real application."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import Result
from PIL import Image

from app import create_app
from app.state.sql.records import store as store_rows
from config.settings import ROOT, Settings
from tests.picture_host import PictureHost, http
from tests.servers import RedisServer, which
from tests.signing import Caller
from tests.web.conftest import Service

DIGITS = ROOT / "samples" / "digits.png"
LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["digits.png"]

Flask = Callable[..., Result]


@pytest.fixture(scope="module")
def private(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def flask(private: Service) -> Flask:
    return lambda *arguments: private.app.test_cli_runner().invoke(args=list(arguments))


def table(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.output.splitlines()]


def test_users(flask: Flask, private: Service) -> None:
    secret = flask("users", "add", "bob", "--quota", "5").output.split()[-1]
    assert private.services.store.find("bob").secrets == (secret,)  # type: ignore[union-attr]
    assert flask("users", "add", "bob", "--if-missing").output == ""
    again = flask("users", "add", "bob")
    assert (again.exit_code, again.output) == (1, "Error: User bob already exists.\n")
    assert flask("users", "add", "b o b").exit_code == 2

    newer = flask("users", "rotate-secret", "bob").output.split()[-1]
    assert private.services.store.find("bob").secrets == (newer, secret)  # type: ignore[union-attr]

    flask("users", "disable", "bob")
    flask("users", "set-quota", "bob", "unlimited")
    flask("users", "set-legacy-sign", "bob", "on")
    listed = table(flask("users", "list"))
    assert listed[0][:4] == ["USER", "STATE", "QUOTA", "USED"]
    assert ["bob", "disabled", "unlimited", "0", "-", "hmac-sha256,", "md5"] in [row[:7] for row in listed]
    assert flask("users", "enable", "bob").exit_code == 0
    assert flask("users", "set-quota", "bob", "-5").exit_code == 2
    assert "User eve does not exist" in flask("users", "disable", "eve").output


def test_a_rotated_secret_is_shown_though_redis_is_down(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(state={"redis_url": "redis://127.0.0.1:1/0"})
    first = service.services.store.users.add("nora")
    result = service.app.test_cli_runner().invoke(args=["users", "rotate-secret", "nora"])
    assert result.exit_code == 1
    assert "Redis could not be updated" in result.stderr
    assert "flask db init" not in result.stderr
    shown = result.stdout.split()[-1]
    assert service.services.store.find("nora").secrets == (shown, first)  # type: ignore[union-attr]


@pytest.mark.parametrize("command", ["add", "enable", "disable", "set-quota", "rotate-secret", "link"])
def test_a_name_that_nobody_can_have_is_refused(flask: Flask, command: str) -> None:
    """MySQL takes `alice ` for `alice` in a comparison."""
    result = flask("users", command, "bob ", *["5"] * (command == "set-quota"))
    assert result.exit_code == 2
    assert "'bob ' does not match" in result.output


def test_a_link_opens_the_console_signed_in(flask: Flask, private: Service) -> None:
    secret = flask("users", "add", "lina").output.split()[-1]
    here = flask("users", "link", "lina").output
    assert re.fullmatch(r"http://127\.0\.0\.1:8081/#user=lina&code=[0-9a-f]{32}\n", here)
    code = here.strip().partition("code=")[2]
    answer = private.app.test_client().post("/sign-in", json={"username": "lina", "code": code})
    assert answer.get_json()["secret"] == secret
    elsewhere = flask("users", "link", "lina", "--base", "https://ocr.example.com/").output
    assert elsewhere.startswith("https://ocr.example.com/#user=lina&")
    assert "User eve does not exist" in flask("users", "link", "eve").output


def test_sign_makes_a_body_that_is_accepted(flask: Flask, private: Service) -> None:
    flask("users", "add", "carol")
    result = flask("sign", str(DIGITS), "--user", "carol", "--option", "boxes=false")
    answer = private.post(json.loads(result.stdout)).get_json()
    assert answer["result"].splitlines() == LINES
    assert "box" not in answer["lines"][0]
    assert result.stderr.startswith("curl ")
    assert "User eve does not exist" in flask("sign", str(DIGITS), "--user", "eve").output
    assert flask("sign", "no-such-file.png", "--user", "carol").exit_code == 1


def test_the_curl_line_works_as_it_is_printed(flask: Flask) -> None:
    """Pasted into a shell, with a picture host standing for the service; we look at what curl sent."""
    which("curl")
    flask("users", "add", "dave")
    line = flask("sign", "https://example.com/it's.png", "--user", "dave").stderr
    with PictureHost({"/ocr": http(200, b"{}")}) as host:
        pasted = line.replace("http://127.0.0.1:8081/ocr", host.url("/ocr"))
        subprocess.run(["sh", "-c", pasted], check=True, capture_output=True)
        head = host.heads[0].decode()
    assert head.startswith("POST /ocr HTTP/1.1")
    assert "https://example.com/it's.png" in head
    assert "content-type: application/json" in head.lower()


def test_the_curl_line_sends_a_file_of_any_name(flask: Flask, tmp_path: Path) -> None:
    which("curl")
    flask("users", "add", "dora")
    picture = tmp_path / 'it\'s a,b;type=text "c" \\d.png'
    shutil.copyfile(DIGITS, picture)
    line = flask("sign", str(picture), "--user", "dora").stderr
    with PictureHost({"/ocr": http(200, b"{}")}) as host:
        pasted = line.replace("http://127.0.0.1:8081/ocr", host.url("/ocr"))
        subprocess.run(["sh", "-c", pasted], check=True, capture_output=True)
        assert host.heads[0].startswith(b"POST /ocr HTTP/1.1")


def test_read_needs_no_service(flask: Flask, tmp_path: Path) -> None:
    assert flask("read", str(DIGITS)).output.splitlines() == LINES
    lines = json.loads(flask("read", "--json", str(DIGITS)).output)["lines"]
    assert [line["text"] for line in lines] == LINES
    large = tmp_path / "large.webp"
    Image.new("L", (7_000, 5_500)).save(large, method=0)
    assert flask("read", str(large)).output == "Error: picture_too_large: out of memory\n"


def test_usage_tail(flask: Flask, private: Service) -> None:
    caller = Caller("erin", private.services.store.users.add("erin"))
    private.post(caller.body(picture=DIGITS.read_bytes()))
    private.post(caller.body(picture=b"no picture"))
    rows = table(flask("usage", "tail", "-n", "2"))
    assert rows[0][0] == "STARTED"
    assert [(row[3], row[4]) for row in rows[1:]] == [("erin", "6"), ("erin", "16")]


def test_usage_report(flask: Flask, private: Service, tmp_path: Path) -> None:
    caller = Caller("grace", private.services.store.users.add("grace"))
    private.post(caller.body(picture=DIGITS.read_bytes()))
    private.post(caller.body(picture=b"no picture"))
    today = str(datetime.now(UTC).date())

    rows = table(flask("usage", "report", "--user", "grace"))
    assert [row[:3] for row in rows[1:]] == [[today, "2", "1"], ["total", "2", "1"]]
    assert rows[1][-2:] == ["6:1", "16:1"]
    lines = flask("usage", "report", "--user", "grace", "--csv").output.splitlines()
    assert lines[0] == "day,requests,pictures,characters,p50_ms,p95_ms,code_6,code_16"
    assert lines[1].startswith(f"{today},2,1,")
    drawn = tmp_path / "usage.png"
    assert flask("usage", "report", "--plot", str(drawn)).exit_code == 0
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert (
        flask("usage", "report", "--plot", str(tmp_path / "empty.svg"), "--to", "2020-01-01").exit_code == 0
    )

    assert flask("usage", "report", "--from", "2026-03-02", "--to", "2026-03-01").exit_code == 2
    assert "User eve does not exist" in flask("usage", "report", "--user", "eve").output


def test_usage_purge_wants_to_know_how_many_days_to_keep(flask: Flask) -> None:
    assert "OCR_USAGE__KEEP_DAYS" in flask("usage", "purge").output


def test_usage_purge_counts_the_days_of_the_settings_or_its_own(make_service: Callable[..., Service]) -> None:
    service = make_service(usage={"keep_days": 30})
    store, now = service.services.store, time.time()
    service.caller()
    rows = [
        {
            "request_id": uuid4().hex,
            "user_id": 1,
            "username": "alice",
            "started_at": int((now - days * 86_400) * 1000),
            "finished_at": int(now * 1000),
            "status_code": 6,
            "total_ms": days,
        }
        for days in (31, 29)
    ]
    with store.database.write() as connection:
        assert store_rows(connection, rows).refused == {}
    for days, kept in (([], [29]), (["--days", "30"], [29]), (["--days", "28"], [])):
        purged = service.app.test_cli_runner().invoke(args=["usage", "purge", *days])
        assert purged.exit_code == 0, purged.output
        assert [row["total_ms"] for row in store.tail(10)] == kept


def test_dead_letters_are_listed_and_put_back(
    make_service: Callable[..., Service], redis_server: RedisServer, tmp_path: Path
) -> None:
    state = {"redis_url": redis_server.url, "redis_timeout_ms": 5000, "spool_dir": tmp_path / "spool"}
    service = make_service(state=state)
    flask = service.app.test_cli_runner().invoke
    parts = service.services.state
    assert parts.redis is not None
    parts.redis.link.ask("FLUSHALL")
    parts.prepare()
    assert service.post(service.caller().body(picture=b"no picture")).get_json()["status_code"] == 16

    with parts.store.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER picky BEFORE INSERT ON usage_records BEGIN SELECT RAISE(ABORT, 'not today'); END"
        )
    assert flask(args=["usage", "flush", "--once"]).output == "1 records moved.\n"
    head, letter = flask(args=["usage", "dead"]).output.splitlines()
    assert head.split() == ["LETTER", "ERROR", "RECORD"]
    assert "not today" in letter
    assert parts.store.tail(10) == []

    with parts.store.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER picky")
    assert flask(args=["usage", "dead", "--retry"]).output.endswith("\n1 records queued again.\n")
    assert len(table(flask(args=["usage", "dead"]))) == 1
    assert flask(args=["usage", "flush", "--once"]).output == "1 records moved.\n"
    assert [row["status_code"] for row in parts.store.tail(10)] == [16]


def test_import_original(flask: Flask, private: Service, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "original.sqlite")) as original:
        original.execute("CREATE TABLE user_table (name TEXT, password TEXT, remaining_times INTEGER)")
        original.execute("INSERT INTO user_table VALUES ('heidi', 'her password', 5)")
        original.commit()
    url = f"sqlite:///{tmp_path}/original.sqlite"

    wrong = flask("users", "import-original", url)
    assert (wrong.exit_code, "no such column: user_table.username (set the names" in wrong.output) == (
        1,
        True,
    )
    done = flask("users", "import-original", url, "--username", "name")
    assert done.output == "heidi: added, 0 uses.\n1 of 1 users added.\n"
    heidi = Caller("heidi", "her password")
    answer = private.post(heidi.legacy_body(picture_url="https://127.0.0.1/"))
    assert answer.get_json()["error"] == "picture_url_not_allowed"  # so the signature was good
    assert flask("users", "import-original", "postgresql://x/y").exit_code == 2


def test_models_list(flask: Flask) -> None:
    assert {row[0] for row in table(flask("models", "list"))[1:]} >= {
        "PP-OCRv6_small_det",
        "PP-OCRv6_small_rec",
    }


def test_doctor_finds_nothing_wrong_and_then_what_is(
    flask: Flask, private: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = flask("doctor")
    assert result.exit_code == 0, result.output
    assert "WRONG" not in result.output
    assert "the engine reads the built-in test picture (openvino " in result.output
    monkeypatch.setenv("OCR_ENGINE_THREADS", "2")
    private.services.settings.state.key_file.chmod(0o644)
    result = flask("doctor")
    private.services.settings.state.key_file.chmod(0o600)
    assert result.exit_code == 1
    assert [line[:5] for line in result.output.splitlines()].count("WRONG") == 2
    assert "OCR_ENGINE_THREADS" in result.output


def test_doctor_without_a_database_says_so(tmp_path: Path) -> None:
    state = {"database_url": f"sqlite:///{tmp_path}/none.sqlite", "key_file": tmp_path / "none.key"}
    bare = create_app(Settings(state=state, log={"file": str(tmp_path / "ocr.log")}))
    result = bare.test_cli_runner().invoke(args=["doctor"])
    assert result.exit_code == 1
    assert "no such table" in result.output
    assert "flask db init" in result.output
    assert "Traceback" not in result.output
    listed = bare.test_cli_runner().invoke(args=["users", "list"])
    assert listed.output == "Error: database: no such table: users (`flask db init` makes the tables)\n"


def test_what_is_wrong_with_a_database_that_is_there_is_not_that_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database" * 100)
    state = {"database_url": f"sqlite:///{tmp_path}/text", "key_file": tmp_path / "key"}
    bare = create_app(Settings(state=state, log={"file": str(tmp_path / "ocr.log")}))
    result = bare.test_cli_runner().invoke(args=["users", "list"])
    assert result.output == "Error: database: file is not a database\n"


def test_quota_per_day(flask: Flask) -> None:
    flask("users", "add", "frank", "--quota", "7", "--per", "day")
    assert flask("users", "set-quota", "frank", "9").output == "frank: quota 9/day, 0 used.\n"
    assert flask("users", "set-quota", "frank", "100", "--per", "month").exit_code == 0
    listed = {row[0]: row[2:5] for row in table(flask("users", "list"))}
    assert listed["frank"] == ["100/month", "0", "100"]
    assert flask("users", "set-quota", "frank", "9", "--per", "week").exit_code == 2


def test_db_status_and_upgrade(tmp_path: Path) -> None:
    state = {"database_url": f"sqlite:///{tmp_path}/new.sqlite", "key_file": tmp_path / "new.key"}
    bare = create_app(Settings(state=state, log={"file": str(tmp_path / "ocr.log")}))
    flask = bare.test_cli_runner().invoke
    assert flask(args=["db", "status"]).exit_code == 1
    assert flask(args=["db", "status"]).output.endswith("has no tables yet: run `flask db init`\n")
    assert "Version none -> " in flask(args=["db", "upgrade"]).output
    assert "as before" in flask(args=["db", "upgrade"]).output
    assert flask(args=["db", "status"]).exit_code == 0
    bare.extensions["ocr"].store.close()


def test_db_init_may_be_repeated(flask: Flask) -> None:
    assert flask("db", "init").exit_code == 0
    assert flask("db", "init").exit_code == 0


def test_without_redis_there_is_nothing_to_flush(flask: Flask) -> None:
    for command in (["usage", "flush", "--once"], ["usage", "dead"]):
        done = flask(*command)
        assert done.exit_code == 1
        assert "OCR_STATE__REDIS_URL is not set" in done.output
