"""Two versions of our service on one machine: this checkout, and a commit checked out beside it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.progress import say
from bench.servers import BenchError
from config.settings import ROOT

ENVIRONMENTS = ROOT / ".cache" / "bench"
NOOP = Path("bench", "noop.py")
# Read by gunicorn.py and by defaults of paths; these are no settings.
BESIDE_THE_SETTINGS = frozenset({"OCR_HOME", "OCR_DAEMON", "OCR_PROTOCOL"})
_LIST_SETTINGS = "from config.settings import described\nfor one in described(): print(one.variable)"


@dataclass(frozen=True)
class Version:
    """root: its checkout. bin: the programs of its virtual environment. shown: for people."""

    name: str
    root: Path
    bin: Path
    shown: str

    def understood(self, env: Mapping[str, str]) -> dict[str, str]:
        """The environment without settings unknown to this version, which would refuse to start with them."""
        clean = {name: value for name, value in env.items() if not name.startswith("OCR_")}
        listed = _run([str(self.bin / "python"), "-c", _LIST_SETTINGS], cwd=self.root, env=clean)
        known = BESIDE_THE_SETTINGS | set(listed.split())
        return {name: value for name, value in env.items() if not name.startswith("OCR_") or name in known}


NEW = Version("ours", ROOT, Path(sys.prefix, "bin"), "this checkout")


@contextmanager
def old_version(commit: str) -> Iterator[Version]:
    """Check the commit out into a temporary worktree, which is removed on exit. Raises BenchError.

    It uses our models, and our virtual environment too if it pins the same packages.
    """
    try:
        digest = _git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    except BenchError as error:
        raise BenchError(f"{commit!r} is no commit: {error}") from error
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder, "old")
        try:
            _git("worktree", "add", "--quiet", "--detach", str(root), digest)
            _complete(root)
            yield Version("old", root, _programs(root), _git("log", "-1", "--format=%h %s", digest))
        finally:
            shutil.rmtree(root, ignore_errors=True)
            _git("worktree", "prune")


def new_version() -> Version:
    """This checkout, uncommitted changes included, ready to start."""
    changed = " with uncommitted changes" if _git("status", "--porcelain") else ""
    _compile(NEW)
    return Version("new", NEW.root, NEW.bin, _git("log", "-1", "--format=%h %s") + changed)


def _complete(root: Path) -> None:
    """Add the models, which git does not hold, and bench/noop.py, which an early commit lacks."""
    (root / "models").symlink_to(ROOT / "models")
    if not (root / NOOP).exists():
        (root / NOOP).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / NOOP, root / NOOP)


def _programs(root: Path) -> Path:
    """The programs of a virtual environment with this checkout's packages: ours, or a cached one."""
    wanted = (root / "requirements.txt").read_bytes()
    if wanted == (ROOT / "requirements.txt").read_bytes():
        found = NEW.bin
    else:
        folder = ENVIRONMENTS / hashlib.sha256(wanted).hexdigest()[:16]
        if not (folder / ".installed").exists():
            say(f"The commit pins other packages: installing them into {folder.relative_to(ROOT)} ...")
            _run([sys.executable, "-m", "venv", "--clear", str(folder)])
            pip = [str(folder / "bin" / "pip"), "install", "--disable-pip-version-check", "--quiet"]
            _run([*pip, "-r", str(root / "requirements.txt")])
            (folder / ".installed").touch()
        found = folder / "bin"
    _compile(Version("old", root, found, ""))
    return found


def _compile(version: Version) -> None:
    """Compile changed modules now, so that the first start does not."""
    _run([str(version.bin / "python"), "-m", "compileall", "-q", "app", "bench", "config"], cwd=version.root)


def _git(*words: str) -> str:
    return _run(["git", *words])


def _run(words: Sequence[str], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    except OSError as error:
        raise BenchError(f"{words[0]}: {error}") from error
    if done.returncode:
        raise BenchError(f"{' '.join(words)} failed:\n{(done.stderr or done.stdout)[-3000:]}")
    return done.stdout.strip()
