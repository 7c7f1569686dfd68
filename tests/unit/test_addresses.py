"""Which addresses may be dialled: deny by default, and no other way to write a denied one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.fetch.address import Address, is_open, is_own, is_public, parse_address

ROOT = Path(__file__).resolve().parents[2]

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]

SPECIAL_V4 = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),  # noqa: S104
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.9", "192.0.0.192", "192.0.2.1"),
    *("192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "168.63.129.16"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
]
SPECIAL_V6 = [
    *("::", "::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1"),
    *("2001::1", "2001:0:7f00:1::", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "3fff:fff::1"),
    *("4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"),
    *("2a00:1450::5efe:7f00:1", "2a00:1450::200:5efe:7f00:1"),
]


def parsed(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert is_public(parsed(text))


@pytest.mark.parametrize("text", SPECIAL_V4 + SPECIAL_V6)
def test_special(text: str) -> None:
    assert not is_public(parsed(text))


@pytest.mark.parametrize("text", SPECIAL_V4)
def test_special_written_as_ipv6(text: str) -> None:
    assert not is_public(parsed(f"::ffff:{text}"))


@pytest.mark.parametrize(
    "text", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "１２７.0.0.1", "fe80::1%lo", ""]
)
def test_only_one_way_to_write_an_address(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize("text", ["127.0.0.1", "127.8.9.10", "::1"])
def test_own(text: str) -> None:
    assert is_own(parsed(text))


def test_public_address_of_this_host() -> None:
    """In a network namespace of its own, where a public address can be given to the loopback device."""
    judge = "from app.fetch.address import *; print(is_public(parse_address('93.184.216.34')))"
    setup = "ip link set lo up && ip address add 93.184.216.34/32 dev lo"
    script = f'{setup} || exit 77; exec "$0" -c "{judge}"'
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs unshare and ip")
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-c", script, sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode in (1, 77) and not done.stdout and "Traceback" not in done.stderr:
        pytest.skip(f"no network namespace here: {done.stderr.strip()}")
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("text", PUBLIC)
def test_not_own(text: str) -> None:
    assert not is_own(parsed(text))


def test_opened_networks_open_nothing_else() -> None:
    networks = frozenset({ip_network("10.1.0.0/16"), ip_network("fd00::/64")})
    opened = {
        text: is_open(parsed(text), networks) for text in ("10.1.2.3", "10.2.0.1", "fd00::5", "fd01::5")
    }
    assert opened == {"10.1.2.3": True, "10.2.0.1": False, "fd00::5": True, "fd01::5": False}
    assert is_open(parsed("::ffff:10.1.2.3"), networks)
