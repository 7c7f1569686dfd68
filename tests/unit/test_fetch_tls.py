"""Certificates: a picture comes from the host that its URL names, or not at all."""

from __future__ import annotations

import datetime as dt
import ssl
import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.errors import PictureUnreachable
from app.fetch.fetcher import GuardedFetcher
from app.fetch.limits import FetchLimits
from tests.picture_host import PictureHost, SystemClock, http, redirect

PICTURE = b"the bytes of a picture"
DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.bundle = folder / "authority.pem"
        certificate = self._build(self._name, self._key, None, DAY)
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, *, valid_for: dt.timedelta = DAY, trusted: bool = True) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key, name, valid_for, self_signed=not trusted)
        chain = self._folder / f"{name}-{valid_for.days}-{trusted}.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        host: str | None,
        valid_for: dt.timedelta,
        *,
        self_signed: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + valid_for)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            is_address = host.replace(".", "").isdigit()
            name = x509.IPAddress(ip_address(host)) if is_address else x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        return builder.sign(key if self_signed else self._key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def fetch(host: PictureHost, url: str, *more_ports: int, **changed: Any) -> bytes:
    options: dict[str, Any] = {
        "timeout_s": 5,
        "connect_timeout_s": 2,
        "read_timeout_s": 2,
        "max_redirects": 3,
        "max_picture_bytes": 100_000,
        "slots": 4,
        "user_share": 0.25,
        "allow_ports": {host.port, *more_ports},
        "allow_hosts": (),
        "allow_networks": {ip_network("127.0.0.0/8")},
    }
    tools = {name: changed.pop(name) for name in ("ca_bundle", "resolver") if name in changed}
    return GuardedFetcher(FetchLimits(**options | changed), clock=SystemClock(), **tools).fetch(
        url, username="alice", deadline=time.monotonic() + 5
    )


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_trusted(authority: Authority, name: str) -> None:
    with PictureHost({"/picture": http(200, PICTURE)}, tls=authority.server(name)) as host:
        assert fetch(host, host.url(host=name), ca_bundle=authority.bundle) == PICTURE


def stage_of(host: PictureHost, url: str, **changed: Any) -> str | None:
    with pytest.raises(PictureUnreachable) as caught:
        fetch(host, url, **changed)
    assert host.heads == [b""] * len(host.heads), "a request was sent before the certificate was judged"
    return caught.value.stage


def test_authority_that_is_not_trusted(authority: Authority) -> None:
    with PictureHost({"/picture": http(200, PICTURE)}, tls=authority.server("localhost")) as host:
        assert stage_of(host, host.url(host="localhost")) == "tls"


def test_self_signed(authority: Authority) -> None:
    tls = authority.server("localhost", trusted=False)
    with PictureHost({"/picture": http(200, PICTURE)}, tls=tls) as host:
        assert stage_of(host, host.url(host="localhost"), ca_bundle=authority.bundle) == "tls"


def test_no_query_string_in_the_log(authority: Authority) -> None:
    """requests tells the whole URL of what it could not connect to, and a store's signed URLs are secrets."""
    with PictureHost({"/picture": http(200, PICTURE)}, tls=authority.server("localhost")) as host:
        with pytest.raises(PictureUnreachable) as caught:
            fetch(host, host.url("/picture?X-Signature=SECRET", host="localhost"))
        assert "CERTIFICATE_VERIFY_FAILED" in caught.value.detail
        assert "SECRET" not in caught.value.detail


def test_expired(authority: Authority) -> None:
    tls = authority.server("localhost", valid_for=-DAY)
    with PictureHost({"/picture": http(200, PICTURE)}, tls=tls) as host:
        assert stage_of(host, host.url(host="localhost"), ca_bundle=authority.bundle) == "tls"


@pytest.mark.parametrize("name", ["example.com", "127.0.0.2"])
def test_wrong_name(authority: Authority, name: str) -> None:
    with PictureHost({"/picture": http(200, PICTURE)}, tls=authority.server(name)) as host:
        assert stage_of(host, host.url(host="localhost"), ca_bundle=authority.bundle) == "tls"
        assert stage_of(host, host.url(host="127.0.0.1"), ca_bundle=authority.bundle) == "tls"


def test_version_before_1_2(authority: Authority) -> None:
    tls = authority.server("localhost")
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with PictureHost({"/picture": http(200, PICTURE)}, tls=tls) as host:
        assert stage_of(host, host.url(host="localhost"), ca_bundle=authority.bundle) == "tls"


def test_no_tls_behind_https(authority: Authority) -> None:
    with PictureHost({"/picture": http(200, PICTURE)}) as host:
        url = host.url(host="localhost").replace("http:", "https:")
        with pytest.raises(PictureUnreachable) as caught:
            fetch(host, url, ca_bundle=authority.bundle)
    assert caught.value.stage == "tls"


def test_redirect_may_lead_to_https_but_not_back(authority: Authority) -> None:
    tls = authority.server("localhost")
    with PictureHost({"/picture": http(200, PICTURE)}) as plain, PictureHost({}, tls=tls) as secure:
        plain.answers["/up"] = redirect(secure.url("/picture", host="localhost"))
        secure.answers["/picture"] = http(200, PICTURE)
        secure.answers["/down"] = redirect(plain.url())
        assert fetch(plain, plain.url("/up"), secure.port, ca_bundle=authority.bundle) == PICTURE
        with pytest.raises(PictureUnreachable) as caught:
            fetch(secure, secure.url("/down", host="localhost"), plain.port, ca_bundle=authority.bundle)
        assert caught.value.stage == "redirect"
        assert plain.connections == 1
