"""Reads the name of a medicine as a product: its ingredients, strengths, form and brand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

from onestory.record.medicines.directions import unit_of
from onestory.record.medicines.names import Strength, lexicon, named_medicines, strengths_of, words_of

_MAKER = re.compile(r"\([^)]*\)\s*$")


@dataclass(frozen=True, slots=True)
class Product:
    """What a name or a code says of a medicine. What it does not say is empty.

    `key` is equal for all products of the same ingredients; it is the words of the name where no ingredient is known.
    `form` is the way that its form is given: oral, injection, skin, eye and others. `brand` is the brand, "" if it is
    generic. `modified`: it is released slowly. `salts`: the words of its name that name a salt.
    """

    key: str
    ingredients: frozenset[str] = frozenset()
    strengths: tuple[Strength, ...] = ()
    form: str = ""
    brand: str = ""
    modified: bool = False
    salts: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether its ingredients are known."""
        return bool(self.ingredients)


NO_PRODUCT = Product("")


def read_product(names: Iterable[str]) -> Product:
    """The product of the first name with a known ingredient; else that of the first name."""
    products = [product for name in names if (product := product_of(name)).key]
    return next((each for each in products if each.known), products[0] if products else NO_PRODUCT)


@lru_cache(maxsize=16384)
def product_of(name: str) -> Product:
    """The product that a name describes, such as `Tegretol 200mg tablets (Novartis Pharmaceuticals UK Ltd)`."""
    lexis = lexicon()
    plain = _MAKER.sub("", name.strip())
    words = words_of(plain)
    found = list(named_medicines(words)) or list(named_medicines(words_of(name), fuzzy=True))
    ingredients = frozenset(ingredient for each in found for ingredient in lexis.names[each])
    strengths = strengths_of(plain)
    forms = [lexis.forms[word] for word in words if word in lexis.forms]
    # "Eye drops solution" and "oral patch" name the place first; a place is more than a shape.
    form = next((each for each in forms if each not in ("oral", "injection", "skin")), forms[0] if forms else "")
    release = any(word in lexis.release for word in words) or "modified release" in plain.casefold()
    brand = next((each for each in found if each in lexis.brands), "")
    key = "+".join(sorted(ingredients)) if ingredients else _fallback_key(words)
    in_name = {word for each in ingredients for word in each.split()}
    salts = frozenset(word for word in words if word in lexis.salts and word not in in_name)
    return Product(key, ingredients, strengths, form, brand, release, salts)


def _fallback_key(words: list[str]) -> str:
    """The words before the strength, without salts and forms."""
    lexis = lexicon()
    kept: list[str] = []
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        # A number without a unit, as in "Drug 10", is part of the name.
        measured = (unit_of(following) or ("count", 1.0))[0] != "count"
        if word[0].isdigit() and (measured or not word.isdigit()):
            break
        if word not in lexis.salts and word not in lexis.forms:
            kept.append(word)
    return " ".join(kept or words)
