"""What a backslash protects in a search value (FHIR R4, http://hl7.org/fhir/R4/search.html#escaping)."""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\([,|$\\])")


def split(text: str, separator: str) -> list[str]:
    """The text cut at each separator that no backslash protects; the pieces keep their backslashes."""
    pieces = [""]
    skipped = False
    for letter in text:
        if letter == separator and not skipped:
            pieces.append("")
        else:
            pieces[-1] += letter
        skipped = letter == "\\" and not skipped
    return pieces


def plain(text: str) -> str:
    """The text as it was before it was escaped."""
    return _ESCAPED.sub(r"\1", text)
