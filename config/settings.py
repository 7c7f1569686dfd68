"""Every setting, its unit and its default: `OCR_<GROUP>__<NAME>` in the environment.

Flask's command line and gunicorn.py load a file `.env` into the environment. All settings are validated when
the process starts; an invalid value stops the process with the setting's name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.store_urls import checked_database_url, checked_redis_url

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("OCR_HOME", ROOT)).resolve()
"""Folder of log/ and var/: the checkout, or one folder per instance."""

CLIENTS_VARIABLES = {"OCR_URL", "OCR_USER", "OCR_SECRET"}
"""Read by clients/, which may run in the same shell. The service ignores them."""

MIB = 1024 * 1024


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip().lower() for part in value.split(",") if part.strip()]
    return value


SplitCommas = BeforeValidator(_split_commas)
Networks = Annotated[frozenset[IPv4Network | IPv6Network], NoDecode, SplitCommas]


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class AuthSettings(Group):
    max_age_s: PositiveInt = Field(300, description="Maximum age of a request's timestamp, in seconds")
    max_ahead_s: PositiveInt = Field(
        60,
        description="Maximum time that a request's timestamp may be ahead of the server's clock, in seconds",
    )
    legacy_nonce_days: PositiveInt = Field(
        30, description="Days that nonces of md5-signed requests are stored"
    )
    rate_per_minute: PositiveInt = Field(
        1200,
        description="Average requests per minute and user. Refused requests have a separate limit of the "
        "same size.",
    )
    rate_burst: PositiveInt = Field(
        200, description="Requests that a user may send at once, above the average rate"
    )
    user_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Maximum share of a worker that one user may occupy: store transactions, download "
        "slots, delayed responses, report time, and places in the queue while other users wait",
    )
    failures_per_minute: PositiveInt = Field(
        120,
        description="Wrong signatures per minute, user name and address. Above it, the service answers "
        "code 12, also to correct signatures of a user who may sign md5.",
    )
    address_failures_per_minute: PositiveInt = Field(
        1200,
        description="Wrong signatures per minute and address, over all user names. Above it, the service "
        "answers code 12.",
    )
    refused_ms: PositiveInt = Field(
        10,
        description="Milliseconds. The response to a wrong signature is delayed to a multiple of this, so "
        "that its timing does not reveal whether the user exists.",
    )
    failures_file: Path = Field(
        HOME / "var" / "failures",
        description="File with the counters of wrong signatures, shared by all instances on one machine",
    )
    sign_in_code_s: PositiveInt = Field(
        600, description="Lifetime of the one-time link of `flask users link`, in seconds"
    )
    proxies: Networks = Field(
        frozenset(),
        description="Networks of trusted proxies, whose X-Forwarded-For, X-Forwarded-Proto and X-Request-"
        "ID are accepted. A proxy must overwrite X-Request-ID, otherwise the caller chooses it.",
    )


class LimitSettings(Group):
    max_body_bytes: PositiveInt = Field(
        14 * MIB, description="Maximum size of a request body, in bytes. Nginx has the same limit."
    )
    body_timeout_s: PositiveFloat = Field(
        30, description="Maximum time to receive each MiB of a request body, in seconds"
    )
    unproven_bytes: PositiveInt = Field(
        192 * MIB,
        description="Memory of a worker for request bodies over 64 KiB whose signature is not verified "
        "yet, in bytes",
    )
    unproven_bytes_per_address: PositiveInt = Field(
        112 * MIB, description="Share of that memory for one IPv4 address or one IPv6 /64 network, in bytes"
    )
    max_picture_bytes: PositiveInt = Field(10 * MIB, description="Maximum size of a picture file, in bytes")
    max_picture_pixels: PositiveInt = Field(
        40_000_000, description="Maximum width x height of a picture, in pixels"
    )
    max_side_px: PositiveInt = Field(
        20_000, description="Maximum length of a picture's longer side, in pixels"
    )
    max_jpeg_scans: PositiveInt = Field(100, description="Maximum number of scans in a progressive JPEG")
    decode_cpu_s: PositiveFloat = Field(2.5, description="Maximum CPU time to decode a picture, in seconds")
    decode_wall_s: PositiveFloat = Field(
        10,
        description="Maximum time to decode a picture, in seconds. A large picture may wait as long again "
        "until another large picture is decoded.",
    )
    decode_memory_mb: int = Field(
        400,
        ge=100,
        description="Maximum memory to decode a picture, in the worker and its decode host together, in "
        "megabytes",
    )
    large_picture_pixels: PositiveInt = Field(
        12_500_000,
        description="A picture above this many pixels (half as many for WebP) is large. A worker decodes "
        "one large picture at a time; other pictures get half of decode_memory_mb.",
    )
    timeout_ms: PositiveInt = Field(30_000, description="Default of a request's timeout_ms, in milliseconds")
    min_timeout_ms: PositiveInt = Field(500, description="Minimum of a request's timeout_ms")
    max_timeout_ms: PositiveInt = Field(60_000, description="Maximum of a request's timeout_ms")

    @model_validator(mode="after")
    def timeouts_in_order(self) -> Self:
        if not self.min_timeout_ms <= self.timeout_ms <= self.max_timeout_ms:
            raise ValueError("min_timeout_ms <= timeout_ms <= max_timeout_ms must hold")
        return self

    @model_validator(mode="after")
    def budgets_in_order(self) -> Self:
        if not self.max_body_bytes <= self.unproven_bytes_per_address <= self.unproven_bytes:
            raise ValueError("max_body_bytes <= unproven_bytes_per_address <= unproven_bytes must hold")
        return self


class FetchSettings(Group):
    timeout_s: PositiveFloat = Field(
        10,
        description="Maximum time to download a picture, in seconds: DNS, connect, TLS, redirects and body "
        "together",
    )
    connect_timeout_s: PositiveFloat = Field(2, description="Maximum time for one TCP connect, in seconds")
    read_timeout_s: PositiveFloat = Field(
        5, description="Maximum time to wait for the next bytes of a response, in seconds"
    )
    max_redirects: int = Field(3, ge=0, description="Maximum number of redirects to follow")
    slots: PositiveInt = Field(32, description="Simultaneous downloads per worker")
    allow_ports: Annotated[frozenset[int], NoDecode, SplitCommas] = Field(
        frozenset({80, 443}), description="Ports that a picture URL may use"
    )
    allow_hosts: Annotated[frozenset[str], NoDecode, SplitCommas] = Field(
        frozenset(), description="If set, a picture URL may name only these hosts"
    )
    allow_networks: Networks = Field(
        frozenset(),
        description="Private networks that a picture URL may lead to, for example an internal picture "
        "store. Empty is safest.",
    )


def _cores_of_a_worker() -> int:
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("WEB_CONCURRENCY") or 1))


class EngineSettings(Group):
    name: Literal["ppocr", "paddleocr"] = Field(
        "ppocr", description="ppocr (the built-in engine) or paddleocr (the package of that name)"
    )
    runtime: Literal["openvino", "onnxruntime"] = Field(
        "openvino", description="Inference runtime: openvino or onnxruntime"
    )
    precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        "auto",
        description="Numeric precision of OpenVINO: f32, bf16, int8, or auto for the fastest that the "
        "processor supports",
    )
    cores: PositiveInt = Field(default_factory=_cores_of_a_worker, description="CPU cores per worker")
    threads: PositiveInt = Field(
        default_factory=_cores_of_a_worker, description="Pictures that a worker reads at once"
    )
    models_dir: Path = Field(
        ROOT / "models", description="Folder of the models, created by `flask models pull`"
    )
    detection_model: str = Field(
        "PP-OCRv6_small_det", description="Name of the detection model's folder in models_dir"
    )
    recognition_model: str = Field(
        "PP-OCRv6_small_rec", description="Name of the recognition model's folder in models_dir"
    )
    side_limit: int = Field(
        960,
        ge=64,
        description="Default of a request's side_limit: text detection scales a picture down to this "
        "longest side, in pixels",
    )
    max_side_limit: int = Field(2560, ge=64, description="Maximum of a request's side_limit")
    max_lines: PositiveInt = Field(1000, description="Maximum number of text lines read in one picture")
    charset: Literal["full", "latin", "digits", "chinese+latin"] | FilePath = Field(
        "full",
        description="Characters to recognise: full, latin, digits, chinese+latin, or the path of a UTF-8 "
        "file that lists them",
    )
    queue_wait_s: PositiveFloat = Field(
        5,
        description="Refuse a request whose estimated wait for the engine exceeds this many seconds. "
        "Admitted requests may wait 25 % longer, because admission is only an estimate.",
    )
    read_limit_s: PositiveFloat = Field(
        60, description="Maximum time to read one picture, in seconds. A worker that exceeds it is replaced."
    )
    max_worker_mb: NonNegativeInt = Field(
        3000,
        description="Maximum resident memory of a worker, in megabytes. A worker that exceeds it is "
        "replaced; 0 disables the limit.",
    )
    warm_up: bool = Field(
        True,
        description="Prepare the usual line widths before the first request. Without it, a start takes half "
        "as long and early pictures take longer.",
    )
    crash_dir: Path = Field(
        HOME / "var" / "crashes",
        description="Folder that records which picture a worker was reading when it crashed, shared by all "
        "instances on one machine",
    )

    @model_validator(mode="after")
    def sides_in_order(self) -> Self:
        if self.side_limit > self.max_side_limit:
            raise ValueError("side_limit <= max_side_limit must hold")
        return self

    @model_validator(mode="after")
    def reduced_precision_needs_openvino(self) -> Self:
        only = self.precision in ("bf16", "int8")
        if only and (self.name, self.runtime) != ("ppocr", "openvino"):
            raise ValueError(f"precision {self.precision} needs the ppocr engine with the openvino runtime")
        return self

    @model_validator(mode="after")
    def charset_needs_ppocr(self) -> Self:
        if self.name == "paddleocr" and self.charset != "full":
            raise ValueError("the paddleocr engine supports only charset full")
        return self


class StateSettings(Group):
    database_url: Annotated[str, AfterValidator(checked_database_url)] = Field(
        f"sqlite:///{HOME}/var/ocr.sqlite",
        description="sqlite:///PATH or mysql+pymysql://USER:PASSWORD@HOST/DATABASE",
    )
    key_file: Path = Field(
        HOME / "var" / "secret.key",
        description="File of the key that encrypts users' secrets in the database",
    )
    busy_timeout_ms: PositiveInt = Field(
        1000, description="Maximum wait for a database lock, in milliseconds"
    )
    mysql_timeout_s: PositiveFloat = Field(
        3, description="Maximum time for MySQL to accept a connection or to answer a query, in seconds"
    )
    mysql_connections: PositiveInt = Field(
        10, description="Maximum number of MySQL connections per worker, not counting two for reports"
    )

    redis_url: Annotated[str, AfterValidator(checked_redis_url)] = Field(
        "",
        description="redis://, rediss:// or unix:// URL of Redis. Empty: the database does all of the work.",
    )
    redis_timeout_ms: PositiveInt = Field(
        200, description="Maximum time for Redis to answer, in milliseconds"
    )
    redis_connections: PositiveInt = Field(32, description="Maximum number of Redis connections per worker")
    spool_dir: Path = Field(
        HOME / "var" / "spool",
        description="Folder that stores usage records on disk while Redis does not accept them",
    )
    claim_after_s: PositiveFloat = Field(
        30,
        description="Seconds without a sign of life after which another mover takes over a mover's records",
    )
    min_free_disk_mb: NonNegativeInt = Field(
        500,
        description="Free disk space that `flask doctor` requires for logs, state and spool, in megabytes",
    )

    @property
    def database_folder(self) -> Path | None:
        """Folder of the SQLite file; None for MySQL."""
        kind, _, file = self.database_url.partition(":///")
        return Path(file).absolute().parent if kind == "sqlite" else None

    @model_validator(mode="after")
    def lock_wait_within_timeout(self) -> Self:
        if self.mysql_timeout_s <= self.busy_timeout_ms / 1000:
            raise ValueError("mysql_timeout_s must be longer than busy_timeout_ms")
        return self


class UsageSettings(Group):
    keep_text: Literal["none", "hash", "full"] = Field(
        "none",
        description="What a usage record stores of the recognised text: none, hash (its SHA-256) or full",
    )
    keep_days: NonNegativeInt = Field(
        0,
        description="Retention period of usage records for `flask usage purge`, in days. 0 keeps them "
        "forever.",
    )
    max_report_days: PositiveInt = Field(92, description="Maximum number of days in one `GET /usage` report")
    reports_at_once: PositiveInt = Field(
        16,
        description="Maximum number of `GET /usage` reports that a worker computes at once, one per user. "
        "Above it, the service answers code 17.",
    )


class LogSettings(Group):
    file: str = Field(
        f"{HOME}/log/ocr.log", description="Log file with one JSON object per line; - is standard error"
    )
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Minimum level of a logged event"
    )
    max_mb: NonNegativeInt = Field(
        100,
        description="Maximum size of a log file, in megabytes. A larger file is renamed to NAME.old; 0 "
        "disables the limit. gunicorn.py has the same default.",
    )
    min_free_mb: PositiveInt = Field(
        1,
        description="A disk with less free space than this many megabytes counts as full, in /readyz and "
        "in the alert OcrDiskFull",
    )


class MetricsSettings(Group):
    bind: str = Field(
        "127.0.0.1:9081",
        pattern=r"^.+:\d+$",
        description="Address of /metrics for Prometheus, HOST:PORT. Each instance needs its own.",
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="OCR_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        validate_default=True,
        hide_input_in_errors=True,  # the input may be a URL with a password
    )

    bind: str = Field(
        "127.0.0.1:8081",
        description="Address that gunicorn listens on: HOST:PORT or unix:PATH. gunicorn.py has the same "
        "default.",
    )
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    fetch: FetchSettings = FetchSettings()
    engine: EngineSettings = EngineSettings()
    state: StateSettings = StateSettings()
    usage: UsageSettings = UsageSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as docs/settings.md and example.env list it; a test compares them."""

    variable: str
    default: str
    description: str


