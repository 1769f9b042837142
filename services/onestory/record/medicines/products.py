"""Reads the name or the dm+d code of a medicine as a product: its ingredients, strengths, form and brand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest

from onestory.record.medicines.directions import unit_of
from onestory.record.medicines.dmd import VirtualProduct, identifier, loaded_release
from onestory.record.medicines.names import Strength, lexicon, named_medicines, strengths_of, words_of
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts

_BRAND = "Same medicine, brand and generic: not two medicines to give."
_FIXED_BRAND = "Same medicine in different brands, which are not interchangeable: not two medicines to give."
_STRENGTHS = "Same medicine in several strengths: read the lines together."
_OTHER_STRENGTHS = "Same medicine in another strength at another source: not two medicines to give."
_FORMS = "Same medicine in another form or salt, of which doses may not be equal: not two medicines to give."
SEVERAL_ENTRIES = "Same medicine in several entries: not two medicines to give."
_TOGETHER = "Same medicine in several products: read the lines together."
_MAKER = re.compile(r"\([^()]*+\)\s*+$")


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


def read_product(names: Iterable[str], codes: Iterable[str] = ()) -> Product:
    """The product of the first name with a known ingredient; else that of the codes; else that of the first name.

    Codes of the ingredients that the name has add what the name does not say. Codes of others add nothing: the words
    are what the author read.
    """
    products = [product for name in names if (product := product_of(name)).key]
    named = next((each for each in products if each.known), products[0] if products else NO_PRODUCT)
    coded = _product_of_codes(codes)
    if not coded.known or (named.known and named.key != coded.key):
        return named
    return replace(
        coded,
        strengths=named.strengths or coded.strengths,
        form=named.form or coded.form,
        brand=named.brand or coded.brand,
        modified=named.modified or coded.modified,
        salts=named.salts or coded.salts,
    )


def _product_of_codes(codes: Iterable[str]) -> Product:
    """The fullest product of the codes; none if they are of different ingredients."""
    found = [product for code in codes if (product := product_of_code(code)).known]
    if len({each.key for each in found}) != 1:
        return NO_PRODUCT
    return max(found, key=lambda each: (bool(each.strengths), bool(each.brand)))


@lru_cache(maxsize=16384)
def product_of_code(code: str) -> Product:
    """The product of a VTM, VMP, AMP or pack of the loaded dm+d release; `NO_PRODUCT` if it has none with this code."""
    release = loaded_release()
    number = release.product(identifier(code))
    if moiety := release.moieties.get(number):
        return _of_ingredients(_ingredients_of([moiety]))
    virtual = release.virtual.get(release.actual.get(number, number))
    if virtual is None:
        return NO_PRODUCT
    product = _product_of_vmp(virtual, release.moieties.get(virtual.moiety, ""))
    return replace(product, brand=release.brands.get(number, "").casefold())


def _product_of_vmp(virtual: VirtualProduct, moiety: str) -> Product:
    """What the name of a VMP says; what it does not say, by its form and its ingredients."""
    lexis, named = lexicon(), product_of(virtual.name)
    words = words_of(virtual.form)
    ingredients = _ingredients_of([moiety] if moiety else virtual.substances) or named.ingredients
    return replace(
        named,
        key=_of_ingredients(ingredients).key,
        ingredients=ingredients,
        strengths=named.strengths or tuple(Strength(*each) for each in virtual.strengths),
        form=named.form or next((lexis.forms[word] for word in words if word in lexis.forms), ""),
        modified=named.modified or any(word in lexis.release for word in words),
    )


def _of_ingredients(ingredients: frozenset[str]) -> Product:
    return Product("+".join(sorted(ingredients)), ingredients) if ingredients else NO_PRODUCT


def _ingredients_of(names: Iterable[str]) -> frozenset[str]:
    """The ingredients of VTMs or substances, by the names of the lexicon where it has them."""
    lexis = lexicon()
    found: set[str] = set()
    for part in (part for name in names for part in name.casefold().split(" + ")):
        words = words_of(part)
        known = [ingredient for each in named_medicines(words) for ingredient in lexis.names[each]]
        found.update(known or [" ".join(word for word in words if word not in lexis.salts) or part])
    return frozenset(found)


@cache_texts(16384, read=MAX_READ_LENGTH)
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


def same_medicine_words(products: Sequence[Product], of_one_source: bool) -> str:
    """What the products have in common. One source that has them all may mean one regimen of several strengths."""
    brands = {product.brand for product in products}
    ingredients = frozenset().union(*[product.ingredients for product in products])
    strengths = len({product.strengths for product in products if product.strengths}) > 1
    if of_one_source:
        return _STRENGTHS if strengths else _TOGETHER
    if len(brands) > 1:
        return _FIXED_BRAND if ingredients & lexicon().same_brand else _BRAND
    if len({(product.form, product.modified) for product in products if product.form}) > 1:
        return _FORMS
    if ingredients & lexicon().same_brand and len({product.salts for product in products}) > 1:
        return _FORMS
    return _OTHER_STRENGTHS if strengths else SEVERAL_ENTRIES
