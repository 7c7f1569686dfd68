"""Two network namespaces on one machine: the service's, and the world's.

No packet can leave them, so the service runs with its production policy. What it dials goes by one cable
to the world, where a sniffer sees it, or is seen on its own loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1::34"
PUBLIC_NETWORK = "93.184.216.0/23"
NAME_SERVER = "93.184.216.53"
SERVICE_PORT = 8081
CABLE = "cable"
_OURS, _THEIRS = "198.51.100.1", "198.51.100.2"
_OURS_V6, _THEIRS_V6 = "2a00:1098::1", "2a00:1098::2"
_NAMESPACES = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--propagation", "private"]
TRIALS = (("10.99.99.99", 80), ("169.254.169.254", 80), ("fd00::99", 443), ("127.0.0.1", 6379), ("::1", 80))
INSIDE = "OCR_HOSTILE_INSIDE"


def not_permitted() -> str | None:
    """Why the campaigns cannot run here, and the remedy; None if they can."""
    for tool in ("unshare", "ip", "mount"):
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt install iproute2 mount util-linux"
    tried = subprocess.run([*_NAMESPACES, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    if tried.returncode:
        return (
            f"network namespaces are not permitted here ({tried.stderr.strip()}): run this as root, or allow"
            " them (sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000); a container"
            " takes --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined"
        )
    return None


def enter() -> int:
    """Run this program again inside a namespace of its own; its exit status."""
    command = [*_NAMESPACES, sys.executable, "-m", "tests.hostile", *sys.argv[1:]]
    return subprocess.call(command, env=os.environ | {INSIDE: "1"})


def run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextlib.contextmanager
def hostile_world(folder: Path) -> Iterator[World]:
    """Inside the namespace: lay the cable, start the world at its other end, point DNS and trust to it."""
    run("ip", "link", "set", "lo", "up")
    process = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-m", "tests.hostile.world", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdout.readline()  # it is in its namespace
        run("ip", "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", str(process.pid))
        _plug_in(_OURS, _OURS_V6, _THEIRS, _THEIRS_V6)
        process.stdin.write("the cable is in\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n", "the world did not come up"
        _bind("/etc/resolv.conf", f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:2\n", folder)
        import certifi

        _bind(certifi.where(), (folder / "authority.pem").read_text(), folder)
        world = World(process)
        world.open_eyes()
        yield world
    finally:
        process.stdin.close()
        process.wait(20)


def _plug_in(own: str, own_v6: str, other: str, other_v6: str) -> None:
    run("ip", "addr", "add", f"{own}/24", "dev", CABLE)
    run("ip", "addr", "add", f"{own_v6}/64", "dev", CABLE, "nodad")
    run("ip", "link", "set", CABLE, "up")
    run("ip", "route", "add", "default", "via", other)
    run("ip", "-6", "route", "add", "default", "via", other_v6)


def plug_in_world() -> None:
    """The world's end. The sniffer sees who dials what; only what is public answers."""
    run("ip", "link", "set", "lo", "up")
    _plug_in(_THEIRS, _THEIRS_V6, _OURS, _OURS_V6)
    run("ip", "addr", "add", f"{PUBLIC_V6}/128", "dev", "lo", "nodad")
    run("ip", "route", "add", "local", PUBLIC_NETWORK, "dev", "lo")


def _bind(target: str, text: str, folder: Path) -> None:
    """Another content for a file, in this mount namespace alone."""
    real = Path(target).resolve()
    other = folder / f"bound-{real.name}"
    other.write_text(text)
    run("mount", "--bind", str(other), str(real))


class World:
    """The process in the other namespace, as seen from here."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._trials: Counter[str] = Counter()
        self._inside = Sniffer("lo", lambda *dialled: dialled == ("127.0.0.1", SERVICE_PORT))
        self._inside.start()

    def forbidden(self) -> Counter[str]:
        """What was dialled and must not be, on the cable and on our own loopback; by address and port."""
        assert self._process.stdin
        assert self._process.stdout
        time.sleep(0.2)
        self._process.stdin.write("what was dialled?\n")
        self._process.stdin.flush()
        seen: dict[str, int] = json.loads(self._process.stdout.readline())
        return Counter(seen) + self._inside.seen - self._trials

    def open_eyes(self) -> None:
        """Dial what is forbidden ourselves: a sniffer that misses it would find nothing later, either."""
        for address, port in TRIALS:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.settimeout(1.5)
                trial.connect_ex((address, port))
            with socket.socket(family, socket.SOCK_DGRAM) as trial:
                trial.sendto(b"trial", (address, port))
        self._trials = self.forbidden()
        dialled = {f"{address} port {port}" for address, port in TRIALS}
        missed = (dialled | {f"{target} by UDP" for target in dialled}) - self._trials.keys()
        assert not missed, f"the sniffers are blind to {missed}"


class Sniffer(threading.Thread):
    """Counts on an interface what is sent by UDP, and what is begun by TCP, but for what is allowed.

    allowed(address, port): by TCP; by UDP it is the name server alone.
    """

    def __init__(self, interface: str, allowed: Callable[[str, int], bool]) -> None:
        super().__init__(daemon=True)
        self.seen: Counter[str] = Counter()
        self._allowed = allowed
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        self._socket.bind((interface, 0))

    def run(self) -> None:
        while True:
            packet, (_, protocol, direction, *_) = self._socket.recvfrom(65536)
            if direction == socket.PACKET_OUTGOING or not (found := _led_to(packet, protocol)):
                continue
            address, port, by_udp = found
            if not ((address, port) == (NAME_SERVER, 53) if by_udp else self._allowed(address, port)):
                self.seen[f"{address} port {port}{' by UDP' * by_udp}"] += 1


def _led_to(packet: bytes, protocol: int) -> tuple[str, int, bool] | None:
    """Where a datagram leads, or a TCP segment with SYN and without ACK, and whether it is a datagram."""
    if protocol == 0x0800:
        kind, address, segment = packet[9], packet[16:20], packet[(packet[0] & 15) * 4 :]
    elif protocol == 0x86DD:
        kind, address, segment = packet[6], packet[24:40], packet[40:]
    else:
        return None
    by_udp = kind == socket.IPPROTO_UDP
    if not by_udp and (kind != socket.IPPROTO_TCP or segment[13] & 0x12 != 0x02):
        return None
    return str(ip_address(address)), int.from_bytes(segment[2:4], "big"), by_udp
