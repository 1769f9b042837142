"""Reads in a batch: entries with `request.method` GET. Another service answers them, as if each were sent alone.

FHIR R4, http://hl7.org/fhir/R4/http.html#transaction.
"""

from __future__ import annotations

import re

from onestory.intake.domain.bundle import EntryRequest
from onestory.intake.domain.request import ReadEntry
from onestory.shared.errors import Unprocessable

MAX_READS = 50
"""The most reads in one batch."""
# The path and query of a FHIR URL, as RFC 3986 writes them: no white space, no fragment.
_URL = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9._$/-]{0,300}(?:\?[!$-;=?-Z_a-z~%|\[\]^]{0,8000})?")


def read_entry(request: EntryRequest, earlier: int, base_url: str, path: str) -> ReadEntry:
    """The read of an entry. `earlier` is the number of reads before it, and `base_url` the FHIR base URL.

    Raises `Unprocessable` for a URL of another server, and beyond `MAX_READS`.
    """
    url = request.url.removeprefix(f"{base_url}/").removeprefix("/")
    if not _URL.fullmatch(url) or ".." in url.partition("?")[0]:
        raise Unprocessable(
            "The URL of a read must be relative, such as Condition?patient=9990000018, with other characters encoded.",
            code="value",
            expression=f"{path}.request.url",
        )
    if earlier >= MAX_READS:
        raise Unprocessable(
            f"A batch may carry at most {MAX_READS} reads. Send the others in another batch.",
            code="too-costly",
            expression=path,
        )
    return ReadEntry(url, request.if_none_match or "")
