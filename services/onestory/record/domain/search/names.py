"""Names as they are compared: without case, accents, hyphens, apostrophes, and in any order.

FHIR R4, http://hl7.org/fhir/R4/search.html#string: a value is found when it begins with what is asked.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# What Unicode does not take apart into a letter and a mark.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i"})


def words(text: str) -> list[str]:
    """The words of a name in plain letters: `O'Brien-Łukasz` is `o`, `brien`, `lukasz`."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in decomposed if not unicodedata.category(letter).startswith("M"))
    folded = unicodedata.normalize("NFKD", bare.casefold()).translate(_LETTERS)
    return "".join(letter if letter.isalnum() else " " for letter in folded).split()


def forms(text: str) -> frozenset[str]:
    """The ways in which a name may be asked for: each of its words, and all of them written as one."""
    found = words(text)
    return frozenset([*found, "".join(found)]) - {""}


def forms_of_all(texts: Iterable[str]) -> frozenset[str]:
    """The forms of several names, such as the family name and the given ones."""
    return frozenset().union(*map(forms, texts))


def is_met(asked: str, known: Iterable[str]) -> bool:
    """Whether a name asked for is among forms of names: each of its words, or all as one, begins one of them."""
    listed, wanted = list(known), words(asked)
    each = all(any(form.startswith(word) for form in listed) for word in wanted)
    return bool(wanted) and (each or any(form.startswith("".join(wanted)) for form in listed))