def described() -> list[Described]:
    """Every environment variable that Settings reads."""
    found = []
    for name, info in Settings.model_fields.items():
        group = info.annotation
        if isinstance(group, type) and issubclass(group, Group):
            for key, inner in group.model_fields.items():
                found.append(_describe(f"OCR_{name}__{key}", inner))
        else:
            found.append(_describe(f"OCR_{name}", info))
    return found


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """`OCR_*` variables that no setting reads, usually misspelt, so that the default stays in force."""
    ours = {setting.variable for setting in described()} | {"OCR_DAEMON", "OCR_HOME", "OCR_PROTOCOL"}
    known = ours | CLIENTS_VARIABLES
    return sorted(name for name in environ if name.startswith("OCR_") and name.upper() not in known)


def load_tips() -> dict[str, dict[str, str]]:
    """Error messages for people: {error code: {"en" or "zh": sentence}}."""
    tips: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "config" / "tips.yaml").read_text("utf-8"))
    return tips


def _describe(variable: str, info: FieldInfo) -> Described:
    default = info.default
    if info.default_factory is not None:
        text = "cores / workers"
    elif isinstance(default, frozenset):
        text = ",".join(str(item) for item in sorted(default))
    elif isinstance(default, bool):
        text = str(default).lower()
    else:
        text = f"{default:g}" if isinstance(default, float) else str(default).replace(f"{HOME}/", "")
    return Described(variable.upper(), text, info.description or "")
