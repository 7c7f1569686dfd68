"""The table of signing vectors: the server and every client are held to it."""

from __future__ import annotations

import json
import runpy
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from app.authenticate import as_signed, sign, sign_legacy, string_to_sign
from app.web.dialects.fields import scan_form, scan_json
from ocr_client import signing
from tests.clients.conftest import CLIENTS, Command, tool

TABLE = json.loads((CLIENTS / "signing-vectors.json").read_text())
VECTORS = TABLE["hmac-sha256"]
COMMANDS = ["python", "shell", "java", "go"]

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])


def as_texts(vector: dict[str, Any]) -> dict[str, str]:
    """The fields as a form has them."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in vector["fields"].items()
    }


def test_the_table_is_what_openssl_computes() -> None:
    tool("openssl")
    assert runpy.run_path(str(CLIENTS / "signing_vectors.py"))["table"]() == TABLE


@every_vector
def test_the_server(vector: dict[str, Any]) -> None:
    body = json.dumps(vector["fields"]).encode()
    for fields in (scan_json(body), scan_form(as_texts(vector))):
        signed = {name: as_signed(value) for name, value in fields.items()}
        assert string_to_sign(signed) == vector["string_to_sign"]
        assert sign(vector["secret"], signed) == vector["sign"]


@pytest.mark.parametrize("vector", TABLE["md5"], ids=[vector["name"] for vector in TABLE["md5"]])
def test_the_server_knows_the_original_scheme(vector: dict[str, Any]) -> None:
    fields = vector["fields"]
    assert sign_legacy(vector["secret"], fields["username"], fields["nonce"]) == vector["sign"]


@every_vector
def test_the_python_client(vector: dict[str, Any]) -> None:
    assert signing.string_to_sign(vector["fields"]) == vector["string_to_sign"]
    assert signing.sign(vector["secret"], vector["fields"]) == vector["sign"]


def test_the_javascript_client() -> None:
    program = f"""
        import {{ sign, stringToSign }} from {json.dumps(str(CLIENTS / "javascript" / "ocr.mjs"))};
        const signed = ({{ secret, fields }}) => sign(secret, fields).then((s) => [stringToSign(fields), s]);
        console.log(JSON.stringify(await Promise.all({json.dumps(VECTORS)}.map(signed))));
    """
    printed = subprocess.check_output([tool("node"), "--input-type=module", "-"], input=program.encode())
    assert json.loads(printed) == [[vector["string_to_sign"], vector["sign"]] for vector in VECTORS]


@pytest.mark.parametrize("language", COMMANDS)
def test_the_commands(language: str, command: Callable[[str], Command]) -> None:
    """Each of them prints the string to sign and the sign, for whoever writes a client of their own."""
    client = command(language)
    for vector in VECTORS:
        fields = [f"{name}={text}" for name, text in as_texts(vector).items()]
        printed = client.signed(vector["secret"], *fields)
        assert printed == f"{vector['string_to_sign']}\n{vector['sign']}\n", vector["name"]
