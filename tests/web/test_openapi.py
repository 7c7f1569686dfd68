"""/openapi.json holds the whole contract, and the service holds to it, as schemathesis finds by asking."""

from __future__ import annotations

import hashlib
import html
import json
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema_rs import validator_for
from schemathesis import Case, GenerationMode, HookContext, hook, openapi
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished
from schemathesis.hooks import unregister

from app.authenticate import as_signed, sign, string_to_sign
from app.errors import ServiceError
from app.model.usage import RECOGNISED
from app.web.dialects.own import RequestBody
from app.web.docs import FIELDS, SECRET, example
from app.web.pages import load_words
from config.settings import ROOT, load_tips
from tests.signing import Caller
from tests.web.conftest import Service

EXAMPLES = 20
OURS_ALONE = {"/static/<digest>/<name>"}
BODIES = Path(__file__).parent / "bodies"
DIGITS = (ROOT / "samples" / "digits.png").read_bytes()


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return cast(dict[str, Any], service.app.test_client().get("/openapi.json").get_json())


def responses(document: dict[str, Any]) -> dict[str, Any]:
    return cast(dict[str, Any], document["paths"]["/ocr"]["post"]["responses"])


def test_it_has_every_route_with_its_methods(service: Service, document: dict[str, Any]) -> None:
    served = {
        (rule.rule, method.lower())
        for rule in service.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in OURS_ALONE
    }
    assert served == {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert len(
        {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    ) == len(served)


def test_it_has_every_code_with_its_error_and_http_status(document: dict[str, Any]) -> None:
    written = {
        (example["value"]["status_code"], name, int(http))
        for http, response in responses(document).items()
        for name, example in response["content"]["application/json"].get("examples", {}).items()
    }
    assert written == {(e.status_code, e.error, e.http) for e in ServiceError.__subclasses__()}
    assert responses(document)["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Answer")


def test_it_has_every_field(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Request"]["properties"].keys() == RequestBody.model_fields.keys()
    in_form = RequestBody.model_fields.keys() - {"picture_base64"} | {"image"}
    assert schemas["FormRequest"]["properties"].keys() == in_form


def test_the_words_for_it_are_those_of_what_is_there(document: dict[str, Any]) -> None:
    words = load_words().keys()
    fields = RequestBody.model_fields.keys() | {"image"}
    assert {key for key in words if key.startswith("field_")} == {f"field_{name}" for name in fields}
    assert {key for key in words if key.startswith("route_")} == {f"route_{p}" for p in document["paths"]}


def test_the_written_contract_has_the_same_fields_and_codes() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    for name in RequestBody.model_fields:
        assert f"| `{name}` |" in text
    for error in ServiceError.__subclasses__():
        assert f"`{error.error}`" in text


def test_real_answers_are_as_it_says(service: Service, document: dict[str, Any]) -> None:
    """Each form of a success, and each error that a body can cause here."""
    alice = service.caller()
    poor = service.caller(quota_limit=0)
    good = alice.body(picture=DIGITS)
    bodies = [
        good,
        good,
        alice.body(picture=DIGITS, boxes=False),
        poor.body(picture=DIGITS),
        {},
        alice.body(picture_url="http://10.0.0.1/a.png"),
        alice.body(picture=b"no picture"),
        alice.body(picture=DIGITS, timestamp=1),
        alice.body(picture=DIGITS, unknown=1),
        Caller("nobody", "secret").body(picture=DIGITS),
    ]
    seen = set()
    for body in bodies:
        answer = service.post(body)
        [content] = responses(document)[str(answer.status_code)]["content"].values()
        schema = content["schema"] | {"components": document["components"]}
        validator_for(schema).validate(answer.get_json())
        seen.add(answer.get_json()["status_code"])
    assert seen == {RECOGNISED, 9, 11, 0, 13, 16, 8, 7, 4}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/ocr", ["recognised", "recognised_without_boxes", "recognised_without_text"]),
        ("/usage", ["usage", "usage_of_all"]),
        ("/sign-in", ["sign_in"]),
        ("/healthz", ["healthz"]),
        ("/readyz", ["readyz", "readyz_without_store", "readyz_with_full_disk"]),
    ],
)
def test_recorded_answers_are_as_it_says(document: dict[str, Any], path: str, names: list[str]) -> None:
    """The schema accepts a recorded answer, and refuses it with a field more or less."""
    [operation] = document["paths"][path].values()
    content = operation["responses"]["200"]["content"]["application/json"]
    validator = validator_for(content["schema"] | {"components": document["components"]})
    for name in names:
        body = json.loads((BODIES / f"{name}.json").read_text())
        validator.validate(body)
        assert not validator.is_valid(body | {"more": 1})
        required = set(body) - {"disk", "free_bytes"}
        assert not any(validator.is_valid({k: v for k, v in body.items() if k != one}) for one in required)


def test_the_worked_example_is_right() -> None:
    shown = example()
    assert json.loads(shown.fields) == FIELDS
    signed = {name: as_signed(value) for name, value in FIELDS.items()}
    assert (shown.string_to_sign, shown.sign) == (string_to_sign(signed), sign(SECRET, signed))
    assert shown.string_to_sign == (
        "nonce=Bbp-Io52REKkU6hr&orient=true"
        "&picture_url=https%3A%2F%2Fexample.com%2Fa%20receipt.jpg%3Fsize%3Dlarge%26page%3D1"
        "&timestamp=1795203755&username=demo"
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_says_all_of_it(service: Service, language: str) -> None:
    answer = service.app.test_client().get("/docs", headers={"Accept-Language": language})
    page = html.unescape(answer.get_data(as_text=True))
    assert example().sign in page
    tips, words = load_tips(), load_words()
    for error in ServiceError.__subclasses__():
        assert tips[error.error][language] in page
    for name in RequestBody.model_fields:
        assert words[f"field_{name}"][language] in page


def signed(case: Case[Any], caller: Caller, nonces: list[str]) -> None:
    """What is valid is signed, so that it comes further than the signature; what is not stays as it is."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.operation.path == "/usage":
        case.query = signed_query(dict(case.query or {}), caller)
    if case.operation.path != "/ocr" or not isinstance(case.body, dict):
        return
    fields: dict[str, Any] = {name: int(v) if isinstance(v, float) else v for name, v in case.body.items()}
    fields |= {"username": caller.username, "timestamp": int(time.time()), "sign_method": "hmac-sha256"}
    nonces.append(fields["nonce"])
    for name, decoded in (("picture_base64", b64decode), ("image", _as_bytes)):
        if name in fields:
            fields["picture_sha256"] = hashlib.sha256(decoded(fields[name])).hexdigest()
    covered = {name: as_signed(value) for name, value in fields.items() if name != "image"}
    fields["sign"] = sign(caller.secret, covered)
    case.body = fields


def signed_query(query: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """With days that are in order, which a schema cannot say."""
    asked = {name: str(value) for name, value in query.items() if name != "sign"}
    asked |= {"username": caller.username, "timestamp": str(int(time.time()))}
    if "of" in query:
        asked["of"] = caller.username  # of others only administrators may learn
    if query.keys() & {"from", "to"}:
        asked |= {"from": "2026-03-01", "to": "2026-03-31"}
    return asked | {"sign": sign(caller.secret, asked)}


def _as_bytes(image: Any) -> bytes:
    return image if isinstance(image, bytes) else getattr(image, "data", str(image).encode())


def _asked_all(schema: Any) -> tuple[list[tuple[Any, Any]], int]:
    """What was found, each with the body that was sent, and how many checks there were."""
    complaints: list[tuple[Any, Any]] = []
    tried = 0
    for event in from_schema(schema).execute():
        if isinstance(event, NonFatalError):
            complaints.append((None, event.value))
        if isinstance(event, ScenarioFinished):
            for key, checks in event.recorder.checks.items():
                tried += len(checks)
                sent = event.recorder.cases[key].value
                complaints += [(sent.body, check.failure_info) for check in checks if check.failure_info]
    return complaints, tried


def test_schemathesis_finds_nothing(make_service: Callable[..., Service]) -> None:
    """Examples, edge cases and random requests for each operation, good and bad, judged by all its checks."""
    service = make_service(fetch={"allow_hosts": {"pictures.example"}})  # so that nobody is asked for a name
    caller = service.caller()
    nonces: list[str] = []
    schema = openapi.from_wsgi("/openapi.json", service.app)
    schema.config.generation.update(max_examples=EXAMPLES, deterministic=True)
    # A picture may be refused as well as found unfit, a nonce may come twice, and a slow machine may be busy.
    checks = schema.config.checks
    checks.positive_data_acceptance.expected_statuses = ["2xx", "401", "403", "409", "422", "429", "503"]
    checks.not_a_server_error.expected_statuses = ["2xx", "3xx", "4xx", "503"]

    def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        signed(case, caller, nonces)

    hook(before_call)
    try:
        complaints, tried = _asked_all(schema)
    finally:
        unregister(before_call)
    assert complaints == []
    assert tried > 1000
    assert len(nonces) > EXAMPLES
