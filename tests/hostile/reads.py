"""Hostile reads: odd paths, parameters, cursors, tokens, headers and methods."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from tests.hostile.odd_values import SHARED_FORM, SQL
from tests.hostile.wire import Request

ASCII = "".join(map(chr, range(33, 127)))
_METHODS = ("GET",) * 12 + ("HEAD", "POST", "PATCH", "OPTIONS", "PUT", "DELETE")
ODD_VALUES = (
    "",
    "0",
    "-1",
    "1",
    "2",
    "1e3",
    "9" * 9,
    "9" * 10,
    "9" * 400,
    "٣",
    "NaN",
    "null",
    "%00",
    "%0d%0aX-Injected:%20yes",
    "%ff",
    "%ed%a0%80",
    "é",
    "🧑",
    "x" * 3_000,
    quote(SQL),
    "' or 1=1",
    "../../etc/passwd",
    "..%2f..%2f",
    "*",
    "%25",
    "%",
    "%zz",
    "a,b,,c",
    "Condition",
    "condition",
    "Nonsense",
    "Condition,Nonsense",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-13-01",
    "0001-01-01",
    "0000-01-01",
    "9999-12-31",
    "9999-12",
    "ge2026",
    "gt9999",
    "lt0001-01-01T00:00:00%2B14:00",
    "sa2026-01-01T00:00:00.123456789Z",
    "٢٠٢٦",
    "9990000018",
    "9990000019",
    "Patient/9990000018",
    "https://fhir.nhs.uk/Id/nhs-number|9990000018",
    "|",
    "a|",
    "|b",
    "a|b|c",
    SHARED_FORM,
    SHARED_FORM[:26],
    "W/%22x%22",
)
_NAMES = (
    "_count",
    "_since",
    "_type",
    "_cursor",
    "_lastUpdated",
    "_id",
    "_total",
    "_format",
    "_pretty",
    "patient",
    "subject",
    "identifier",
    "patient:Patient",
    "_sort",
    "_include",
    "code",
    "_has:Observation:patient:code",
    "",
    "é",
    "_count[]",
    "%00",
    "x" * 300,
    "patient.name",
)
# A well-formed position token that no publish answered makes the read wait. Another test covers this case.
_AFTER = (
    "",
    "r",
    "r0",
    "r0-",
    "r-1-1",
    "r0-1e3",
    "x0-1",
    "r0-" + "9" * 19,
    "r9999999-1",
    "r٣-1",
    ".",
    "r0-0.",
    "r0-0." * 6_000,
    quote(SQL),
    "%00",
)
_CURSORS = (
    "/",
    "Condition/",
    "/x",
    "Condition/x",
    "Condition/" + "x" * 65,
    "x" * 65 + "/x",
    "Condition/X",
    "Condition/\0",
    "\xff",
    SQL,
    "Patient/1/2",
)
_HEADERS: tuple[tuple[str, str], ...] = (
    ("If-None-Match", "*"),
    ("If-None-Match", '"'),
    ("If-None-Match", 'W/"x",' * 900),
    ("If-None-Match", "é"),
    ("Accept", "application/xml"),
    ("Accept", "é"),
    ("Prefer", "handling=lenient"),
    ("Prefer", "handling=strict, é"),
    ("If-Modified-Since", "yesterday"),
    ("Range", "bytes=1-"),
    ("X-Correlation-Id", "é" * 80),
    ("Authorization", "Bearer é"),
    ("Content-Type", "text/plain"),
    ("Cookie", "x" * 30_000),
    ("Accept-Encoding", "gzip;q=nonsense"),
)


class Reads:
    """As many hostile reads as are needed, partly of these paths (`Condition/<id>`)."""

    def __init__(self, seed: int, headers: Mapping[str, str], known: Sequence[str]) -> None:
        self._chance = random.Random(seed)
        self._headers = headers
        self._known = known

    def __call__(self, count: int) -> Iterator[Request]:
        for _ in range(count):
            method = self._chance.choice(_METHODS)
            path = self._path() + self._query()
            headers = dict(self._headers)
            if self._chance.random() < 0.2:
                name, value = self._chance.choice(_HEADERS)
                headers[name] = value
            if self._chance.random() < 0.97:
                path = quote(path, safe=ASCII)
            yield Request(f"{method} {path[:120]}", method, path.replace(" ", "%20"), headers)

    def _path(self) -> str:
        known, odd = self._chance.choice(self._known), self._chance.choice(ODD_VALUES)
        kind = known.partition("/")[0]
        base = self._chance.choice(
            (
                f"/fhir/{known}",
                f"/fhir/{known}",
                f"/fhir/{kind}",
                f"/fhir/{kind}",
                f"/fhir/{known}/_history",
                f"/fhir/{known}/_history/{odd}",
                f"/fhir/{known}/$everything",
                f"/fhir/{known}/$freshness",
                f"/fhir/Patient/{odd}/$everything",
                f"/fhir/Patient/{odd}/$freshness",
                f"/fhir/Patient/{odd}/$summary",
                f"/fhir/{known}/$summary",
                f"/fhir/{known}/$merged",
                f"/fhir/ServiceRequest/{odd}/$story",
                f"/fhir/{known}/$story",
                f"/fhir/{kind}/_history",
                f"/fhir/Provenance/{odd}",
                f"/fhir/{kind}/{odd}",
                f"/fhir/{odd}",
                f"/fhir/{odd}/{odd}",
                f"/fhir/{kind}/_search",
                f"/fhir/{known}/{odd}",
                f"/fhir/Patient/{odd}",
                f"/fhir//{known}",
                f"/{odd}",
                f"/fhir/{known}/",
                "/fhir/metadata",
                "/fhir",
            )
        )
        return str(base).replace("?", "%3F").replace("#", "%23")

    def _query(self) -> str:
        number = self._chance.choice((0, 1, 1, 2, 3, 40))
        pairs = [self._pair() for _ in range(number)]
        return "?" + self._chance.choice(("&", "&", "&", ";", "&&")).join(pairs) if pairs else ""

    def _pair(self) -> str:
        match self._chance.randrange(8):
            case 0:
                return f"after={self._chance.choice(_AFTER)}"
            case 1:
                return f"_cursor={_cursor(self._chance.choice(_CURSORS))}"
            case 2:
                return f"_cursor={self._chance.choice(ODD_VALUES)}"
            case 3:
                return f"patient={self._chance.choice(self._known)}"
            case _:
                return f"{self._chance.choice(_NAMES)}={self._chance.choice(ODD_VALUES)}"


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
