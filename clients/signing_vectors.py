"""Write the table of signing vectors: `python clients/signing_vectors.py > clients/signing-vectors.json`.

It implements the rules of the README independently, byte by byte, and computes with openssl. It uses no code
of the service or of a client, because the table tests both.
"""

import json
import subprocess

UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
NOT_SIGNED = ("sign", "picture_base64")
SECRET = "7uJ4vS0y-Qm1pK9_TtWbZr2xN6cA8eDf"
LABELS = {"username": "alice", "timestamp": 1795203755, "nonce": "Bbp-Io52REKkU6hr"}
URL = "https://example.com/receipt.jpg"

# name of the vector, secret, fields in addition to (or instead of) LABELS
SIGNED = [
    ("a URL", SECRET, {"picture_url": URL}),
    ("a sent picture, by its digest", SECRET, {"picture_sha256": "0123456789abcdef" * 4}),
    (
        "sign and picture_base64 are not signed",
        SECRET,
        {"picture_sha256": "fedcba9876543210" * 4, "picture_base64": "iVBORw0KGgo=", "sign": "not signed"},
    ),
    ("a named method is signed like any field", SECRET, {"picture_url": URL, "sign_method": "hmac-sha256"}),
    ("booleans", SECRET, {"picture_url": URL, "boxes": False, "orient": True}),
    ("integers", SECRET, {"picture_url": URL, "side_limit": 1280, "timeout_ms": 60000, "timestamp": 0}),
    ("text that looks like a number stays text", SECRET, {"picture_url": URL, "min_score": "0.50"}),
    ("a plus sign", SECRET, {"picture_url": URL, "charset": "chinese+latin"}),
    ("a URL that is percent-encoded already", SECRET, {"picture_url": URL + "?q=%E5%8F%91%20x%2By"}),
    ("reserved characters", SECRET, {"picture_url": "https://example.com/:/?#[]@!$&'()*+,;=\"<>\\^`{|}%"}),
    ("unreserved characters", SECRET, {"picture_url": "https://example.com/AZaz09-._~"}),
    ("&nonce= in a URL is no field", SECRET, {"picture_url": URL + "?a=1&nonce=Bbp-Io52REKkU6hs"}),
    ("&nonce= in a URL, and the same as fields", SECRET, {"picture_url": URL, "nonce": "x&nonce=y"}),
    ("Chinese", SECRET, {"picture_url": "https://例子.测试/发票/扫描 一.png"}),
    ("characters of two, three and four bytes", SECRET, {"picture_url": "https://example.com/é€😀"}),
    ("composed and decomposed are not the same", SECRET, {"picture_url": "https://example.com/e\u0301"}),
    ("space, tab and line break", SECRET, {"picture_url": "https://example.com/a b\tc\nd"}),
    ("an empty value", SECRET, {"picture_url": ""}),
    ("sorted by name, not by name=value", SECRET, {"a": "1", "a1": "2", "a_b": "3", "aB": "4", "Z": "5"}),
    ("a secret of one character", "x", {"picture_url": URL}),
    ("a secret of 64 bytes, a block of SHA-256", "k" * 64, {"picture_url": URL}),
    ("a secret of 65 bytes, which HMAC hashes first", "k" * 65, {"picture_url": URL}),
    ("a secret outside ASCII", "пароль-密码-😀", {"picture_url": URL}),
    ("a secret of shell characters", "$(x) `y` \"z\" 'q' \\n %s * &", {"picture_url": URL}),
]

# the original scheme, for permitted users; new clients must not use it
SIGNED_MD5 = [
    ("the original scheme", "their secret", {"username": "legacy", "nonce": "7", "picture_url": URL}),
    (
        "no encoding, so a secret may hold anything",
        "p&nonce=1 密码",
        {"username": "legacy", "nonce": "abc_-"},
    ),
    ("a named method and a time are not covered", "s", LABELS | {"sign_method": "md5", "picture_url": URL}),
]


def encoded(text: str) -> str:
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def written(value: str | int | bool) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    return value if isinstance(value, str) else f"{value:d}"


def string_to_sign(fields: dict[str, str | int | bool]) -> str:
    names = sorted(name for name in fields if name not in NOT_SIGNED)
    return "&".join(encoded(name) + "=" + encoded(written(fields[name])) for name in names)


def openssl(*arguments: str, message: str) -> str:
    done = subprocess.run(["openssl", "dgst", "-r", *arguments], input=message.encode(), capture_output=True)
    done.check_returncode()
    return done.stdout.split()[0].decode()


def hmac_vector(name: str, secret: str, more: dict[str, str | int | bool]) -> dict[str, object]:
    fields = LABELS | more
    message = string_to_sign(fields)
    sign = openssl("-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}", message=message)
    return {"name": name, "secret": secret, "fields": fields, "string_to_sign": message, "sign": sign}


def md5_vector(name: str, secret: str, fields: dict[str, str | int | bool]) -> dict[str, object]:
    message = f"username={fields['username']}&password={secret}&nonce={fields['nonce']}"
    sign = openssl("-md5", message=message)
    return {"name": name, "secret": secret, "fields": fields, "string_to_sign": message, "sign": sign}


def table() -> dict[str, list[dict[str, object]]]:
    return {
        "hmac-sha256": [hmac_vector(*row) for row in SIGNED],
        "md5": [md5_vector(*row) for row in SIGNED_MD5],
    }


if __name__ == "__main__":
    print(json.dumps(table(), ensure_ascii=False, indent=2))
