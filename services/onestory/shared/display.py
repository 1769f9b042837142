"""Prepares text of sources for a page or a terminal, so that it cannot change the order in which text is read.

Unicode has invisible characters that turn text round: with them "5 mg to 10 mg" can look like "10 mg to 5 mg". They are
replaced by a mark that a reader sees. The resource keeps them. Unicode Standard Annex 9,
https://www.unicode.org/reports/tr9/.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

# Letter marks, embeddings, overrides and isolates, and six that are deprecated.
DIRECTION_CONTROLS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f"
"""The invisible characters that change the direction of text, for use between the brackets of an expression."""
RIGHT_TO_LEFT = "\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
"""The blocks of scripts that are written from right to left, for use between the brackets of an expression."""

_DIRECTION_CONTROL = re.compile(f"[{DIRECTION_CONTROLS}]")
# Control characters, which a terminal obeys, and the separators of lines and paragraphs.
_NOT_PRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def visible_controls(text: str) -> str:
    """The text with a mark such as `[U+202E]` in place of each character that changes the direction of text."""
    return _DIRECTION_CONTROL.sub(lambda control: f"[U+{ord(control[0]):04X}]", text)


def printable_text(text: str) -> str:
    """The text on one line of a terminal. U+FFFD replaces each character that a terminal would obey."""
    line = " ".join(text.splitlines()).replace("\t", " ")
    return visible_controls(_NOT_PRINTABLE.sub("\N{REPLACEMENT CHARACTER}", line))


def isolate_right_to_left(text: str, isolate: Callable[[str], str], other: Callable[[str], str]) -> str:
    """The text in pieces: `isolate` gets what is written from right to left, `other` gets everything else.

    In a text with Latin letters a piece reaches from one right-to-left letter to the last one before the next Latin
    letter. So a dose keeps its order after a name in Arabic. A text without Latin letters is one piece.
    """
    runs = list(_right_to_left_runs(text))
    if not any(unicodedata.bidirectional(letter) == "L" for letter in text):
        return isolate(text) if runs else other(text)
    pieces: list[str] = []
    end = 0
    for begin, run_end in runs:
        pieces += other(text[end:begin]), isolate(text[begin:run_end])
        end = run_end
    return "".join([*pieces, other(text[end:])])


def _right_to_left_runs(text: str) -> Iterator[tuple[int, int]]:
    begin = end = -1
    for place, letter in enumerate(text):
        match unicodedata.bidirectional(letter):
            case "R" | "AL":
                begin, end = begin if begin >= 0 else place, place + 1
            case "L" if begin >= 0:
                yield begin, end
                begin = -1
    if begin >= 0:
        yield begin, end
