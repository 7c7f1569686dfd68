"""`make hostile`: hostile input against the real service, in network namespaces that nothing can leave."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.hostile import network


def campaigns() -> dict[str, Callable[..., None]]:
    from tests.hostile import (
        crosstalk_campaign,
        host_campaign,
        picture_campaign,
        protocol_campaign,
        url_campaign,
    )

    return {
        "urls": url_campaign.run,
        "hosts": host_campaign.run,
        "pictures": picture_campaign.run,
        "protocol": protocol_campaign.run,
        "cross-talk": crosstalk_campaign.run,  # the last one: it kills the worker
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the part that `make test` runs")
    parser.add_argument("--only", nargs="+", metavar="CAMPAIGN", help="some of them, by name")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a folder for the service's home and logs")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    why_not = network.not_permitted() if network.INSIDE not in os.environ else None
    if why_not:
        print(why_not, file=sys.stderr)
        return 77  # as automake's: skipped
    if network.INSIDE not in os.environ:
        return network.enter()
    with tempfile.TemporaryDirectory() as folder:
        return inside(asked, asked.keep or Path(folder))


def inside(asked: argparse.Namespace, folder: Path) -> int:
    for name in [
        name for name in os.environ if name.startswith(("OCR_", "PYTHONPATH", "PROMETHEUS_", "WEB_"))
    ]:
        if name != "OCR_ENGINE__MODELS_DIR":
            del os.environ[name]
    (folder / "home").mkdir(parents=True, exist_ok=True)
    os.environ |= {"OCR_HOME": str(folder / "home"), "WEB_CONCURRENCY": "1"}
    from tests.hostile.report import Report
    from tests.hostile.service import running_service

    report = Report()
    with network.hostile_world(folder) as world, running_service(folder / "home", report) as service:
        for name, run in campaigns().items():
            if asked.only is None or name in asked.only:
                report.campaign = name
                print(f"{name} ...", flush=True)
                run(service, report, quick=asked.quick)
        report.campaign = "all"
        forbidden = world.forbidden()
        if forbidden:
            report.breach(f"dialled {dict(forbidden)}")
    print(report.text(forbidden, service.server_errors))
    return 1 if report.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
