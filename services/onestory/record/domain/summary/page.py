"""A summary as a page to read or print: the narrative of its document, and nothing that has to be fetched."""

from __future__ import annotations

from html import escape

import msgspec


class _Narrative(msgspec.Struct):
    div: str = ""


class _Section(msgspec.Struct):
    title: str = ""
    text: _Narrative = msgspec.field(default_factory=_Narrative)


class _Resource(msgspec.Struct):
    title: str = ""
    text: _Narrative = msgspec.field(default_factory=_Narrative)
    section: list[_Section] = []


class _Entry(msgspec.Struct):
    resource: msgspec.Raw


class _Document(msgspec.Struct):
    entry: list[_Entry]


_document = msgspec.json.Decoder(_Document)
_composition = msgspec.json.Decoder(_Resource)
_STYLE = (
    "body{font:1rem/1.5 Arial,sans-serif;color:#212b32;max-width:60rem;margin:1rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:bold}"
    "th,td{border:1px solid #768692;padding:.3rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "th[scope=row]{font-weight:normal}"
    "@media print{body{max-width:none;margin:0}tr,h2{break-inside:avoid;break-after:auto}}"
)


def page(document: bytes) -> bytes:
    """HTML of a document that `summarise` made."""
    composition = _composition.decode(_document.decode(document).entry[0].resource)
    sections = "".join(
        f'<section aria-labelledby="s{place}"><h2 id="s{place}">{escape(each.title)}</h2>{each.text.div}</section>'
        for place, each in enumerate(composition.section)
    )
    title = escape(composition.title)
    return (
        '<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1>{composition.text.div}{sections}</main></body></html>"
    ).encode()
