"""One server for all clients, and every client as a command that can be run."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from config.settings import ROOT
from tests.picture_host import PictureHost, http
from tests.process.conftest import Server, StartServer, start_shared_server  # noqa: F401  a fixture
from tests.signing import Caller

CLIENTS = ROOT / "clients"
RECEIPT = ROOT / "samples" / "receipt.png"
LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["receipt.png"]


@dataclass(frozen=True)
class Command:
    """A client's command: its words to read and to sign. json: it prints the whole answer, not only text."""

    read: tuple[str, ...]
    sign: tuple[str, ...] | None = None
    json: bool = False

    def run(self, *arguments: str, url: str, caller: Caller) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.read, *arguments], env=env(caller, url), capture_output=True, text=True)

    def signed(self, secret: str, *fields: str) -> str:
        """The string to sign and the sign, a line each."""
        assert self.sign is not None
        command = [*self.sign, *fields]
        return subprocess.check_output(command, env=env(Caller("", secret)), text=True)

    def text(self, done: subprocess.CompletedProcess[str]) -> list[str]:
        assert done.returncode == 0, done.stdout + done.stderr
        text = json.loads(done.stdout)["result"] if self.json else done.stdout
        return str(text).splitlines()


PACKAGES = {
    "node": "nodejs",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "go": "golang-go",
}


def env(caller: Caller, url: str = "") -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    said = {"OCR_URL": url, "OCR_USER": caller.username, "OCR_SECRET": caller.secret}
    return inherited | said | {"LC_ALL": "C.UTF-8"}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        why = f"no {name}: apt-get install {PACKAGES.get(name, name)}"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@pytest.fixture(scope="session")
def installed_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python client as pip installs it, in a folder of its own."""
    source, folder = tmp_path_factory.mktemp("source") / "python", tmp_path_factory.mktemp("installed")
    shutil.copytree(CLIENTS / "python", source)  # setuptools builds beside what it builds
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", folder, source], check=True)
    return folder


@pytest.fixture(scope="session")
def command(installed_client: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Command]:
    """The client in a language, built once, or a skipped test where its tools are missing."""

    def python() -> Command:
        run = (
            "env",
            f"PYTHONPATH={installed_client}",
            sys.executable,
            str(installed_client / "bin" / "ocr-client"),
        )
        return Command((*run, "read"), (*run, "sign"))

    def shell() -> Command:
        script = (tool("sh"), str(CLIENTS / "shell" / "ocr.sh"))
        return Command(script, (*script, "--sign"), json=True)

    def javascript() -> Command:
        return Command((tool("node"), str(CLIENTS / "javascript" / "read.mjs")))

    def java() -> Command:
        classes = str(tmp_path_factory.mktemp("java"))
        strict = ("--release", "11", "-Xlint:all", "-Werror")
        subprocess.run([tool("javac"), *strict, "-d", classes, CLIENTS / "java" / "Ocr.java"], check=True)
        run = (tool("java"), "-XX:TieredStopAtLevel=1", "-cp", classes, "Ocr")
        return Command(run, (*run, "--sign"), json=True)

    def go() -> Command:
        folder = tmp_path_factory.mktemp("go")
        built = folder / "ocr"
        own = os.environ | {"GOCACHE": str(folder / "cache"), "GOFLAGS": "", "GOTOOLCHAIN": "local"}
        for step in (["vet"], ["build", "-o", str(built)]):
            subprocess.run([tool("go"), *step, CLIENTS / "go" / "ocr.go"], check=True, env=own)
        return Command((str(built),), (str(built), "--sign"))

    builders = {"python": python, "shell": shell, "javascript": javascript, "java": java, "go": go}
    return cache(lambda language: builders[language]())


@pytest.fixture(params=["python", "shell", "javascript", "java", "go"])
def client(request: pytest.FixtureRequest, command: Callable[[str], Command]) -> Command:
    return command(request.param)


@pytest.fixture(scope="session")
def picture_url() -> Iterator[str]:
    """An address of the sample, on a picture host of ours."""
    with PictureHost({"/receipt.png": http(200, RECEIPT.read_bytes())}) as host:
        yield host.url("/receipt.png")


@pytest.fixture(scope="session")
def service(start_shared_server: StartServer, picture_url: str) -> Server:  # noqa: F811
    """The server of all clients. It fetches from our picture host."""
    return start_shared_server(
        OCR_FETCH__ALLOW_NETWORKS="127.0.0.0/8",
        OCR_FETCH__ALLOW_PORTS=picture_url.split(":")[2].split("/")[0],
    )


@pytest.fixture(scope="session")
def busy_service(start_shared_server: StartServer) -> Server:  # noqa: F811
    """One that is busy as soon as its threads are."""
    return start_shared_server(OCR_ENGINE__QUEUE_WAIT_S="0.01")


@pytest.fixture(scope="session")
def new_caller(service: Server) -> Callable[..., Caller]:
    """A new user: new_caller(quota=2)."""
    numbers = itertools.count()

    def new(quota: int | None = None) -> Caller:
        return service.caller(f"user-{next(numbers)}", quota_limit=quota)

    return new


@pytest.fixture(scope="session")
def caller(new_caller: Callable[..., Caller]) -> Caller:
    """The user of tests that need none to themselves."""
    return new_caller()
