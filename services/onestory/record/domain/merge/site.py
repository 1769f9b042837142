"""Where in the body: by code, and by the words for a side. Left and right are never one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.domain.merge.rules import Rules
from onestory.record.domain.merge.shape import Code, codes, objects, text, worded

_WORD = re.compile(r"[a-z]+")


class Site(NamedTuple):
    """Body sites by code, else by their words, and the sides that the wording names. What differs is another place."""

    codes: frozenset[Code]
    words: frozenset[str]
    sides: frozenset[str]

    def is_same(self, other: Site) -> bool:
        if self.sides != other.sides or self.words != other.words:
            return False
        return not self.codes.isdisjoint(other.codes) or self.codes == other.codes


def site(content: Mapping[str, Any], rules: Rules) -> Site:
    """Where a resource says that it is; everything empty where it does not say."""
    sites = content.get("bodySite")
    found = frozenset(codes(sites, rules.same_system))
    words = frozenset(filter(None, (worded(each.get("text")) for each in objects(sites))))
    return Site(found, frozenset() if found else words, frozenset(_sides(content, rules)))


def _sides(content: Mapping[str, Any], rules: Rules) -> Iterator[str]:
    for element in ("code", "bodySite"):
        for concept in objects(content.get(element)):
            displays = {text(each.get("display")) for each in objects(concept.get("coding"))}
            # A side that the code itself names is in the comparison of the codes.
            if not any(_named(display, rules) for display in displays):
                yield from _named(text(concept.get("text")), rules)


def _named(words: str, rules: Rules) -> set[str]:
    return {rules.sides[word] for word in _WORD.findall(words[:2000].casefold()) if word in rules.sides}
