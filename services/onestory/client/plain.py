"""What somebody wrote, as a terminal may show it: as text, and on one line."""

from __future__ import annotations

import re

# A terminal obeys the first, and the second turns a line around: "5 mg" of "gm 5".
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """The text without what a terminal would obey; a sign stands where something was left out."""
    return _NOT_SHOWN.sub("\ufffd", " ".join(text.splitlines()).replace("\t", " "))
