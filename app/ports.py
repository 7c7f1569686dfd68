"""What the service asks of the parts below it. `app/wiring/services.py` chooses who answers."""

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
    """Users by exactly their name, byte for byte.

    A cache may let a user in, but only the database refuses: the answer to a wrong signature then takes as
    long for names that are cached as for others, and is the same while the database is down.
    """

    def remembered(self, username: str) -> Account | None:
        """As this process read the user a moment ago; None where it did not. It asks nobody."""

    def cached(self, username: str) -> CachedAccount:
        """As far as it is known without the database. Raises DependencyUnavailable."""

    def find(self, username: str) -> Account | None:
        """As the database has the user; None if there is none. Raises DependencyUnavailable."""


class Admission(Protocol):
    def admit(
        self, account: Account, claim: Claim, *, nonce_ttl_s: float, deadline: float = math.inf
    ) -> Quota:
        """Spend the nonce, a place in the user's rate and one of its quota, and begin its usage record.

        All or nothing, in one atomic step shared by all workers. The same request_id with the same nonce
        is our own retry while its record is open, or was closed as recognised a moment ago so that its
        answer may have been lost; it is admitted without being charged twice. Raises NonceReplayed (also
        for a request_id that is another's), RateLimited, QuotaExhausted, UserDisabled (meanwhile),
        DependencyUnavailable.

        deadline: on the monotonic clock; until then the caller waits.
        """


class Nonces(Protocol):
    def spend_nonce(self, account: Account, claim: Claim, *, nonce_ttl_s: float) -> None:
        """Spend the nonce and a place in the user's rate, but none of its quota; no record is begun.

        Raises NonceReplayed, RateLimited, UserDisabled (meanwhile), DependencyUnavailable.
        """


class Failures(Protocol):
    """Wrong signatures by address and user name. An empty or a loopback address is nobody's: no limit."""

    def check(self, address: str, username: str) -> None:
        """Raises RateLimited while too many came from the address, for this name or for all names."""

    def count(self, address: str, username: str) -> None:
        """One more."""


class SignInCodes(Protocol):
    """One-time codes that the operator hands out. Both methods raise DependencyUnavailable."""

    def owner(self, code: str) -> str | None:
        """The name of the user whose valid code this is; None for any other text. Writes nothing."""

    def spend(self, code: str) -> bool:
        """Whether this call is the one that spent the code: of any number at once, on all nodes, one is."""


class UsageLog(Protocol):
    def finish(self, record: UsageRecord) -> None:
        """Close the record that admission began, and give back what a failure must not cost.

        Idempotent by request_id: only the first call counts. Raises DependencyUnavailable.
        """


class Reports(Protocol):
    """Every method raises DependencyUnavailable. first, last: days of UTC, both included."""

    def report(self, user_id: int | None, first: date, last: date) -> UsageReport:
        """Of one user or of everybody (None)."""

    def usage_of_all(self, first: date, last: date) -> tuple[UserUsage, ...]:
        """Of every user, who has read most first."""

    def quota(self, username: str) -> UserQuota: ...

    def is_admin(self, username: str) -> bool:
        """Whether the user may see the usage of all."""


class Background(Protocol):
    """Work that is too long for the loop of a worker."""

    def run(self, job: Callable[[], T]) -> T:
        """What the job returns or raises, once it had its turn; the loop goes on meanwhile."""


class Fetcher(Protocol):
    def fetch(self, url: str, *, username: str, deadline: float) -> bytes:
        """The bytes behind a stranger's URL, within every limit.

        deadline: on the monotonic clock; the fetch's own total limit applies as well.
        Raises PictureUrlNotAllowed, PictureUnreachable, PictureTooLarge, Busy (no download slot).
        """


class Engine(Protocol):
    """Reads pictures. Wiring knows from how many threads at once it may be called.

    runtime: what computes its models and in which precision, for people.
    """

    model: str
    runtime: str

    def read(self, image: Image, options: ReadOptions) -> Page:
        """image: uint8 [height, width, 3], BGR, upright. Lines in reading order, boxes in its pixels."""

    def warm_up(self) -> None:
        """Do what would make the first reads slow. Not while it reads."""


class Place(Protocol):
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

    def reserve(
        self, deadline: float, cancelled: Callable[[], bool] = not_cancelled, username: str = ""
    ) -> Place:
        """Raises Busy, with retry_after, where the picture could not be read in time.

        username: whose place it is, so that nobody keeps others out by pictures that never come.
        cancelled: whether nobody waits for the answer any more. A read that has not started is then dropped.
        """
