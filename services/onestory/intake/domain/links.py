"""Finds links to entries of a submission: elements of type uri, url, oid and uuid, and links in the narrative.

Specification: http://hl7.org/fhir/R4/http.html#trules. A resource is parsed only when its bytes may hold such a link.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from onestory.intake.domain.item import Item, ItemIndex
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.definitions import definitions, link_elements

_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?', re.S)
_REFERENCE = re.compile(rb'"reference"\s*:\s*"[^"\\]*"')
# In a JSON string a quote is escaped, in one of two ways.
_NARRATIVE_LINK = re.compile(rb"(?:href|src)[\s\\nrt]*=[\s\\nrt]*(?:\\\"|'|\\u0022|\\u0027)([^\"'\\<>#]*)")
_RELATIVE_URL = re.compile(rb'rl"\s*:\s*"[A-Z][A-Za-z]+\\?/')
_RELATIVE_START = re.compile(rb"[A-Z][A-Za-z]+/")
_TAG = re.compile(r"<(?:a|img)\b[^<>]*>")
_ATTRIBUTE = re.compile(r"""(?P<start>\s(?:href|src)\s*=\s*)(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')""")


class LinkKind(Enum):
    """The place of a link. A URI names an entry by its fullUrl only; the others may also be `Type/id`."""

    URI = "uri"
    URL = "url"
    NARRATIVE = "narrative"


FindTarget = Callable[[str, LinkKind], str]
"""Returns the new text of a link, or an empty string for one that stays as it is. Raises `Unprocessable`."""


class _Leaf(NamedTuple):
    """One string of a resource: its FHIRPath, and the kind of link that it may be."""

    path: str
    kind: LinkKind | None


def rewrite_links(content: bytes, item: Item, index: ItemIndex, find_target: FindTarget) -> bytes:
    """Return the content with the new text of each link. All other strings keep their bytes.

    Raises `Unprocessable` with the path of the first link that must not stay and leads nowhere.
    """
    if not _may_link(content, index):
        return content
    parts, end = list[bytes](), 0
    leaves = _leaves(msgspec.json.decode(content), item.resource_type, item.path)
    for token in _STRING.finditer(content):
        if token[2]:
            continue
        leaf = next(leaves)
        if leaf.kind is None:
            continue
        try:
            written = _rewritten(msgspec.json.decode(b'"%b"' % token[1]), leaf.kind, find_target)
        except Unprocessable as error:
            issue = error.issues[0]
            raise Unprocessable(issue.diagnostics, code=issue.code, expression=leaf.path) from error
        if written is not None:
            parts += (content[end : token.start()], msgspec.json.encode(written))
            end = token.end()
    return b"".join([*parts, content[end:]]) if parts else content


def linked_items(item: Item, index: ItemIndex) -> list[Item]:
    """Return the items of the submission to which an item links. A link that could mean several is left out."""
    found: list[Item] = []
    content = bytes(item.raw)
    # A reference also holds a fullUrl, and is no link.
    if not _may_link(_REFERENCE.sub(b"", content), index):
        return found

    def collect(text: str, kind: LinkKind) -> str:
        target = find_linked(text, kind, item, index)
        if target is not None:
            found.append(target)
        return ""

    try:
        rewrite_links(content, item, index, collect)
    except Unprocessable:
        # The item is refused for this link when its content is built.
        return found
    return found


def find_linked(text: str, kind: LinkKind, item: Item, index: ItemIndex) -> Item | None:
    """Return the item that a link in `item` names, or None. Raises `Unprocessable` as `ItemIndex.find` does."""
    return index.find_url(text) if kind is LinkKind.URI else index.find(text, item)


def _may_link(content: bytes, index: ItemIndex) -> bool:
    # Each test is one fast search. Escaped slashes hide a URL from such a search.
    return (
        index.may_be_named_in(content)
        or (b"\\" in content and b"\\/" in content)
        or _RELATIVE_URL.search(content) is not None
        or (b'"div"' in content and any(map(_RELATIVE_START.match, _NARRATIVE_LINK.findall(content))))
    )


def _leaves(value: Any, kind: str, path: str) -> Iterator[_Leaf]:
    """Yield every string of a resource in the order of the JSON text."""
    elements, links = definitions().types.get(kind, {}), link_elements().get(kind, {})
    for name, member in value.items():
        at = f"{path}.{name}"
        if kind == "Narrative" and name == "div":
            yield from _leaves_of_member(member, "", LinkKind.NARRATIVE, at)
        elif name in links:
            yield from _leaves_of_member(member, "", LinkKind(links[name]), at)
        else:
            yield from _leaves_of_member(member, _kind_of(elements, kind, name), None, at)


def _leaves_of_member(value: Any, kind: str, link: LinkKind | None, path: str) -> Iterator[_Leaf]:
    if isinstance(value, str):
        yield _Leaf(path, link)
    elif isinstance(value, dict):
        yield from _leaves(value, str(value.get("resourceType")) if kind == "*" else kind, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves_of_member(item, kind, link, f"{path}[{index}]")


def _kind_of(elements: Any, kind: str, name: str) -> str:
    # Every type may have extensions, and so may the `_name` member of a primitive element.
    if name in ("extension", "modifierExtension"):
        return "Extension"
    return elements.get(name, "").removesuffix("[]") or f"{kind}.{name}"


def _rewritten(text: str, kind: LinkKind, find_target: FindTarget) -> str | None:
    if kind is not LinkKind.NARRATIVE:
        return find_target(text, kind) or None
    written = _TAG.sub(lambda tag: _ATTRIBUTE.sub(lambda found: _attribute(found, find_target), tag[0]), text)
    return written if written != text else None


def _attribute(found: re.Match[str], find_target: FindTarget) -> str:
    quote, text = ('"', found["double"]) if found["double"] is not None else ("'", found["single"])
    target = find_target(html.unescape(text), LinkKind.NARRATIVE)
    return f"{found['start']}{quote}{html.escape(target)}{quote}" if target else found[0]
