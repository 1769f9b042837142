"""Narrative: XHTML of what was said, everything escaped (http://hl7.org/fhir/R4/narrative.html)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape, unescape
from typing import NamedTuple

LONGEST = 4000
"""Characters of one text; the resource has all of it."""
# XML 1.0 has no such characters, not even escaped; and overrides of direction make "5 mg" of "gm 5".
_NOT_SHOWN = re.compile("[^\t\n\r\u0020-\u202c\u202f-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile("[&<>\"'\x00-\x08\x0b\x0c\x0e-\x1f\u202d\u202e\ud800-\udfff\ufffe\uffff]")
# What a publisher writes may be long and broken: nothing here reads the same piece again and again.
_SILENT = re.compile(r"<(?:(script|style)\b|!--)", re.I)
_ENDS = {
    "script": re.compile(r"</script\s*+>", re.I),
    "style": re.compile(r"</style\s*+>", re.I),
    "": re.compile("-->"),
}
_TAG = re.compile(r"</?+([A-Za-z][A-Za-z0-9]*+)?+[^<>]*+>")
_BLOCKS = {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dt", "dd", "caption"}


class Row(NamedTuple):
    """A line of a table. Each cell holds paragraphs, already XHTML; the first one says what it is about."""

    cells: tuple[Sequence[str], ...]


def text(said: str) -> str:
    """A text as XHTML; one that is longer than anybody reads is cut, and says so."""
    if len(said) <= LONGEST and not _SPECIAL.search(said):
        return said
    cut = len(said) - LONGEST
    shown = escape(_NOT_SHOWN.sub("\N{REPLACEMENT CHARACTER}", said[:LONGEST]))
    return f"{shown}… ({cut} more characters are in the resource)" if cut > 0 else shown


def paragraph(said: str) -> str:
    """A paragraph of XHTML."""
    return f"<p>{said}</p>"


def strong(said: str) -> str:
    """What must not be overlooked, of XHTML."""
    return f"<strong>{said}</strong>"


def words(said: str) -> str:
    """A person's own text as paragraphs, in the direction of its script."""
    lines = [line for line in said.splitlines() if line.strip()]
    return f'<div dir="auto">{"".join(paragraph(text(line)) for line in lines)}</div>'


def listed(items: Iterable[str]) -> str:
    """A list of XHTML."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def table(caption: str, heads: Sequence[str], rows: Sequence[Row]) -> str:
    """A table, or nothing where there are no rows."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(_row(row) for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def plain(xhtml: str) -> str:
    """The text of a source's narrative: nothing in it can do anything to a reader's browser any more."""
    broken = _TAG.sub(_break, _silenced(" ".join(xhtml.split())))
    lines = (" ".join(unescape(line).split()) for line in broken.split("\n"))
    return "\n".join(line for line in lines if line)


def _row(row: Row) -> str:
    first, *rest = (_cell(cell) for cell in row.cells)
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{each}</td>" for each in rest)}</tr>'


def _cell(paragraphs: Sequence[str]) -> str:
    return "<br/>".join(each for each in paragraphs if each)


def _silenced(xhtml: str) -> str:
    """Without scripts, styles and comments; one that never ends is read as text."""
    kept, at, endless = [], 0, set()
    for begin in _SILENT.finditer(xhtml):
        kind = (begin[1] or "").lower()
        if begin.start() < at or kind in endless:
            continue
        if end := _ENDS[kind].search(xhtml, begin.end()):
            kept.append(xhtml[at : begin.start()])
            at = end.end()
        else:
            endless.add(kind)
    return " ".join([*kept, xhtml[at:]])


def _break(tag: re.Match[str]) -> str:
    return "\n" if (tag[1] or "").lower() in _BLOCKS else ""
