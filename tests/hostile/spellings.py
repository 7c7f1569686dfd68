"""How strangers write where we must not go. Each is dialled directly, by redirect, by DNS and by rebinding."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

PATH = "/ticket/1.png"  # a good picture, should it ever be reached

V4 = (
    "127.0.0.1 127.1.2.3 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.254 172.16.0.1 172.31.255.254 192.168.0.1"
    " 192.168.255.254 100.64.0.1 100.127.255.254 169.254.169.254 169.254.170.2 168.63.129.16 192.0.0.1 192.0.0.192"
    " 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.254 198.51.100.1 198.51.100.2 203.0.113.1 224.0.0.1 239.255.255.250"
    " 240.0.0.1 255.255.255.255"
).split()  # fmt: skip
V6 = (
    "::1 :: ::7f00:1 ::a00:1 ::ffff:7f00:1 ::ffff:a00:1 ::ffff:a9fe:a9fe ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe"
    " 64:ff9b:1::a00:1 100::1 2001::1 2001:0:53aa:64c:0:0:80ff:fffe 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::"
    " 2002:a00:1::1 2002:a9fe:a9fe::1 2606:4700::5efe:7f00:1 2606:4700::200:5efe:a00:1 2a00:1098::1 3fff::1 4000::1 5f00::1"
    " fc00::1 fd00:ec2::254 fe80::1 fe80::a9fe:a9fe febf::1 fec0::1 ff02::1 ff0e::1"
).split()  # fmt: skip

# Other ways to write 127.0.0.1, or this machine; and what is not even a host.
LOOPBACK = (
    "127.1 127.0.1 2130706433 0x7f000001 0x7F000001 0x7f.0.0.1 0x7f.1 127.0x1 0177.0.0.1 017700000001 0177.1 127.000.000.001"
    " 127.0.0.1. 127.0.0.1.. .127.0.0.1 127.0.0 127.0.0.256 127.0.0.1.1 4294967296 00000127.0.0.1 0x7f000001. 0x 1 0"
    " １２７.０.０.１ 127。0。0。1 127．0．0．1 ①②⑦.⓪.⓪.① ⑫7.0.0.1 𝟏𝟐𝟕.𝟎.𝟎.𝟏 ١٢٧.٠.٠.١ 127.0.0.1%00 %31%32%37.0.0.1 127%2e0.0.1"
    " 127.0.0.1%20 localhost LOCALHOST LocalHost localhost. localhost%00 localhost.localdomain ip6-localhost ip6-loopback"
    " ｌｏｃａｌｈｏｓｔ ⓛocalhost [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [::1%25lo] [::1%lo]"
    " [::ffff:127.0.0.1] [::FFFF:127.0.0.1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [::ffff:0x7f.1] [64:ff9b::127.0.0.1]"
    " [127.0.0.1] [::1]] [[::1]] [::1 ::1 [v1.::1] [] [:] 127.0.0.1,93.184.216.34 93.184.216.34,127.0.0.1 0.0.0.0 0 a..b"
    " none.test silent.test broken.test many.test *.test -.test xn--.test"
).split()  # fmt: skip
LONG = ("a" * 64 + ".test", "a." * 130 + "test")

PORTS = (
    "22",
    "25",
    "0",
    "1",
    "6379",
    "8080",
    "8081",
    "3306",
    "9200",
    "65535",
    "65536",
    "99999999",
    "-80",
    "+80",
    "80a",
    "８０",
    "0x50",
    "80:80",
)

WHOLE = (
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "file:/etc/passwd", "ftp://93.184.216.34/ticket/1.png",
    "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/stat", "ldap://127.0.0.1/", "tftp://127.0.0.1/x", "sftp://127.0.0.1/x",
    "smb://127.0.0.1/x", "data:image/png;base64,iVBORw0KGgo=", "javascript:alert(1)", "jar:http://127.0.0.1!/x", "php://filter/resource=x",
    "ws://93.184.216.34/ticket/1.png", "http+unix://%2Fvar%2Frun%2Fdocker.sock/x", "unix:/run/x", "blob:http://127.0.0.1/x",
    "view-source:http://127.0.0.1/", "about:blank", "httpx://93.184.216.34/ticket/1.png", "http", "http:", "http:/", "http://", "http:///",
    "http://?", "http://#", "http://:80/", "http://@/", "http://[/", "http://]/", "://127.0.0.1/", "?", "#", ".",
    "http://user@93.184.216.34/ticket/1.png", "http://user:password@93.184.216.34/ticket/1.png", "http://:@93.184.216.34/ticket/1.png",
    "http://@93.184.216.34/ticket/1.png", "http://93.184.216.34@127.0.0.1/ticket/1.png", "http://93.184.216.34:80@127.0.0.1/ticket/1.png",
    "http://93.184.216.34%2f@127.0.0.1/ticket/1.png", "http://a@[::1]/ticket/1.png", "http://a@b@127.0.0.1/ticket/1.png",
    "http://127.0.0.1#@93.184.216.34/ticket/1.png", "http://127.0.0.1?@93.184.216.34/ticket/1.png", "http://127.0.0.1;@93.184.216.34/ticket/1.png",
    "http://127.0.0.1\\@93.184.216.34/ticket/1.png", "http://127.0.0.1\\.93.184.216.34/ticket/1.png", "http:\\\\127.0.0.1\\x",
    "http://127.0.0.1\t/ticket/1.png", "http://127.0.0.1\x00/ticket/1.png".replace("\x00", "\x01"), "http://127.0.0.1 /ticket/1.png",
    "\thttp://127.0.0.1/ticket/1.png", "h\ttp://127.0.0.1/ticket/1.png", "http://127.0.0.1\u2028/", "http://127.0.0.1\u200b/", "http://127.0.0.1\ufeff/",
    "http://127.0.0.1\u3000/", "http://127.0.0.1:80\u00a0/", "http://127.0.0.1:80 /", "http:127.0.0.1/ticket/1.png", "http:/127.0.0.1/ticket/1.png",
    "http:///127.0.0.1/ticket/1.png", "http:////127.0.0.1/ticket/1.png", "http;//127.0.0.1/", "http://127.0.0.1:80:443/", "http://[::1]:80:80/",
    "http://[::1].93.184.216.34/", "http://[::1]93.184.216.34/", "http://93.184.216.34[::1]/", "http://①@127.0.0.1/",
)  # fmt: skip


@dataclass(frozen=True)
class Spelling:
    """address: what it means, if it means one; another is taken for DNS then."""

    url: str
    address: str = "10.0.0.1"


def spellings() -> list[Spelling]:
    made = [Spelling(f"http://{address}{PATH}", address) for address in V4]
    made += [Spelling(f"http://[{address}]{PATH}", address) for address in V6]
    made += [Spelling(f"https://{address}{PATH}", address) for address in V4[::4]]
    made += [Spelling(f"http://{host}{PATH}", "127.0.0.1") for host in (*LOOPBACK, *LONG)]
    made += [Spelling(f"http://93.184.216.34:{port}{PATH}", "192.168.0.1") for port in PORTS]
    made += [Spelling(url, "169.254.169.254") for url in WHOLE]
    return made


def name_of(how: str, address: str) -> str:
    """The name that tests/hostile/names.py resolves so."""
    parsed = ip_address(address)
    return f"{how}-{address if parsed.version == 4 else parsed.exploded.replace(':', '-')}.test"
