"""Every spelling of a forbidden target by every way that leads there, and good ones, which must be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from samples.draw import numbered
from tests.hostile.network import PUBLIC, PUBLIC_V6
from tests.hostile.report import Report
from tests.hostile.service import Answer, Service
from tests.hostile.spellings import PATH, Spelling, name_of, spellings

FIELDS = {"status_code", "error", "tips", "result", "request_id", "stage", "field"}
AT_ONCE = 8

GOOD = {
    11: f"http://{PUBLIC}{{}}",
    12: f"http://[{PUBLIC_V6}]{{}}",
    13: f"https://{PUBLIC}{{}}",
    14: "http://good.test{}",
    15: "https://good.test{}",
    16: "http://v6.test{}",
    17: "http://bücher.test{}",
    18: "https://bücher.test{}",
    19: "HTTP://WWW.TEST:80{}",
    20: "https://www.test:443{}?a=b#part",
    21: f"http://{PUBLIC}/to?" + quote(f"http://good.test{PATH}", safe=""),
    22: f"http://{PUBLIC}/to?" + quote("https://good.test/ticket/22.png", safe=""),
    23: f"http://{PUBLIC}/to?" + quote("http://bücher.test/ticket/23.png", safe=""),
    24: f"http://{PUBLIC}/to?" + quote("//good.test/ticket/24.png", safe=""),
    25: "http://[2606:2800:0220:0001:0:0:0:34]{}",
    26: "http://www.test:{}",
}
REFUSED = {
    "https://expired.test/ticket/1.png": (14, "tls"),
    "https://self.test/ticket/1.png": (14, "tls"),
    "https://bad-name.test/ticket/1.png": (14, "tls"),
    f"https://[{PUBLIC_V6}]/ticket/1.png": (14, "tls"),
    "https://good.test/to?" + quote("http://good.test/ticket/1.png", safe=""): (14, "redirect"),
    "http://93.184.217.1/ticket/1.png": (14, "connect"),
    "http://93.184.218.1/ticket/1.png": (14, "connect"),
    "http://none.test/ticket/1.png": (14, "dns"),
    "http://a-10.0.0.1.test/ticket/1.png": (14, "dns"),
    "http://mixed-10.0.0.1.test/ticket/1.png": (14, "dns"),
}


def run(service: Service, report: Report, *, quick: bool) -> None:
    ways = list(_ways(spellings()))
    if quick:
        ways = ways[::3]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for (how, url), answer in zip(
            ways, pool.map(lambda way: service.ask(picture_url=way[1]), ways), strict=True
        ):
            report.case(_refused(answer), f"{how} {url!r}: {answer.text[:300]}")
        good = pool.map(lambda n: service.ask(picture_url=GOOD[n].format(f"/ticket/{n}.png")), GOOD)
        for n, answer in zip(GOOD, good, strict=True):
            expected = "\n".join(numbered(1 if n == 21 else n).lines)
            report.case(answer.body.get("result") == expected, f"good {GOOD[n]!r}: {answer.text[:300]}")
        refused = pool.map(lambda url: service.ask(picture_url=url), REFUSED)
        for url, answer in zip(REFUSED, refused, strict=True):
            found = answer.code, answer.body.get("stage")
            timeout = found == (14, "timeout") and "93.184.218" in url
            report.case(found == REFUSED[url] or timeout, f"{url!r}: {answer.text[:300]}")


def _ways(all_: list[Spelling]) -> Iterator[tuple[str, str]]:
    for n, spelling in enumerate(all_):
        yield "direct", spelling.url
        yield "redirect", f"http://{PUBLIC}/to?{quote(spelling.url, safe='')}"
        scheme, _, port = re.fullmatch(
            r"(https?(?=://))?(.*?)(:[0-9]+(?=/))?(?:/.*)?", spelling.url, re.S
        ).groups()  # type: ignore[union-attr]
        name = f"{scheme or 'http'}://{{}}{port or ''}{PATH}"
        yield "dns", name.format(name_of("6" if ":" in spelling.address else "a", spelling.address))
        yield "mixed dns", name.format(name_of("mixed", spelling.address))
        rebinding = name_of(f"rebind-n{n}", spelling.address)
        yield "rebinding", f"http://{rebinding}/to?" + quote(f"http://{rebinding}{PATH}", safe="")


def _refused(answer: Answer) -> bool:
    """Code 13 or 14, and nothing of the inner network in it."""
    told = re.sub(r'"request_id": "[0-9a-f]+"', "", answer.text)
    inner = re.search(r"\d+\.\d+\.\d+\.\d+|::|\.test|Error|errno|Traceback", told)
    return answer.code in (13, 14) and not inner and answer.body.keys() <= FIELDS
