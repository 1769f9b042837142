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
from onestory.record.summary.section import COLUMNS
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
body{font:1rem/1.35 Arial,sans-serif;color:#212b32;background:#fff;max-width:72rem;margin:0 auto;padding:.5rem 1rem}
h1{font-size:1rem;font-weight:normal;color:#425563;margin:0}h2{font-size:1.15rem;margin:.75rem 0 .2rem}
p{margin:.2rem 0}ul{margin:.2rem 0;padding-left:1.25rem}
section,header{overflow-wrap:break-word}section{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.2rem 0 .4rem}
caption{text-align:left;font-weight:bold;padding:.15rem 0}
.said,.said th{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
th,td{border:1px solid #768692;padding:.15rem .4rem;text-align:left;vertical-align:top;min-width:5.5rem;hyphens:none}
th[scope=row]{font-weight:normal}thead th{background:#f0f4f5}
.c3 th[scope=row]{width:32%}.c3 td:last-child{width:27%}
.c4 th[scope=row]{width:30%}.c4 td:last-child{width:28%}
.medicines th[scope=row]{width:26%}.medicines td:nth-child(3){width:19%}.medicines td:last-child{width:25%}
td:last-child{color:#425563;font-size:.875rem}
.whole{white-space:nowrap}
.when{display:block;font-size:.875rem;color:#425563;white-space:nowrap}
.grid th,.grid td{min-width:4.5rem}.grid td:last-child{width:16%}
.br{display:block}.evidence{font-size:.875rem;color:#425563}summary{cursor:pointer}
details.evidence>summary::before{content:"\\25B8  "}
details.evidence>summary{display:inline-block}details.evidence{display:inline}
header{border-bottom:2px solid #005eb8}header p:first-of-type>strong:first-child{font-size:1.4rem}
#s-notices{border:3px solid #d5281b;padding:0 .75rem .25rem;margin-top:.5rem}#s-notices h2{margin-top:.25rem}
.paper{display:none}
@media(max-width:40rem){body{padding:.25rem .5rem}
table:not(.grid) thead{position:absolute;clip-path:inset(50%)}
table:not(.grid),table:not(.grid) :is(tbody,tr,th,td,caption){display:block}table:not(.grid) .said{width:1px}
table:not(.grid) tr{border:1px solid #768692;margin-bottom:.4rem;padding:.15rem 0}
table:not(.grid) :is(th,td){border:0;min-width:0;padding:0 .4rem}table:not(.grid) td:empty{display:none}
table:not(.grid) :is(td:nth-child(3),td:last-child) .br{display:inline}
table:not(.grid) :is(td:nth-child(3),td:last-child) .br::before{content:" \\00B7  "}
table:not(.grid) :is(th,td):is([scope=row],td,:last-child){width:auto}}
@media print{.grid th,.grid td{min-width:44pt;padding:0 2pt}.when{font-size:10pt}
body{font-size:10pt;line-height:1.13;max-width:none;padding:0}h1{display:none}
h2{font-size:11pt;margin:4pt 0 1pt;break-after:avoid}header strong{font-size:10pt}
header p:first-of-type>strong:first-child{font-size:12pt}header p{display:inline}
header p+p::before{content:" \\00B7  "}
p,ul{margin:1pt 0}section{overflow:visible}
section:has(>h2+div>p:only-child){margin-top:3pt}section:has(>h2+div>p:only-child) :is(h2,div,p){display:inline}
section:has(>h2+div>p:only-child) h2{margin-right:4pt}.said,.said th{display:none}
table{margin:0 0 2pt;width:calc(100% - 1pt)}
caption{padding:0}th,td{padding:0 3pt;min-width:60pt;border-color:#aeb7bd}
:is(.c3,.c4) :is(th[scope=row],td:last-child){width:auto}.c3 th[scope=row]{min-width:140pt}
.c3 td{min-width:86pt}:is(.c3,.c4) td:last-child{min-width:112pt}
.c4 td:last-child:empty{min-width:40pt}
.medicines th[scope=row]{width:25%}.medicines td:nth-child(3){width:20%}.medicines td:last-child{width:28%}
td:last-child,.evidence,footer{font-size:10pt}
.grid :is(th,td):last-child{width:auto}
tr{break-inside:avoid}caption,thead{break-after:avoid}tbody tr:first-child{break-before:avoid}
.br{display:inline}.br::before{content:" \\00B7  "}
:is(#s-notices,.medicines td:nth-child(2)) .br{display:block}
:is(#s-notices,.medicines td:nth-child(2)) .br::before{content:none}
.copy{display:none}.paper{display:block}
details.evidence>summary{display:none}
details.evidence::details-content{display:inline;content-visibility:visible}
details.evidence::before{content:" \\00B7  "}
details.matched::details-content{display:none}details.matched::before{content:"*"}
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
    paper = _paper(person, named, kind, is_matched=_MATCHED in sections)
    page_title = f"{escape(visible_controls(named))}: {title.lower()}" if named else title
    return (
        '<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{page_title}</title><style>{_STYLE}{paper}</style></head>"
        f"<body><header><h1>{title}</h1>{_lines(composition.text.div)}{_COPY_LINK if links_to_copy else ''}</header>"
        f"<main>{sections}</main></body></html>"
    ).encode()


def _section(index: int, part: _Section) -> str:
    anchor = "s-notices" if part.title == "Please note" else f"s-{index}"
    heads: list[str] = []
    body = _TABLE.sub(lambda found: _table(found, heads), part.text.div)
    first = _FIRST_CAPTION.search(body)
    title = escape(part.title)
    if first and part.title.startswith(first[2]):
        body = f'{first[1]}<caption class="said">{first[2]}{body[first.end(2) :]}'
    elif first:
        # The caption of the first table stands in the heading's line; a screen reader still finds it at its table.
        title += f'<span aria-hidden="true">: {first[2][:1].lower()}{first[2][1:]}</span>'
        body = f'{first[1]}<caption class="said">{first[2]}{body[first.end(2) :]}'
    return f'<section id="{anchor}" aria-labelledby="s{index}"><h2 id="s{index}">{title}</h2>{_lines(body)}</section>'


_TABLE = re.compile(r"<table( class=\"grid\")?>(<caption>[^<]*</caption>)<thead>(.*?)</thead>")
# A caption with a colon is a heading of its own, such as `Not allergies: medicines to avoid`.
_FIRST_CAPTION = re.compile(r"\A(<div[^>]*><table[^>]*>)<caption>([^<:]{1,60})(?=</caption>)")
_MEDICINES = '<th scope="col">Medicine</th>'
_PLAIN_HEADS = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)


def _table(found: re.Match[str], shown_heads: list[str]) -> str:
    """The begin of a table with its number of columns as a class; heads that tell nothing new are not shown."""
    is_grid, caption, row = found.groups()
    heads = row.removeprefix("<tr>").removesuffix("</tr>")
    hidden = not is_grid and (heads == _PLAIN_HEADS or heads in shown_heads)
    shown_heads.append(heads)
    kind = "grid" if is_grid else "medicines" if heads.startswith(_MEDICINES) else f"c{heads.count('<th ')}"
    head = '<thead class="said">' if hidden else "<thead>"
    return f'<table class="{kind}">{caption}{head}{row}</thead>'


_MATCHED = '<details class="evidence matched">'
_EVIDENCE = re.compile(r'(?:<br/>)?<span class="evidence">(.*?)</span>(?=<br/>|</td>|</li>|</p>)')
_UNBROKEN = re.compile(
    r"\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}\b"
    r'|(?<=>)(?=[^<]{3,14}<)\d[\d.,/]* [^\s<]+(?=(?:</strong>)?(?: <span class="when">|</td>))'
)
_LONG_WORD = re.compile(r"[^\s<>&\"=]{29,}(?=[^<>]*<)")
_PIECE = re.compile(r".{24}(?=.)")


def _lines(narrative: str) -> str:
    """The narrative with evidence that folds, and with line breaks that become dots on paper.

    No line ends inside a date, or between a short result and its unit. A line may end inside a very long word: a table
    that is wider than the sheet makes a browser shrink all of the print.
    """
    unbroken = _UNBROKEN.sub(r'<span class="whole">\g<0></span>', _EVIDENCE.sub(_folded, narrative))
    broken = _LONG_WORD.sub(lambda word: _PIECE.sub(r"\g<0><wbr>", word[0]), unbroken)
    return broken.replace("<br/>", '<span class="br"></span>')


def _folded(evidence: re.Match[str]) -> str:
    # On paper an asterisk stands for the words of a join; a judgement is printed in full.
    if evidence[1].endswith("(matched by computer)"):
        return f" {_MATCHED}<summary>matched</summary>{evidence[1]}</details>"
    return f' <details class="evidence"><summary>Why one line</summary>{evidence[1]}</details>'


def _person(head: str) -> _Person:
    lines = plain_text(head).split("\n")
    name = lines[0]
    number = next((line.partition(",")[0] for line in lines[1:] if line.startswith("NHS number ")), "")
    return _Person(name, number, lines[-1] if len(lines) > 1 else "")


def _paper(person: _Person, named: str, kind: str, is_matched: bool) -> str:
    """The CSS of a sheet: its size, its running head and its foot, which begins with the kind of copy.

    The first sheet begins with the head of the document. The foot explains the asterisk of a join.
    """
    matched = " * matched by computer" if is_matched else ""
    foot = f"{kind}{person.moment}. A printed copy grows old: look at the record again.{matched}"
    return (
        "@page{size:A4;margin:12mm 9mm 10mm;"
        f"@top-left{{content:{_css_text(named)};font:bold 10pt Arial,sans-serif}}"
        '@bottom-right{content:"Page " counter(page) " of " counter(pages);font:10pt Arial,sans-serif}'
        f"@bottom-left{{content:{_css_text(foot)};"
        "font:10pt Arial,sans-serif;width:82%}}"
        "@page:first{margin-top:7mm;@top-left{content:none}}"
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
