"""Reports beside the loop of a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TypeVar

from app.errors import DependencyUnavailable
from app.model.usage import UsageReport, UserQuota, UserUsage
from app.ports import Background, Reports
from app.state.sql.store import SqlStore
from app.system.background import Greenlets, NativeThreads

T = TypeVar("T")

REPORTS_IN_TURN = 2
"""Reports that a worker computes at a time; others wait. On MySQL each has a connection of its own."""


@dataclass(frozen=True, slots=True)
class ReportsInBackground:
    """Implements `app.ports.Reports`. failed: called at each fault of the database."""

    reports: Reports
    background: Background
    failed: Callable[[], None]

    def report(self, user_id: int | None, first: date, last: date) -> UsageReport:
        return self._run(partial(self.reports.report, user_id, first, last))

    def usage_of_all(self, first: date, last: date) -> tuple[UserUsage, ...]:
        return self._run(partial(self.reports.usage_of_all, first, last))

    def quota(self, username: str) -> UserQuota:
        return self._run(partial(self.reports.quota, username))

    def is_admin(self, username: str) -> bool:
        return self._run(partial(self.reports.is_admin, username))

    def _run(self, job: Callable[[], T]) -> T:
        try:
            return self.background.run(job)
        except DependencyUnavailable:
            self.failed()
            raise


def build_reports(store: SqlStore, *, under_gevent: bool, failed: Callable[[str], None]) -> Reports:
    """Threads for SQLite, which computes within the calling thread; greenlets for MySQL, which answers on a
    socket. failed: called with the name of the part at each fault.
    """
    if not under_gevent:
        return store.reports
    kind = NativeThreads if store.database.embedded else Greenlets
    reports = store.reports_apart(REPORTS_IN_TURN)
    return ReportsInBackground(reports, kind(REPORTS_IN_TURN), partial(failed, "database"))
