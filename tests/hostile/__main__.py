"""`make hostile`: hostile input against the real service, in network namespaces that nothing can leave."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tests.hostile import network

CAMPAIGNS = {
    "urls": "url_campaign",
    "hosts": "host_campaign",
    "pictures": "picture_campaign",
    "requests": "request_campaign",
    "protocol": "protocol_campaign",
    "cross-talk": "crosstalk_campaign",  # the last one: it kills the worker
}


def campaign(name: str) -> Callable[..., None]:
    """Loaded inside the namespaces, and after the settings were cleared."""
    run: Callable[..., None] = import_module(f"tests.hostile.{CAMPAIGNS[name]}").run
    return run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the part that `make test` runs")
    parser.add_argument("--only", nargs="+", choices=CAMPAIGNS, default=CAMPAIGNS, help="some of them")
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
        for name in CAMPAIGNS:
            if name in asked.only:
                report.begin(name)
                campaign(name)(service, report, quick=asked.quick)
        forbidden = world.forbidden()
    return report.finish(forbidden)


if __name__ == "__main__":
    sys.exit(main())
