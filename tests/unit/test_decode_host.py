"""The decode host: every picture as decoded in this process, within its budget, and nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.decode.host import DecodeHost
from app.decode.host_process import JOBS_PER_CHILD
from app.decode.limits import DecodeBudget
from app.decode.pictures import decode
from app.errors import Busy, OcrFailed, PictureTooLarge, PictureUnsupported
from app.model.reading import Picture
from config.settings import ROOT
from tests.decode_cost import children, measured, own_host
from tests.hostile import bombs, pictures
from tests.hostile.crafted import tiff
from tests.unit.test_decode import LIMITS, saved, text

BUDGET = DecodeBudget(cpu_s=2.5, wall_s=10, memory_mb=400, large_pixels=12_500_000)
SLOW = bombs.short_runs(random.Random(1)).data  # noqa: S311


@contextmanager
def running(budget: DecodeBudget = BUDGET) -> Iterator[tuple[DecodeHost, int]]:
    host = DecodeHost(LIMITS, budget)
    with own_host(host) as pid:
        yield host, pid


@pytest.fixture(scope="module")
def host() -> Iterator[tuple[DecodeHost, int]]:
    with running() as found:
        yield found


def soon(condition: Callable[[], object], within_s: float = 10) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come true in time"
        time.sleep(0.002)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def slowly_decoding(host: DecodeHost, pid: int) -> Iterator[tuple[Future[Picture], int]]:
    """While a picture is decoded in a child of its own: what it becomes, and the child."""
    others = set(children(pid))
    with ThreadPoolExecutor(1) as pool:
        picture = pool.submit(host.decode, SLOW)
        soon(lambda: set(children(pid)) - others)
        [child] = set(children(pid)) - others
        soon(lambda: int(Path(f"/proc/{child}/stat").read_text().split()[13]) >= 5)
        yield picture, child


@pytest.mark.filterwarnings(r"ignore:::PIL\.")
def test_every_coat_is_decoded_as_in_this_process(host: tuple[DecodeHost, int]) -> None:
    """Also without the file system, where no module can be imported any more."""
    for case in pictures.legible():
        expected, found = decode(case.data, LIMITS), host[0].decode(case.data)
        assert (found.width, found.height, found.format) == (expected.width, expected.height, expected.format)
        assert (found.image == expected.image).all(), case.name
        assert found.image.flags.writeable


def test_time_of_the_cpu(host: tuple[DecodeHost, int]) -> None:
    with running(replace(BUDGET, cpu_s=0.2)) as (quick, pid), measured(pid) as cost:
        with pytest.raises(PictureTooLarge) as refusal:
            quick.decode(SLOW)
        assert refusal.value.stage == "decode"
        assert quick.decode(saved(text())).width
    assert cost.cpu_s < 0.5


def one_strip(width: int, height: int) -> bytes:
    """A TIFF for which libtiff needs as much memory as all of its pixels take."""
    strip = zlib.compress(bytes(width * height * 3), 1)
    tags = {258: (8, 8, 8), 259: (8,), 262: (2,), 277: (3,), 278: (height,), 273: (8,), 279: (len(strip),)}
    return tiff((width, height), strip, tags)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: saved(Image.new("RGB", (8_000, 5_000)), "PNG", compress_level=1),
        lambda: one_strip(5_000, 6_000),
    ],
    ids=["Pillow", "libtiff"],
)
def test_memory(draw: Callable[[], bytes]) -> None:
    large = draw()
    with running(replace(BUDGET, memory_mb=150)) as (small, pid), measured(pid) as cost:
        with pytest.raises(PictureTooLarge) as refusal:
            small.decode(large)
        assert refusal.value.stage == "decode"
        assert small.decode(saved(text())).width
    assert cost.memory_mb < 150


@pytest.mark.parametrize(("mode", "memory_mb"), [("RGB", 250), ("CMYK", 400), ("L", 90)])
def test_coefficients_that_do_not_fit_are_no_broken_file(mode: str, memory_mb: int) -> None:
    """libjpeg holds those of a progressive JPEG whole, and reports a lack of memory as a broken file."""
    picture = Image.new(mode, (8_000, 5_000))
    large = saved(picture, "JPEG", progressive=True, subsampling=0)
    with running(replace(BUDGET, memory_mb=memory_mb)) as (small, _):
        with pytest.raises(PictureTooLarge) as refusal:
            small.decode(large)
        assert refusal.value.stage == "decode"
        with pytest.raises(PictureUnsupported):
            small.decode(saved(text(), "JPEG", progressive=True)[:200] + b"broken")


@pytest.mark.parametrize(
    ("mode", "kind", "orientation"),
    [("RGBA", "PNG", 1), ("I;16", "PNG", 6), ("RGB", "TIFF", 6), ("CMYK", "TIFF", 1)],
)
def test_the_largest_pictures_are_within_the_budget(
    host: tuple[DecodeHost, int], mode: str, kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"compress_level": 1} if kind == "PNG" else {"compression": "tiff_lzw"}
    data = saved(Image.new(mode, (8_000, 5_000), 99), kind, exif=exif, **options)
    with measured(host[1]) as cost:
        found = host[0].decode(data)
    assert (found.width, found.height) == ((5_000, 8_000) if orientation == 6 else (8_000, 5_000))
    assert cost.memory_mb < BUDGET.memory_mb


def test_a_large_webp_is_within_the_budget(host: tuple[DecodeHost, int]) -> None:
    """33 megapixels are the most: libwebp takes 12 bytes for each."""
    data = saved(Image.new("RGB", (6_000, 5_000), (9, 8, 200)), "WEBP", method=0)
    with measured(host[1]) as cost:
        found = host[0].decode(data)
    assert found.image.shape == (5_000, 6_000, 3)
    assert abs(found.image[0, 0].astype(int) - (200, 8, 9)).max() < 10
    assert cost.memory_mb < BUDGET.memory_mb


def test_pictures_that_are_not_large_have_half_the_memory() -> None:
    """Several of them are decoded at once."""
    data = saved(Image.new("RGB", (4_000, 4_000)), "PNG", compress_level=1)
    with running(replace(BUDGET, memory_mb=200)) as (host, _):
        assert host.decode(data).width
    unaware = replace(BUDGET, memory_mb=200, large_pixels=16_000_000)
    with running(unaware) as (host, _), pytest.raises(PictureTooLarge, match="out of memory"):
        host.decode(data)


def test_a_child_that_is_stopped_is_killed() -> None:
    with running(replace(BUDGET, wall_s=0.5)) as (host, pid), slowly_decoding(host, pid) as (picture, child):
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(PictureTooLarge) as refusal:
            picture.result(10)
        assert refusal.value.stage == "decode"
        soon(lambda: not is_there(child))
        assert host.decode(saved(text())).width


def test_a_crash_refuses_one_picture_and_no_other(host: tuple[DecodeHost, int]) -> None:
    decoder, pid = host
    with slowly_decoding(decoder, pid) as (picture, child):
        os.kill(child, signal.SIGSEGV)
        with pytest.raises(PictureUnsupported, match="signal 11") as refusal:
            picture.result(10)
    assert refusal.value.stage == "decode"
    assert decoder.decode(saved(text())).width
    assert is_there(pid)


def test_a_host_that_was_killed_is_started_again() -> None:
    """Whatever it was at is tried once more, and no zombie stays."""
    with running() as (host, pid):
        with slowly_decoding(host, pid) as (picture, child):
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(PictureTooLarge):
                picture.result(30)
        assert not is_there(child)
        assert pid not in children(os.getpid())
        assert host.decode(saved(text())).width


def test_a_host_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.decode.host_process._PROGRAM", "raise SystemExit(1)")
    with pytest.raises(OcrFailed):
        DecodeHost(LIMITS, BUDGET).decode(saved(text()))


def test_large_pictures_wait_for_each_other_and_small_ones_do_not() -> None:
    budget = replace(BUDGET, wall_s=1, large_pixels=10_000)
    with running(budget) as (host, pid), slowly_decoding(host, pid) as (picture, child):
        os.kill(child, signal.SIGSTOP)
        assert host.decode(saved(text())).width
        with pytest.raises(Busy):
            host.decode(saved(Image.new("L", (200, 200))))
        os.kill(child, signal.SIGKILL)
        assert host.decode(saved(Image.new("L", (200, 200)))).width
        with pytest.raises(PictureTooLarge):
            picture.result(10)


def test_nothing_of_the_worker_reaches_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        os.set_inheritable(log.fileno(), True)
        with running() as (host, pid):
            host.decode(saved(text()))
            [child] = children(pid)
            for process in (pid, child):
                assert Path(f"/proc/{process}/environ").read_bytes() == b""
                opened = [os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir()]
                assert all(
                    name.startswith(("socket:", "pipe:", "/dev/null", "/memfd:", "anon_inode:"))
                    for name in opened
                )
                limits = Path(f"/proc/{process}/limits").read_text()
                assert [
                    line.split()[-3:-1] for line in limits.splitlines() if line.startswith("Max file size")
                ] == [["0", "0"]]
                assert "NoNewPrivs:\t1" in Path(f"/proc/{process}/status").read_text()
                assert "CapEff:\t0000000000000000" in Path(f"/proc/{process}/status").read_text()


def test_it_has_no_network_and_no_files_where_that_is_permitted(host: tuple[DecodeHost, int]) -> None:
    if subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True).returncode:
        pytest.skip("user namespaces are not permitted here")
    assert os.readlink(f"/proc/{host[1]}/ns/net") != os.readlink("/proc/self/ns/net")
    interfaces = Path(f"/proc/{host[1]}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert os.readlink(f"/proc/{host[1]}/root") != "/"


def test_descriptors_and_children_do_not_pile_up(host: tuple[DecodeHost, int]) -> None:
    decoder, pid = host

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{pid}/fd"))

    decoder.decode(saved(text()))
    before = held()
    for n in range(JOBS_PER_CHILD + 10):
        decoder.decode(saved(text(), ("PNG", "TIFF", "JPEG")[n % 3]))
        with pytest.raises(PictureUnsupported):
            decoder.decode(b"no picture")
    soon(lambda: len(children(pid)) <= 1)
    soon(lambda: held() == before)


def test_many_threads_each_get_their_own(host: tuple[DecodeHost, int]) -> None:
    def pixel(n: int) -> list[int]:
        data = saved(Image.new("RGB", (64, 64), (n, 2 * n, 255 - n)), ("PNG", "TIFF", "BMP")[n % 3])
        blue_green_red: list[int] = host[0].decode(data).image[32, 32].tolist()
        return blue_green_red

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(pixel, range(100))) == [[255 - n, 2 * n, n] for n in range(100)]


WORKER = """
import sys; sys.path.insert(0, sys.argv[1])
from tests.unit.test_decode_host import BUDGET, LIMITS, SLOW, DecodeHost
host = DecodeHost(LIMITS, BUDGET); host.start(); print("ready", flush=True); host.decode(SLOW)
"""


def test_it_ends_with_a_worker_that_is_killed() -> None:
    """Whatever thread had started it."""
    command = [sys.executable, "-c", WORKER, str(ROOT)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout and worker.stdout.readline()
        [pid] = children(worker.pid)
        soon(lambda: children(pid))
        family = [pid, *children(pid)]
        worker.kill()
    soon(lambda: not any(map(is_there, family)))


def test_it_outlives_the_thread_that_started_it() -> None:
    host = DecodeHost(LIMITS, BUDGET)
    thread = threading.Thread(target=host.start)
    thread.start()
    thread.join()
    assert host.decode(saved(text())).width
    host.close()
