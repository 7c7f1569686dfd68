"""What the campaigns found, in figures: every breach makes the run fail."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

COME_BACK = (17, 18)  # what a service says that has too much to do, or waits for its store


@dataclass
class Report:
    """codes: None for answers without one. worst: the largest of each kind, and where. Breaches: in words."""

    cases: Counter[str] = field(default_factory=Counter)
    codes: Counter[int | None] = field(default_factory=Counter)
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)
    server_errors: int = 0
    campaign: str = ""

    def begin(self, campaign: str) -> None:
        self.campaign = campaign
        self.cases[campaign] = 0
        print(f"{campaign} ...", flush=True)

    def case(self, good: bool, breach: str) -> None:
        self.cases[self.campaign] += 1
        if not good:
            self.breach(breach)

    def breach(self, says: str) -> None:
        self.breaches.append(f"{self.campaign}: {says}")
        print(f"BREACH {self.breaches[-1]}", flush=True)

    def measured(self, kind: str, value: float, where: str, *, limit: float) -> None:
        if value > self.worst.get(kind, (float("-inf"), ""))[0]:
            self.worst[kind] = value, where
        if value > limit:
            self.breach(f"{kind} of {value:.3g} at {where}, over {limit:g}")

    def answered(self, http: int, code: int | None, what: str) -> None:
        """Every answer of the service's: a 5xx that does not say when to come back is a breach."""
        self.codes[code] += 1
        if http >= 500 and code not in COME_BACK:
            self.server_errors += 1
            self.breach(f"HTTP {http}, code {code}: {what}")

    def finish(self, forbidden: Counter[str]) -> int:
        """Print it all; the exit status."""
        unused = [name for name, count in self.cases.items() if not count]
        self.campaign = "all"
        if forbidden:
            self.breach(f"dialled {dict(forbidden)}")
        if unused or not self.cases:
            self.breach(f"no case was run {unused}")
        print(self._text(forbidden))
        return 1 if self.breaches else 0

    def _text(self, forbidden: Counter[str]) -> str:
        lines = [f"{name:<34}{count:>10} cases" for name, count in self.cases.items()]
        lines.append(f"{'cases':<34}{self.cases.total():>10}")
        lines.append(f"{'packets to forbidden addresses':<34}{forbidden.total():>10}")
        lines.append(f"{'answers of 5xx':<34}{self.server_errors:>10}")
        busy = sum(self.codes[code] for code in COME_BACK)
        lines.append(f"{'answers of busy (17, 18)':<34}{busy:>10}")
        lines += [f"{kind:<34}{value:>10.4g}  {where}" for kind, (value, where) in self.worst.items()]
        codes = sorted(self.codes.items(), key=lambda found: -1 if found[0] is None else found[0])
        lines.append("codes: " + ", ".join(f"{code}: {n}" for code, n in codes))
        lines += [f"BREACH {says}" for says in self.breaches]
        lines.append("every row holds" if not self.breaches else f"{len(self.breaches)} breaches")
        return "\n".join(lines)
