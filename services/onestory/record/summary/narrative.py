"""Writes the XHTML of a narrative; all text is escaped (http://hl7.org/fhir/R4/narrative.html)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape, unescape
from typing import NamedTuple

from onestory.shared.display import DIRECTION_CONTROLS, RIGHT_TO_LEFT, isolate_right_to_left, visible_controls

MAX_TEXT_LENGTH = 4000
"""Characters of one text that are shown; the resource has all of it."""
# XML 1.0 forbids these characters, even escaped. The two separators begin a new paragraph for the direction of text.
_NOT_SHOWN = re.compile("[^\t\n\r\u0020-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile(
    "[&<>\"'\x00-\x08\x0b\x0c\x0e-\x1f\u2028\u2029\ud800-\udfff\ufffe\uffff" + DIRECTION_CONTROLS + RIGHT_TO_LEFT + "]"
)
# A publisher may send long and broken markup: no expression here backtracks over the same piece.
_HIDDEN = re.compile(r"<(?:(script|style)\b|!--)", re.I)
_ENDS = {
    "script": re.compile(r"</script\s*+>", re.I),
    "style": re.compile(r"</style\s*+>", re.I),
    "": re.compile("-->"),
}
_TAG = re.compile(r"</?+([A-Za-z][A-Za-z0-9]*+)?+[^<>]*+>")
_BLOCKS = {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dt", "dd", "caption"}


class Row(NamedTuple):
    """A row of a table. Each cell holds paragraphs of XHTML; the first cell is the row's header."""

    cells: tuple[Sequence[str], ...]


def text(value: str) -> str:
    """A text escaped as XHTML. A very long text is cut, and says how many characters were cut.

    Text that is written from right to left is isolated, so that it moves no number beside it.
    """
    if len(value) <= MAX_TEXT_LENGTH and not _SPECIAL.search(value):
        return value
    return _shown(value, lambda shown: isolate_right_to_left(shown, _isolated, escape))


def _isolated(content: str) -> str:
    # `bdi` is no element of HTML 4, which a narrative is limited to. A browser isolates any element with `dir`.
    return f'<span dir="rtl">{escape(content)}</span>'


def _shown(value: str, write: Callable[[str], str]) -> str:
    cut = len(value) - MAX_TEXT_LENGTH
    shown = write(visible_controls(_NOT_SHOWN.sub("\N{REPLACEMENT CHARACTER}", value[:MAX_TEXT_LENGTH])))
    return f"{shown}… ({cut} more characters are in the resource)" if cut > 0 else shown


def paragraph(content: str) -> str:
    """XHTML as a paragraph."""
    return f"<p>{content}</p>"


def strong(content: str) -> str:
    """XHTML as strong text, for what a reader must not miss."""
    return f"<strong>{content}</strong>"


def evidence(content: str) -> str:
    """XHTML as evidence for a line: small, and folded on a screen."""
    return f'<span class="evidence">{content}</span>'


def own_words(content: str) -> str:
    """A person's own text as paragraphs, in the direction of its script."""
    lines = [line for line in content.splitlines() if line.strip()]
    return f'<div dir="auto">{"".join(paragraph(_shown(line, escape)) for line in lines)}</div>'


def bullet_list(items: Iterable[str]) -> str:
    """XHTML items as a bullet list."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def table(caption: str, columns: Sequence[str], rows: Sequence[Row], *, is_grid: bool = False) -> str:
    """A table as XHTML; "" if there are no rows. A grid has the class `grid`: its heads are needed to read it."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(_row(row) for row in rows)
    begin = '<table class="grid">' if is_grid else "<table>"
    return f"{begin}<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def plain_text(xhtml: str) -> str:
    """The plain text of a source's narrative, one line for each block. No markup, script or style is left."""
    broken = _TAG.sub(_line_break, _without_hidden_markup(" ".join(xhtml.split())))
    lines = (" ".join(unescape(line).split()) for line in broken.split("\n"))
    return "\n".join(line for line in lines if line)


def _row(row: Row) -> str:
    first, *rest = (_cell(cell) for cell in row.cells)
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{each}</td>" for each in rest)}</tr>'


def _cell(paragraphs: Sequence[str]) -> str:
    return "<br/>".join(each for each in paragraphs if each)


def _without_hidden_markup(xhtml: str) -> str:
    """The markup without scripts, styles and comments. One that never ends counts as text."""
    kept, at, endless = [], 0, set()
    for begin in _HIDDEN.finditer(xhtml):
        kind = (begin[1] or "").lower()
        if begin.start() < at or kind in endless:
            continue
        if end := _ENDS[kind].search(xhtml, begin.end()):
            kept.append(xhtml[at : begin.start()])
            at = end.end()
        else:
            endless.add(kind)
    return " ".join([*kept, xhtml[at:]])


def _line_break(tag: re.Match[str]) -> str:
    return "\n" if (tag[1] or "").lower() in _BLOCKS else ""
