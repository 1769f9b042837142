"""Decides which resources the copy for the person leaves out, and takes out of the others what must not be told. Pure.

It looks into all elements of a resource, because a copy is read on paper by whoever finds it: a reason, a note or the
name of a reference tells as much as a code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.reading import small_letters, words_pattern
from onestory.record.summary.confidentiality import hide_access_values, is_left_out
from onestory.record.summary.person import human_name
from onestory.record.summary.places import places, summary_codes
from onestory.shared.fhir.json import Code, codes_of, concept_texts, objects_at, text_at, values_at

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


_POSTCODE = r"(?<![a-z0-9])[a-z]{1,2}[0-9][0-9a-z]? ?[0-9][a-z]{2}(?![a-z0-9])"
_HOUSE = r"(?<![a-z0-9])[0-9]{1,4}[a-z]? (?:[a-z']++ ){1,3}?"
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_LEAST_ADDRESS, _LEAST_PHONE = 6, 9


class _CopyWords(NamedTuple):
    harm: re.Pattern[str]
    act: re.Pattern[str]
    told: re.Pattern[str]
    address: re.Pattern[str]


@clinical_table
def _words() -> _CopyWords:
    table = read_clinical_data("summary/confidentiality")["copy"]
    relative, telling = words_pattern(table["relatives"]).pattern, words_pattern(table["telling"]).pattern
    between = r"(?: [a-z'-]++){0,2}? "
    return _CopyWords(
        words_pattern(table["words"]),
        re.compile(rf"{words_pattern(table['acts']).pattern}{between}{relative}"),
        re.compile(rf"{relative}{between}{telling}|{telling}(?: us| me)? by{between[:-1]} {relative}"),
        re.compile(rf"{_HOUSE}{words_pattern(table['streets']).pattern}|{_POSTCODE}"),
    )


def tells_harm(said: str) -> bool:
    """Whether a text tells of harm or secrecy, or has the word of somebody else about the person."""
    letters, words = small_letters(said), _words()
    return any(each.search(letters) for each in (words.harm, words.act, words.told))


class ProtectedTexts(NamedTuple):
    """The addresses (letters and digits alone), phones (digits) and names of other people that texts may hold."""

    addresses: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    is_at_risk: bool = False

    def found_in(self, said: str) -> bool:
        """Whether a text names another person, or tells where a person at risk lives or can be rung."""
        letters = small_letters(said)
        if any(name in letters for name in self.names):
            return True
        if not self.is_at_risk:
            return False
        packed, digits = _packed(letters), "".join(filter(str.isdigit, letters))
        if any(address in packed for address in self.addresses) or any(phone in digits for phone in self.phones):
            return True
        return _words().address.search(letters) is not None


def protected_texts(people: Iterable[Mapping[str, Any]], *, is_at_risk: bool) -> ProtectedTexts:
    """The texts of a person's Patients, and of the RelatedPersons and contacts around the person."""
    addresses: set[str] = set()
    phones: set[str] = set()
    own: set[str] = set()
    others: set[str] = set()
    for each in people:
        addresses.update(_addresses(each))
        phones.update(_phones(each))
        named = own if each.get("resourceType") == "Patient" else others
        named.update(_names(each, "name"))
        others.update(_names(each, "contact", "name"))
    return ProtectedTexts(frozenset(addresses), frozenset(phones), frozenset(others - own), is_at_risk)


def _addresses(person: Mapping[str, Any]) -> Iterator[str]:
    for address in objects_at(person, "address"):
        lines = [each for each in values_at(address, "line") if isinstance(each, str)]
        for each in (*lines, text_at(address, "text"), text_at(address, "postalCode")):
            if len(packed := _packed(small_letters(each))) >= (_LEAST_ADDRESS - 1):
                yield packed


def _phones(person: Mapping[str, Any]) -> Iterator[str]:
    for point in (*objects_at(person, "telecom"), *objects_at(person, "contact", "telecom")):
        digits = "".join(filter(str.isdigit, text_at(point, "value")))
        if len(digits) >= _LEAST_PHONE:
            yield digits


def _names(person: Mapping[str, Any], *path: str) -> Iterator[str]:
    """Yields the names of two words or more; one word alone is too common."""
    for name in objects_at(person, *path):
        given, family = values_at(name, "given"), text_at(name, "family")
        first = next((each for each in given if isinstance(each, str)), "")
        for each in (human_name(name), f"{first} {family}"):
            letters = small_letters(each)
            if " " in letters.strip():
                yield letters.strip()


def _packed(letters: str) -> str:
    return _NOT_LETTERS.sub("", letters)


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
        if (
            name == "reaction"
            and key == "description"
            and isinstance(each, str)
            and _tells_too_much(each, hidden.texts)
        ):
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
