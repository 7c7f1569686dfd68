"""Every setting, its unit and its default: `OCR_<GROUP>__<NAME>` in the environment.

A file `.env` is put into the environment by Flask's command line and by gunicorn.py. All of them are checked
when the process starts; a wrong one stops it with the setting's name.
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
"""Where log/ and var/ are: the checkout, or a folder for each of several instances of it."""

CLIENTS_VARIABLES = {"OCR_URL", "OCR_USER", "OCR_SECRET"}
"""Not ours: clients/ are told by these who they are, perhaps in the same shell."""

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
    max_age_s: PositiveInt = Field(300, description="seconds a request's timestamp may be old")
    max_ahead_s: PositiveInt = Field(60, description="seconds it may be ahead of our clock")
    legacy_nonce_days: PositiveInt = Field(30, description="days a nonce of the original scheme is kept")
    rate_per_minute: PositiveInt = Field(
        1200,
        description="requests that a user may send in a minute on average; refused ones have the same limit",
    )
    rate_burst: PositiveInt = Field(200, description="requests a user may send at once")
    user_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="share that one user may take of a worker's transactions, download slots, queue places, "
        "delayed answers and time for reports",
    )
    failures_per_minute: PositiveInt = Field(
        120,
        description="wrong signatures in a minute for one user name from one address; further ones get code "
        "12, and so do right ones of a user who may sign md5",
    )
    address_failures_per_minute: PositiveInt = Field(
        1200,
        description="wrong signatures in a minute for all user names from one address; further ones get code "
        "12",
    )
    refused_ms: PositiveInt = Field(
        10,
        description="milliseconds; a wrong signature is answered after a multiple of them, so that the time "
        "does not tell whether the user exists",
    )
    failures_file: Path = Field(
        HOME / "var" / "failures",
        description="file that counts wrong signatures; the instances of one machine share it",
    )
    sign_in_code_s: PositiveInt = Field(
        600, description="seconds for which a link of `flask users link` works, once"
    )
    proxies: Networks = Field(
        frozenset(),
        description="networks whose X-Forwarded-For, X-Forwarded-Proto and X-Request-ID are believed; "
        "proxies must overwrite the last, or callers choose it",
    )


class LimitSettings(Group):
    max_body_bytes: PositiveInt = Field(14 * MIB, description="bytes of a request body; Nginx has a copy")
    body_timeout_s: PositiveFloat = Field(
        30, description="seconds in which each MiB of a request body must arrive"
    )
    unproven_bytes: PositiveInt = Field(
        192 * MIB,
        description="bytes of bodies over 64 KiB that a worker holds before it has checked their signatures",
    )
    unproven_bytes_per_address: PositiveInt = Field(
        112 * MIB, description="bytes of such bodies that come from one address, or from one /64 of IPv6"
    )
    max_picture_bytes: PositiveInt = Field(10 * MIB, description="bytes of a picture")
    max_picture_pixels: PositiveInt = Field(40_000_000, description="pixels of a picture, width x height")
    max_side_px: PositiveInt = Field(20_000, description="pixels of its longer side")
    max_jpeg_scans: PositiveInt = Field(100, description="scans of a progressive JPEG")
    decode_cpu_s: PositiveFloat = Field(2.5, description="seconds of CPU that decoding a picture may take")
    decode_wall_s: PositiveFloat = Field(
        10,
        description="seconds that decoding a picture may take; a large picture waits as long for another "
        "large one",
    )
    decode_memory_mb: int = Field(
        400,
        ge=100,
        description="megabytes that decoding a picture may take, in the worker and its decode host together",
    )
    large_picture_pixels: PositiveInt = Field(
        12_500_000,
        description="pixels of a picture (half for WebP); a worker decodes larger ones one at a time, others "
        "have half the memory",
    )
    timeout_ms: PositiveInt = Field(30_000, description="milliseconds for a request that names no timeout_ms")
    min_timeout_ms: PositiveInt = Field(500, description="the least timeout_ms a request may ask for")
    max_timeout_ms: PositiveInt = Field(60_000, description="the most timeout_ms a request may ask for")

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
        10, description="seconds for DNS, connect, TLS, every hop and the body together"
    )
    connect_timeout_s: PositiveFloat = Field(2, description="seconds for one connect")
    read_timeout_s: PositiveFloat = Field(5, description="seconds of silence while reading")
    max_redirects: int = Field(3, ge=0, description="redirects followed")
    slots: PositiveInt = Field(32, description="downloads at once in a worker")
    allow_ports: Annotated[frozenset[int], NoDecode, SplitCommas] = Field(
        frozenset({80, 443}), description="ports that pictures may come from"
    )
    allow_hosts: Annotated[frozenset[str], NoDecode, SplitCommas] = Field(
        frozenset(), description="if set, the only hosts pictures may come from"
    )
    allow_networks: Networks = Field(
        frozenset(), description="private networks that are opened (a picture store); empty is safest"
    )


def _cores_of_a_worker() -> int:
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("WEB_CONCURRENCY") or 1))


class EngineSettings(Group):
    name: Literal["ppocr", "paddleocr"] = Field("ppocr", description="our engine, or the paddleocr package")
    runtime: Literal["openvino", "onnxruntime"] = Field("openvino", description="what runs the models")
    precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        "auto", description="what OpenVINO computes in: auto takes the fastest that the processor has"
    )
    cores: PositiveInt = Field(default_factory=_cores_of_a_worker, description="cores that a worker uses")
    threads: PositiveInt = Field(
        default_factory=_cores_of_a_worker, description="pictures read at once in a worker"
    )
    models_dir: Path = Field(ROOT / "models", description="folders made by `flask models pull`")
    detection_model: str = Field("PP-OCRv6_small_det", description="folder of the detection model")
    recognition_model: str = Field("PP-OCRv6_small_rec", description="folder of the recognition model")
    side_limit: int = Field(960, ge=64, description="longest side in pixels that detection works on")
    max_side_limit: int = Field(2560, ge=64, description="the most side_limit a request may ask for")
    max_lines: PositiveInt = Field(1000, description="text lines read in one picture")
    charset: Literal["full", "latin", "digits", "chinese+latin"] | FilePath = Field(
        "full", description="full, latin, digits, chinese+latin, or a UTF-8 file of characters"
    )
    queue_wait_s: PositiveFloat = Field(
        5,
        description="seconds of waiting for an engine up to which a request is let in; it may then wait a "
        "quarter longer",
    )
    read_limit_s: PositiveFloat = Field(
        60, description="seconds for one read; after a longer one the worker is replaced"
    )
    max_worker_mb: NonNegativeInt = Field(
        3000, description="megabytes of a worker; a larger one is replaced; 0 is any size"
    )
    warm_up: bool = Field(
        True,
        description="prepare usual line widths before the first request; without it a start takes half as "
        "long, and early pictures take longer",
    )
    crash_dir: Path = Field(
        HOME / "var" / "crashes",
        description="what a crashed worker was reading; instances on one machine share it",
    )

    @model_validator(mode="after")
    def sides_in_order(self) -> Self:
        if self.side_limit > self.max_side_limit:
            raise ValueError("side_limit <= max_side_limit must hold")
        return self

    @model_validator(mode="after")
    def only_openvino_computes_in_less(self) -> Self:
        only = self.precision in ("bf16", "int8")
        if only and (self.name, self.runtime) != ("ppocr", "openvino"):
            raise ValueError(
                f"only the ppocr engine with the openvino runtime has precision {self.precision}"
            )
        return self

    @model_validator(mode="after")
    def charset_is_ours_alone(self) -> Self:
        if self.name == "paddleocr" and self.charset != "full":
            raise ValueError("the paddleocr engine reads the full charset alone")
        return self


class StateSettings(Group):
    database_url: Annotated[str, AfterValidator(checked_database_url)] = Field(
        f"sqlite:///{HOME}/var/ocr.sqlite",
        description="sqlite:///PATH, or mysql+pymysql://USER:PASSWORD@HOST/DATABASE",
    )
    key_file: Path = Field(HOME / "var" / "secret.key", description="key that encrypts secrets at rest")
    busy_timeout_ms: PositiveInt = Field(1000, description="milliseconds to wait for another writer")
    mysql_timeout_s: PositiveFloat = Field(
        3, description="seconds that MySQL may take to be connected, or to answer"
    )
    mysql_connections: PositiveInt = Field(
        10, description="connections to MySQL that a worker holds at most, beside two for reports"
    )

    redis_url: Annotated[str, AfterValidator(checked_redis_url)] = Field(
        "", description="redis://, rediss:// or unix://; without it the database does its part"
    )
    redis_timeout_ms: PositiveInt = Field(200, description="milliseconds that Redis may take to answer")
    redis_connections: PositiveInt = Field(32, description="connections to Redis that a worker holds at most")
    spool_dir: Path = Field(
        HOME / "var" / "spool", description="folder for records that Redis does not take at the moment"
    )
    claim_after_s: PositiveFloat = Field(
        30, description="seconds after which the records of a silent mover are taken over"
    )
    min_free_disk_mb: NonNegativeInt = Field(
        500, description="free megabytes that `flask doctor` demands of the disks of logs, state and spool"
    )

    @property
    def database_folder(self) -> Path | None:
        """Of the embedded database; None for one that is elsewhere."""
        kind, _, file = self.database_url.partition(":///")
        return Path(file).absolute().parent if kind == "sqlite" else None

    @model_validator(mode="after")
    def waiting_for_a_lock_is_no_silence(self) -> Self:
        if self.mysql_timeout_s <= self.busy_timeout_ms / 1000:
            raise ValueError("mysql_timeout_s must be longer than busy_timeout_ms")
        return self


class UsageSettings(Group):
    keep_text: Literal["none", "hash", "full"] = Field(
        "none", description="of the text that was read, a record keeps: none, hash (its SHA-256) or full"
    )
    keep_days: NonNegativeInt = Field(
        0, description="days that `flask usage purge` keeps records; 0 is for ever"
    )
    max_report_days: PositiveInt = Field(92, description="days that one `GET /usage` may cover")
    reports_at_once: PositiveInt = Field(
        16,
        description="reports (`GET /usage`) that a worker makes at once, one for each user; further ones get "
        "code 17",
    )


class LogSettings(Group):
    file: str = Field(f"{HOME}/log/ocr.log", description="JSON lines, one a request; - is standard error")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="the least that is logged"
    )
    max_mb: NonNegativeInt = Field(
        100,
        description="megabytes of a log file; a larger one is moved to NAME.old; 0 is any size; gunicorn.py "
        "has a copy",
    )
    min_free_mb: PositiveInt = Field(
        1,
        description="free megabytes below which a disk counts as full, for /readyz and the alert OcrDiskFull",
    )


class MetricsSettings(Group):
    bind: str = Field(
        "127.0.0.1:9081",
        pattern=r"^.+:\d+$",
        description="where Prometheus finds /metrics, for each instance its own",
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="OCR_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        validate_default=True,
        hide_input_in_errors=True,  # it may be a URL with a password
    )

    bind: str = Field("127.0.0.1:8081", description="where gunicorn listens; gunicorn.py has a copy")
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
    """A setting as the README and example.env write it down; a test compares."""

    variable: str
    default: str
    description: str


def described() -> list[Described]:
    """Every environment variable that the settings read."""
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
    """`OCR_*` variables that no setting reads: most often a typing error that leaves a default in force."""
    ours = {setting.variable for setting in described()} | {"OCR_DAEMON", "OCR_HOME", "OCR_PROTOCOL"}
    known = ours | CLIENTS_VARIABLES
    return sorted(name for name in environ if name.startswith("OCR_") and name.upper() not in known)


def load_tips() -> dict[str, dict[str, str]]:
    """Sentences for people, by the contract's `error` and by language (`en`, `zh`)."""
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
