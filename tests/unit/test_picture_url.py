"""The URL policy: what is refused before any packet, and the one spelling of what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import PictureUrlNotAllowed
from app.fetch.url import MAX_URL_BYTES, UrlPolicy, canonical_host

POLICY = UrlPolicy(allow_ports={80, 443}, allow_hosts=())

REFUSED = [
    *(
        "",
        "picture.png",
        "//example.com/a",
        "example.com/a",
        "http:",
        "http://",
        "http:///a",
        "http:example.com",
    ),
    *("file:///etc/passwd", "ftp://example.com/a", "gopher://example.com/", "data:image/png;base64,AAAA"),
    *("javascript:alert(1)", "unix:///run/a", "httpx://example.com/", "\nhttp://example.com/"),
    *(
        "http://user@example.com/",
        "http://user:pw@example.com/",
        "http://@example.com/",
        "http://a:80@b.com/",
    ),
    *(
        "http://example.com:22/",
        "http://example.com:6379/",
        "http://example.com:0/",
        "http://example.com:65536/",
    ),
    *(
        "http://example.com:8080/",
        "http://example.com:-80/",
        "http://example.com:８０/",
        "http://example.com:8o/",
    ),
    *("http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://0x7f.1/"),
    *("http://127.0.0.1./", "http://127.000.000.001/", "http://１２７.0.0.1/", "http://127。0。0。1/"),
    *(
        "http://1.2.3.4.5/",
        "http://example.123/",
        "http://256.1.1.1/",
        "http://example.com./",
        "http://.com/",
    ),
    *(
        "http://[::1/",
        "http://::1/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[v1.a]/",
        "http://[::1]evil/",
        "http://[1.2.3.4]/",
    ),
    *(
        "http://a..b/",
        "http://-a.com/",
        "http://a-.com/",
        "http://a b.com/",
        "http://a%2eb.com/",
        "http://*.com/",
    ),
    *(
        "http://example.com\\@evil.com/",
        "http:\\\\example.com/",
        "http://example.com/\x00",
        "http://example.com/ a",
    ),
    *(
        "http://example.com/\r\nHost: a",
        "http://example.com/\t",
        "http://exam\u200bple.com/",
        "http://example.com/\u2028",
    ),
    *(
        "http://example.com/\ud800",
        "http://ex\u00adample.com/",
        "http://" + "a" * 64 + ".com/",
        "http://℀.com/",
    ),
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(PictureUrlNotAllowed):
        POLICY.check(url)


@pytest.mark.parametrize(
    ("url", "judged"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:443/A?b=c#d", "https://example.com/A?b=c"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://8.8.8.8/a", "http://8.8.8.8/a"),
        ("http://[2606:4700:0:0::1111]/", "http://[2606:4700::1111]/"),
        ("http://bücher.example/图.png", "http://xn--bcher-kva.example/图.png"),
        ("http://my_store.example.com//a", "http://my_store.example.com//a"),
        ("http://a.com?x=http://b.com/", "http://a.com/?x=http://b.com/"),
    ],
)
def test_one_spelling(url: str, judged: str) -> None:
    assert POLICY.check(url).url == judged


def test_length_in_bytes() -> None:
    stem = "http://example.com/"
    assert POLICY.check(stem + "a" * (MAX_URL_BYTES - len(stem)))
    for rest in ("a" * (MAX_URL_BYTES - len(stem) + 1), "图" * 700):
        with pytest.raises(PictureUrlNotAllowed):
            POLICY.check(stem + rest)


def test_allowed_hosts_in_any_spelling() -> None:
    policy = UrlPolicy(allow_ports={80}, allow_hosts={"Bücher.example", "2606:4700:0::1"})
    assert policy.check("http://xn--bcher-kva.EXAMPLE/").host == "xn--bcher-kva.example"
    assert policy.check("http://[2606:4700::1]/").host == "2606:4700::1"
    for url in (
        "http://example/",
        "http://evil.bücher.example/",
        "http://bücher.example.evil.com/",
        "http://8.8.8.8/",
    ):
        with pytest.raises(PictureUrlNotAllowed):
            policy.check(url)


@pytest.mark.parametrize("host", ["http://a.com", "a.com:80", "*.a.com", "a/b", "127.1"])
def test_an_allowed_host_that_is_none_stops_the_service(host: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        UrlPolicy(allow_ports={80}, allow_hosts={host})


@given(st.text(max_size=80).map("http://".__add__) | st.text(max_size=80))
def test_any_text_is_judged_or_refused(url: str) -> None:
    try:
        target = POLICY.check(url)
    except PictureUrlNotAllowed:
        return
    assert POLICY.check(target.url) == target
    assert canonical_host(target.host) == target.host
