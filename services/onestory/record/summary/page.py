"""Writes a summary document as an HTML page, for a screen and for A4 paper.

The page shows the narratives of the document and nothing else. It loads nothing and runs nothing. Evidence is folded on
a screen; on paper it is open. Each printed page has the person's name, NHS number and the page number at its head
(https://www.w3.org/TR/css-page-3/#margin-boxes).
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

import msgspec

from onestory.record.summary.narrative import plain_text
from onestory.shared.display import visible_controls


class _Narrative(msgspec.Struct):
    div: str = ""


class _Section(msgspec.Struct):
    title: str = ""
    text: _Narrative = msgspec.field(default_factory=_Narrative)


class _Composition(msgspec.Struct):
    title: str = ""
    text: _Narrative = msgspec.field(default_factory=_Narrative)
    section: list[_Section] = []


class _PageEntry(msgspec.Struct):
    resource: msgspec.Raw


class _Document(msgspec.Struct):
    entry: list[_PageEntry]


class _Person(NamedTuple):
    """The words that name the person and the moment of the page, as the head of the document has them."""

    name: str
    number: str
    moment: str


_COPY_LINK = (
    '<p class="copy">For staff. Do not hand this page to the person: '
    '<a href="?copy=person">open the copy for the person</a>.</p>'
)
_document = msgspec.json.Decoder(_Document)
_composition = msgspec.json.Decoder(_Composition)
_STYLE = """
body{font:1rem/1.4 Arial,sans-serif;color:#212b32;background:#fff;max-width:70rem;margin:0 auto;padding:.5rem 1rem}
h1{font-size:1.1rem;margin:.25rem 0}h2{font-size:1.2rem;margin:1rem 0 .25rem}
p{margin:.25rem 0}ul{margin:.25rem 0;padding-left:1.25rem}
section,header{overflow-wrap:break-word}section{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.25rem 0 .5rem}
caption{text-align:left;font-weight:bold;padding:.15rem 0}
th,td{border:1px solid #768692;padding:.2rem .4rem;text-align:left;vertical-align:top;min-width:7rem;hyphens:none}
th[scope=row]{font-weight:normal}thead th{background:#f0f4f5}
th[scope=row]{width:28%}td:last-child{width:30%;color:#425563;font-size:.875rem}
td:nth-child(3):not(:last-child){width:17%}
.when{display:block;font-size:.875rem;color:#425563}.grid th,.grid td{min-width:4.5rem}.grid th[scope=row]{width:auto}
.grid td:not(:last-child),.grid td:nth-child(3):not(:last-child){width:auto}.grid td:last-child{width:18%}
.br{display:block}.evidence{font-size:.875rem;color:#425563}summary{cursor:pointer}
header{border-bottom:2px solid #005eb8}header strong{font-size:1.4rem}
#s-notices{border:3px solid #d5281b;padding:0 .75rem .25rem;margin-top:.5rem}#s-notices h2{margin-top:.25rem}
footer{border-top:1px solid #768692;margin-top:1rem;font-size:.875rem}
@media(max-width:40rem){table:not(.grid) thead{position:absolute;clip-path:inset(50%)}
table:not(.grid),table:not(.grid) :is(tbody,tr,th,td,caption){display:block}
table:not(.grid) tr{border:1px solid #768692;margin-bottom:.4rem}table:not(.grid) :is(th,td){border:0;min-width:0}
table:not(.grid) :is(th,td):is([scope=row],td,:last-child){width:auto}}
@media print{.grid th,.grid td{min-width:48pt}.when{font-size:10pt}
body{font-size:10pt;line-height:1.15;max-width:none;padding:0}h1{display:none}
h2{font-size:11pt;margin:5pt 0 1pt;break-after:avoid}header strong{font-size:12pt}
p,ul{margin:1pt 0}section{overflow:visible}
table{margin:0 0 2pt;width:calc(100% - 1pt)}
caption{padding:0}th,td{padding:0 3pt;min-width:60pt;border-color:#aeb7bd}
table:not(.grid) thead{display:table-row-group}table:not(.grid) thead th{display:none}
th[scope=row]{width:36%}td:last-child{width:33%}td:last-child,.evidence,footer{font-size:10pt}
table:not(.grid) th[scope=row]:has(~td:nth-child(4)){width:25%}
td:last-child:nth-child(4){width:35%}td:nth-child(3):not(:last-child){width:16%}
.grid th[scope=row]{width:19%}.grid :is(th,td):not(:first-child):not(:last-child){width:auto}
.grid :is(th,td):last-child{width:15%}
tr{break-inside:avoid}caption{break-after:avoid}
.br{display:inline}.br::before{content:" \\00B7  "}
#s-notices .br{display:block}#s-notices .br::before{content:none}.copy{display:none}
details.evidence{display:inline}details.evidence>summary{display:none}
details.evidence::details-content{display:inline;content-visibility:visible}
details.matched::details-content{display:none}details.matched::before{content:"matched by computer"}
#s-notices{border-width:1.5pt;padding:0 4pt 1pt}}
"""


def summary_page(document: bytes, *, links_to_copy: bool = False) -> bytes:
    """An HTML page of a document that `summarise` made; with a link to the copy for the person if asked for."""
    composition = _composition.decode(_document.decode(document).entry[0].resource)
    sections = "".join(_section(index, part) for index, part in enumerate(composition.section))
    person = _person(composition.text.div)
    kind = "Copy for the person. " if "copy for the person" in composition.title else ""
    title = escape(visible_controls(composition.title))
    named = ", ".join(part for part in (person.name, person.number) if part)
    page_title = f"{escape(visible_controls(named))}: {title.lower()}" if named else title
    return (
        '<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{page_title}</title><style>{_STYLE}{_paper(person, named, kind)}</style></head>"
        f"<body><header><h1>{title}</h1>{_lines(composition.text.div)}{_COPY_LINK if links_to_copy else ''}</header>"
        f"<main>{sections}</main></body></html>"
    ).encode()


def _section(index: int, part: _Section) -> str:
    anchor = "s-notices" if part.title == "Please note" else f"s-{index}"
    return (
        f'<section id="{anchor}" aria-labelledby="s{index}"><h2 id="s{index}">{escape(part.title)}</h2>'
        f"{_lines(part.text.div)}</section>"
    )


_EVIDENCE = re.compile(r'<span class="evidence">(.*?)</span>(?=<br/>|</td>|</li>|</p>)')


def _lines(narrative: str) -> str:
    """The narrative with evidence that folds, and with line breaks that become dots on paper."""
    folded = _EVIDENCE.sub(_folded, narrative)
    return folded.replace("<br/>", '<span class="br"></span>')


def _folded(evidence: re.Match[str]) -> str:
    # On paper `matched by computer` stands for the words of a join; a judgement is printed in full.
    kind = "evidence matched" if evidence[1].endswith("(matched by computer)") else "evidence"
    return f'<details class="{kind}"><summary>Why one line</summary>{evidence[1]}</details>'


def _person(head: str) -> _Person:
    lines = plain_text(head).split("\n")
    name = lines[0]
    number = next((line.partition(",")[0] for line in lines[1:] if line.startswith("NHS number ")), "")
    return _Person(name, number, lines[-1] if len(lines) > 1 else "")


def _paper(person: _Person, named: str, kind: str) -> str:
    """The CSS of a sheet: its size, its running head and its foot, which begins with the kind of copy."""
    foot = f"{kind}{person.moment}. A printed copy grows old: look at the record again."
    return (
        "@page{size:A4;margin:12mm 9mm 10mm;"
        f"@top-left{{content:{_css_text(named)};font:bold 10pt Arial,sans-serif}}"
        '@top-right{content:"Page " counter(page) " of " counter(pages);font:10pt Arial,sans-serif}'
        f"@bottom-left{{content:{_css_text(foot)};"
        "font:10pt Arial,sans-serif}}"
    )


def _css_text(value: str) -> str:
    """A text as a CSS string. All but letters, digits and spaces are escaped, so that no text ends the string."""
    shown = visible_controls(value)[:150]
    return (
        '"'
        + "".join(char if char.isascii() and (char.isalnum() or char == " ") else _escaped(char) for char in shown)
        + '"'
    )


def _escaped(char: str) -> str:
    # Of a character that CSS cannot hold, the replacement character is shown.
    point = ord(char)
    return f"\\{point if point > 31 and not 0xD7FF < point < 0xE000 else 0xFFFD:06X} "
