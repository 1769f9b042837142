"""Decides which resources the copy for the person leaves out, and takes out of the others what must not be told. Pure.

It looks into all elements of a resource, because a copy is read on paper by whoever finds it: a reason, a note or the
name of a reference tells as much as a code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from onestory.record.merge.reading import small_letters
from onestory.record.summary.access_codes import access_held, hide_access_codes, names_access
from onestory.record.summary.places import is_left_out, places
from onestory.shared.fhir.json import Code, codes_of, objects_at

_MASKED = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}
_REASONS = ("reasonCode", "reason", "indication")
_ATTACHMENTS = ("attachment", "contentAttachment", "photo", "presentedForm", "valueAttachment")
_INFORMANTS = ("author", "informant", "performer", "sender", "source")
_TOLD_BY_OTHERS = ("ClinicalImpression", "Communication", "DocumentReference", "Observation", "QuestionnaireResponse")
"""Types that are left out if another person tells them. Allergies and medicines stay: the person must know of them."""
_ANSWERS = ("valueString", "valueInteger", "valueDecimal", "valueQuantity")

_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Hidden(NamedTuple):
    """What a copy leaves out: the shared ids of statements, and the codes of problems."""

    ids: frozenset[str]
    codes: frozenset[Code]


NOTHING = Hidden(frozenset(), frozenset())


def is_hidden(content: Mapping[str, Any]) -> bool:
    """Whether the copy leaves a resource out: by its label, its name, or anything else that it says."""
    if is_left_out(content):
        return True
    kind = content.get("resourceType")
    if kind == "FamilyMemberHistory" and content.get("name"):
        return True
    if kind in _TOLD_BY_OTHERS and any(_is_of_relative(each) for name in _INFORMANTS for each in _each(content, name)):
        return True
    hidden_kinds = [each for each in places().kinds if each.not_for_person]
    codes = frozenset[Code]().union(*(each.codes for each in hidden_kinds))
    words = [each.words for each in hidden_kinds if each.words] + [places().third_party]
    for said in _said(content):
        if isinstance(said, tuple):
            if said in codes:
                return True
        elif any(pattern.search(letters := small_letters(said)) and letters for pattern in words):
            return True
    return False


def copied_content(content: Mapping[str, Any], hidden: Hidden) -> dict[str, Any]:
    """The content without its narrative, attachments, access codes, and references to what is left out."""
    contained = objects_at(content, "contained")
    gone = {f"#{each.get('id')}" for each in contained if is_hidden(each)}
    kept = {name: value for name, value in content.items() if name not in ("text", "contained")}
    if stay := [each for each in contained if f"#{each.get('id')}" not in gone]:
        kept["contained"] = [{name: value for name, value in each.items() if name != "text"} for each in stay]
    copied: dict[str, Any] = _copied(kept, hidden, frozenset(gone))
    return copied


def copied_bytes(raw: bytes, hidden: Hidden) -> bytes:
    """The same as `copied_content` for a resource as JSON. Decimals keep their digits."""
    return _encoder.encode(copied_content(_decoder.decode(raw), hidden))


def _copied(value: Any, hidden: Hidden, gone: frozenset[str], name: str = "", *, is_access: bool = False) -> Any:
    if isinstance(value, str):
        return hide_access_codes(value) if " " in value else value
    if isinstance(value, list):
        return [_copied(each, hidden, gone, name, is_access=is_access) for each in value]
    if not isinstance(value, dict):
        return value
    if "reference" in value and _leads_to(value["reference"], hidden, gone):
        return dict(_MASKED)
    if name in _ATTACHMENTS:
        value = {key: each for key, each in value.items() if key != "data"}
    is_access = is_access or any(names_access(said) for said in _own_names(value))
    copied = {}
    for key, each in value.items():
        if key in _REASONS and (codes_of(value, key) & hidden.codes):
            continue
        if is_access and key in _ANSWERS:
            copied["valueString"] = access_held()
        else:
            copied[key] = _copied(each, hidden, gone, key, is_access=is_access)
    return copied


def _own_names(value: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of a coded element, of an item of a questionnaire and the like."""
    for each in (value.get("code"), value.get("category"), value):
        for holder in each if isinstance(each, list) else [each]:
            if isinstance(holder, Mapping):
                yield from (said for key in ("text", "title", "display") if isinstance(said := holder.get(key), str))
                yield from (
                    said for coding in objects_at(holder, "coding") if isinstance(said := coding.get("display"), str)
                )


def _leads_to(reference: object, hidden: Hidden, gone: frozenset[str]) -> bool:
    if not isinstance(reference, str):
        return False
    return reference in gone or "RelatedPerson/" in reference or not hidden.ids.isdisjoint(reference.split("/"))


def _each(content: Mapping[str, Any], name: str) -> list[Any]:
    value = content.get(name, [])
    return value if isinstance(value, list) else [value]


def _is_of_relative(reference: object) -> bool:
    if not isinstance(reference, Mapping):
        return False
    return reference.get("type") == "RelatedPerson" or "RelatedPerson/" in str(reference.get("reference", ""))


def _said(value: Any) -> Iterator[str | Code]:
    """Yields all texts and codes in a resource."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            system, code = each.get("system"), each.get("code")
            if isinstance(system, str) and isinstance(code, str):
                yield system, code
            waiting += [inner for key, inner in each.items() if key not in ("id", "reference", "system", "url", "data")]
        elif isinstance(each, list):
            waiting += each
