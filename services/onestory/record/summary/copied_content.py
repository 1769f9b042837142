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
from onestory.record.summary.access_codes import hide_access_values
from onestory.record.summary.hidden_texts import ProtectedTexts, tells_harm
from onestory.record.summary.places import is_left_out, places, summary_codes
from onestory.shared.fhir.json import Code, codes_of, concept_texts, objects_at

_MASKED = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}
_REASONS = ("reasonCode", "reason", "indication")
_ATTACHMENTS = ("attachment", "contentAttachment", "photo", "presentedForm", "valueAttachment")
_INFORMANTS = ("author", "informant", "performer", "sender", "source")
_TOLD_BY_OTHERS = ("ClinicalImpression", "Communication", "DocumentReference", "Observation", "QuestionnaireResponse")
"""Types that are left out if another person tells them. Allergies and medicines stay: the person must know of them."""
_KEPT = frozenset(
    [
        *("AllergyIntolerance", "Immunization", "Medication", "MedicationAdministration", "MedicationDispense"),
        *("MedicationRequest", "MedicationStatement"),
    ]
)
"""Types that stay without their notes where these tell of harm or of somebody else."""

_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Hidden(NamedTuple):
    """What a copy leaves out: the shared ids of statements, and the codes of problems."""

    ids: frozenset[str]
    codes: frozenset[Code]
    texts: ProtectedTexts = ProtectedTexts()


NOTHING = Hidden(frozenset(), frozenset())


def is_hidden(content: Mapping[str, Any], protected: ProtectedTexts = NOTHING.texts) -> bool:
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
    is_kept = kind in _KEPT or bool(codes_of(content, "type") & summary_codes().about_me)
    for said in _said(content):
        if isinstance(said, tuple):
            if said in codes:
                return True
            continue
        letters = small_letters(said)
        if any(pattern.search(letters) for pattern in words):
            return True
        if not is_kept and _tells_too_much(said, protected):
            return True
    # The name of an allergy or a medicine never tells where somebody lives, but it may tell of harm.
    return kind in _KEPT and any(tells_harm(name) for name in concept_texts(content, "code"))


def _tells_too_much(said: str, protected: ProtectedTexts) -> bool:
    return tells_harm(said) or protected.found_in(said)


def copied_content(content: Mapping[str, Any], hidden: Hidden) -> dict[str, Any]:
    """The content without its narrative, attachments, access codes, and references to what is left out."""
    contained = objects_at(content, "contained")
    gone = {f"#{each.get('id')}" for each in contained if is_hidden(each)}
    kept = {name: value for name, value in content.items() if name not in ("text", "contained")}
    if stay := [each for each in contained if f"#{each.get('id')}" not in gone]:
        kept["contained"] = [{name: value for name, value in each.items() if name != "text"} for each in stay]
    copied: dict[str, Any] = hide_access_values(_copied(kept, hidden, frozenset(gone)))
    return copied


def copied_bytes(raw: bytes, hidden: Hidden) -> bytes:
    """The same as `copied_content` for a resource as JSON. Decimals keep their digits."""
    return _encoder.encode(copied_content(_decoder.decode(raw), hidden))


def _copied(value: Any, hidden: Hidden, gone: frozenset[str], name: str = "") -> Any:
    if isinstance(value, list):
        return [_copied(each, hidden, gone, name) for each in value]
    if not isinstance(value, dict):
        return value
    if "reference" in value and _leads_to(value["reference"], hidden, gone):
        return dict(_MASKED)
    copied = {}
    for key, each in value.items():
        if (key in _REASONS and codes_of(value, key) & hidden.codes) or (key == "data" and name in _ATTACHMENTS):
            continue
        if key != "note":
            copied[key] = _copied(each, hidden, gone, key)
        elif notes := [note for note in objects_at(each) if not _is_note_hidden(note, hidden)]:
            copied[key] = _copied(notes, hidden, gone, key)
    return copied


def _is_note_hidden(note: Mapping[str, Any], hidden: Hidden) -> bool:
    return any(isinstance(said, str) and _tells_too_much(said, hidden.texts) for said in _said(note))


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
