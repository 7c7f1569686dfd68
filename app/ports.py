"""The interfaces that the services need. `app/wiring` chooses the implementations."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from app.model.account import Account, CachedAccount, Quota
from app.model.claim import Claim
from app.model.reading import Page, ReadOptions, ReadResult
from app.model.usage import UsageRecord, UsageReport, UserQuota, UserUsage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

T = TypeVar("T")

PictureSource = Callable[[], bytes]
"""Gives the picture that came with a request. Decodes it at the first call; may raise RequestMalformed."""


def not_cancelled() -> bool:
    return False


class Clock(Protocol):
    """Wall time in Unix seconds, and a monotonic clock in seconds for deadlines and durations."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class Accounts(Protocol):
    """Users by name, compared byte for byte.

    A cached account suffices to accept a signature; only the database rejects one. The answer to a wrong
    signature therefore takes as long for cached names as for others, and is the same while the database is
    down.
    """

    def remembered(self, username: str) -> Account | None:
        """As this process read the user a moment ago, or None. Does no I/O."""

    def cached(self, username: str) -> CachedAccount:
        """As known without the database. Raises DependencyUnavailable."""

    def find(self, username: str) -> Account | None:
        """As stored in the database; None for an unknown name. Raises DependencyUnavailable."""


class Admission(Protocol):
    def admit(
        self, account: Account, claim: Claim, *, nonce_ttl_s: float, deadline: float = math.inf
    ) -> Quota:
        """Spend the nonce and one request of the user's rate and quota, and open the usage record.

        One atomic step shared by all workers: all of it happens, or nothing. The same request_id with the
        same nonce is a retry of our own proxy: it is admitted without a second charge while the record is
        open, or was closed as recognised a moment ago, so that the answer may have been lost.

        nonce_ttl_s: how long the nonce is remembered. deadline: of the request, on the monotonic clock.
        Raises NonceReplayed (also for a request_id of another nonce), RateLimited, QuotaExhausted,
        UserDisabled (disabled or deleted since authentication), DependencyUnavailable.
        """


class Nonces(Protocol):
    def spend_nonce(self, account: Account, claim: Claim, *, nonce_ttl_s: float) -> None:
        """Spend the nonce and one request of the user's rate, but no quota; open no usage record.

        Raises NonceReplayed, RateLimited, UserDisabled, DependencyUnavailable.
        """


class Failures(Protocol):
    """Counts wrong signatures by address and user name. Empty and loopback addresses have no limit."""

    def check(self, address: str, username: str) -> None:
        """Raises RateLimited while the address is over its limit, for this name or for all names."""

    def count(self, address: str, username: str) -> None:
        """Count one wrong signature."""


class SignInCodes(Protocol):
    """One-time codes that the operator issues. Both methods raise DependencyUnavailable."""

    def owner(self, code: str) -> str | None:
        """The user name that the valid code was issued for; None for any other text. Writes nothing."""

    def spend(self, code: str) -> bool:
        """Whether this call spent the code. Of concurrent calls on all nodes exactly one does."""


class UsageLog(Protocol):
    def finish(self, record: UsageRecord) -> None:
        """Close the record that admission opened, and return the quota of a failed request.

        Idempotent by request_id: only the first call has an effect. Raises DependencyUnavailable.
        """


class Reports(Protocol):
    """Every method raises DependencyUnavailable. first, last: days of UTC, both included."""

    def report(self, user_id: int | None, first: date, last: date) -> UsageReport:
        """The usage of one user, or of all users (None)."""

    def usage_of_all(self, first: date, last: date) -> tuple[UserUsage, ...]:
        """The usage of each user, in descending order of recognised pictures."""

    def quota(self, username: str) -> UserQuota: ...

    def is_admin(self, username: str) -> bool:
        """Whether the user may see the usage of all."""


class Background(Protocol):
    """Runs work that would block the event loop of a worker for too long."""

    def run(self, job: Callable[[], T]) -> T:
        """Return or raise what the job does; the event loop keeps running while the caller waits."""


class Fetcher(Protocol):
    def fetch(self, url: str, *, username: str, deadline: float) -> bytes:
        """Download an untrusted URL within all limits.

        deadline: on the monotonic clock; the total time limit of a download applies as well.
        Raises PictureUrlNotAllowed, PictureUnreachable, PictureTooLarge, Busy (no download slot).
        """


class Engine(Protocol):
    """Reads pictures. Wiring knows from how many threads at once it may be called.

    runtime: the inference runtime and its precision, for display.
    """

    model: str
    runtime: str

    def read(self, image: Image, options: ReadOptions) -> Page:
        """image: uint8 [height, width, 3], BGR, upright. Lines in reading order, boxes in its pixels."""

    def warm_up(self) -> None:
        """Do the slow work of the first reads in advance. Must not run during a read."""


class Reservation(Protocol):
    """Room for one read, held from before admission until the read is done."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        """Decode and read in the engine's thread; with the milliseconds spent waiting for it.

        Raises Busy, OcrFailed, PictureTooLarge, PictureUnsupported.
        """


class Offload(Protocol):
    """Where reading runs, bounded by how long a newcomer would wait."""

    def start(self) -> None:
        """Build the engine and read a built-in picture with it. Raises what keeps it from serving."""

    def ready(self) -> bool:
        """Whether the engine has read its built-in picture and takes work."""

    def reserve(self, deadline: float, cancelled: Callable[[], bool], username: str) -> Reservation:
        """Raises Busy, with retry_after, if the picture could not be read in time.

        deadline: on the monotonic clock, in seconds.
        cancelled: whether the caller has hung up. A read that has not started by then never starts.
        username: whose pictures this one counts with, so that no user fills the queue for all others.
        """
