"""`ocr-client read`: formats, exit status, where the secret comes from, the bar."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ocr_client.command import _cell
from samples.draw import font
from tests.clients.conftest import LINES, RECEIPT, Command, env
from tests.clients.scripted import Scripted
from tests.process.conftest import Server
from tests.servers import free_port
from tests.signing import Caller

DIGITS = RECEIPT.parent / "digits.png"


@pytest.fixture
def run(
    command: Callable[[str], Command], service: Server, caller: Caller
) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object, url: str = f"{service.url}/ocr") -> subprocess.CompletedProcess[str]:
        return command("python").run(*map(str, arguments), url=url, caller=caller)

    return run


Run = Callable[..., subprocess.CompletedProcess[str]]


def test_text_of_several_pictures_has_titles(run: Run) -> None:
    done = run(RECEIPT, DIGITS, "--concurrency", 2, "--orient")
    titles = [line for line in done.stdout.splitlines() if line.startswith("==>")]
    assert titles == [f"==> {RECEIPT} <==", f"==> {DIGITS} <=="]
    assert done.returncode == 0


def test_json_has_one_object_for_each_picture_and_failures_too(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    done = run(RECEIPT, broken, "--format", "json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["source"], first["text"].splitlines()) == (str(RECEIPT), LINES)
    assert len(first["lines"][0]["box"]) == 4
    assert (second["source"], second["error"]) == (str(broken), "picture_unsupported")
    assert str(broken) in done.stderr
    assert done.returncode == 1


def test_csv_has_one_row_for_each_line(run: Run) -> None:
    rows = list(csv.DictReader(run(RECEIPT, "--format", "csv").stdout.splitlines()))
    assert [row["text"] for row in rows] == LINES
    assert {row["source"] for row in rows} == {str(RECEIPT)}
    assert all(row["y4"].isdecimal() and 0 < float(row["score"]) <= 1 for row in rows)


def test_csv_holds_no_formula(
    run: Run, command: Callable[[str], Command], service: Server, caller: Caller, tmp_path: Path
) -> None:
    """Neither by the text of a picture nor by its name; a plain number stays one."""
    lines = ["=SUM(1+1)*cmd", "-5.00", "Total 7"]
    sheet = Image.new("RGB", (700, 300), "white")
    for at, line in enumerate(lines):
        ImageDraw.Draw(sheet).text((40, 30 + 80 * at), line, "black", font(40))
    name = "=1+1,x.png"
    sheet.save(tmp_path / name)
    words = [*command("python").read, name, "--format", "csv"]
    variables = env(caller, f"{service.url}/ocr")
    done = subprocess.run(words, env=variables, cwd=tmp_path, capture_output=True, text=True)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert {row["source"] for row in rows} == {f"'{name}"}
    assert [row["text"] for row in rows] == [f"'{lines[0]}", *lines[1:]]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1+1", "-1+1", "@SUM(A1)", "＝1+1", "＋1+1", "－1+1", "＠SUM(A1)", "﹦1",
        "\t=1", "\ttext", "\rtext", "\ntext", " =1+1", "\u3000=1+1", "\xa0@SUM(A1)", "\u200b=1", "\ufeff=1",
        "\N{MINUS SIGN}1+1", "\x00=1", "-2*3", "-5.00 CNY", "+49 (30) 123", "--5", "-٥", "-5\n",
    ],
)  # fmt: skip
def test_what_begins_as_a_formula_is_marked_as_a_text(text: str) -> None:
    assert _cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "-5.00", "+86", "-1,234.50", "+3%", "a=b", "1-2", "价格 -5", " 7", "'=1", "(-5)"]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert _cell(text) == text


def test_charset_digits_finds_digits_alone(run: Run) -> None:
    assert not re.search("[A-Za-z]", run(RECEIPT, "--charset", "digits").stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing argument"),
        (("missing.png",), "does not exist"),
        (("ftp://example.com/a.png",), "neither an http nor an https URL"),
        ((RECEIPT, "--secret-file", os.devnull), "the secret is missing"),
    ],
)
def test_wrong_usage_is_2_before_anything_is_sent(run: Run, arguments: tuple[object, ...], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_no_service_is_3(run: Run) -> None:
    done = run(RECEIPT, "--patience", 0, url=f"http://127.0.0.1:{free_port()}/ocr")
    assert (done.returncode, done.stdout) == (3, "")
    assert "cannot be reached" in done.stderr


def test_the_secret_may_come_from_a_file_but_from_no_option(
    command: Callable[[str], Command], service: Server, caller: Caller, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(caller.secret + "\n")
    others = Caller(caller.username, "a wrong secret in OCR_SECRET")
    client, url = command("python"), f"{service.url}/ocr"
    assert client.run(str(DIGITS), "--secret-file", str(file), url=url, caller=others).returncode == 0
    assert client.run(str(DIGITS), "--secret", caller.secret, url=url, caller=others).returncode == 2


def test_help_tells_of_the_environment_and_the_exit_status(run: Run) -> None:
    said = run("--help").stdout
    for word in ("OCR_URL", "OCR_USER", "OCR_SECRET", "Exit status", "  3  stopped early"):
        assert word in said


def test_a_bar_shows_on_a_terminal(
    command: Callable[[str], Command], service: Server, caller: Caller
) -> None:
    terminal, inner = pty.openpty()
    words = [*command("python").read, str(DIGITS), str(DIGITS)]
    variables = env(caller, f"{service.url}/ocr") | {"TERM": "xterm"}
    done = subprocess.run(words, env=variables, stdout=subprocess.PIPE, stderr=inner)
    os.close(inner)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert done.returncode == 0
    assert "Reading" in shown and "100%" in shown


HOSTILE = "a\x1b]0;title\x07\x9b31mb\u202ec"
SAFE = r"a\x1b]0;title\x07\x9b31mb\u202ec"


def hostile_answer() -> tuple[int, dict[str, str], bytes]:
    """A picture whose text a terminal would obey."""
    corners = [[0, 0], [1, 0], [1, 1], [0, 1]]
    body = {
        "status_code": 6,
        "result": HOSTILE,
        "lines": [{"text": HOSTILE, "score": 1, "box": corners}],
        "picture": {"width": 1, "height": 1, "format": "PNG", "sha256": "0" * 64},
        "elapsed_ms": dict.fromkeys(("queue", "fetch", "decode", "ocr", "total"), 0),
        "quota": {"limit": None, "remaining": None},
        "model": "m",
        "request_id": "0" * 32,
    }
    return 200, {}, json.dumps(body).encode()


@pytest.mark.parametrize("style", ["text", "json", "csv"])
def test_a_strangers_text_is_escaped_on_a_terminal_alone(
    command: Callable[[str], Command], caller: Caller, style: str
) -> None:
    words = [*command("python").read, str(DIGITS), "--format", style]
    with Scripted(hostile_answer()) as service:
        piped = subprocess.run(words, env=env(caller, service.url), capture_output=True, text=True).stdout
        terminal, inner = pty.openpty()
        subprocess.run(words, env=env(caller, service.url), stdout=inner, check=True)
    os.close(inner)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert HOSTILE in (json.loads(piped)["text"] if style == "json" else piped)
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", shown)
    assert SAFE in shown.replace("u001b", "x1b").replace("u0007", "x07").replace("\\u009b", r"\x9b")


def test_it_ends_by_sigpipe_when_its_reader_has_left(
    command: Callable[[str], Command], caller: Caller
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [*command("python").read, str(DIGITS)]
    with Scripted(hostile_answer()) as service:
        done = subprocess.run(
            words, env=env(caller, service.url), stdout=writer, stderr=subprocess.PIPE, text=True
        )
    os.close(writer)
    assert (done.returncode, done.stderr) == (-13, "")
