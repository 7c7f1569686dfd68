"""What the campaigns found, in figures: every breach makes the run fail."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """worst: the largest of each kind that was seen, with where. A breach is a sentence."""

    cases: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)
    campaign: str = ""

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

    def text(self, forbidden: Counter[str], server_errors: int) -> str:
        lines = [f"{name:<34}{count:>10} cases" for name, count in self.cases.items()]
        lines.append(f"{'cases':<34}{self.cases.total():>10}")
        lines.append(f"{'connections to forbidden addresses':<34}{forbidden.total():>10}")
        lines.append(f"{'answers of 5xx':<34}{server_errors:>10}")
        lines += [f"{kind:<34}{value:>10.4g}  {where}" for kind, (value, where) in self.worst.items()]
        lines.append("codes: " + ", ".join(f"{code}: {n}" for code, n in sorted(self.codes.items())))
        lines += [f"BREACH {says}" for says in self.breaches]
        lines.append("every row holds" if not self.breaches else f"{len(self.breaches)} breaches")
        return "\n".join(lines)
