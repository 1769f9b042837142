"""Names organisations for a reader: an ODS code alone tells a nurse nothing. Pure.

A name comes from the network's directory, then from an Organization resource with the ODS code, then from the words
with which a source refers to the code (the organisation itself before others).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Statement
from onestory.shared.fhir.json import objects_at, text_at, text_of
from onestory.shared.identity import ODS_CODE_SYSTEM

# Elements that refer to an organisation. Reading only these keeps a long record fast.
_REFERRING = (
    "performer",
    "author",
    "custodian",
    "managingOrganization",
    "serviceProvider",
    "requester",
    "recorder",
    "organization",
    "informationSource",
    "generalPractitioner",
)
_REFERRING_SET = frozenset(_REFERRING)


class OrganisationNames:
    """The names of the organisations that a record speaks of. `known` are names by ODS code."""

    def __init__(
        self,
        known: Mapping[str, str],
        directory: Iterable[Mapping[str, Any]],
        patient: Mapping[str, Any],
        statements: Iterable[Statement],
    ) -> None:
        self._names = dict(known)
        contained = [*objects_at(patient, "contained")]
        for resource in [*directory, *contained]:
            self._add_organisation(resource)
        listed = list(statements)
        for statement in listed:
            for resource in objects_at(statement.content, "contained") if "contained" in statement.content else ():
                self._add_organisation(resource)
        of_others: dict[str, str] = dict(_displays(patient))
        own: dict[str, str] = {}
        for statement in sorted(listed, key=lambda each: each.shared_id, reverse=True):
            for code, name in _displays(statement.content):
                (own if code == statement.organisation else of_others)[code] = name
        self._names = {**of_others, **own, **self._names}
        self._shared = {name for name, times in Counter(self._names.values()).items() if times > 1}

    def of(self, code: str) -> str:
        """The name of an organisation, with its code if another has the same name; the code if no name is known."""
        name = self._names.get(code)
        if not name:
            return code
        return f"{name} ({code})" if name in self._shared else name

    def _add_organisation(self, resource: Mapping[str, Any]) -> None:
        name = text_of(resource, "name")
        if resource.get("resourceType") == "Organization" and name:
            for identifier in objects_at(resource, "identifier"):
                if identifier.get("system") == ODS_CODE_SYSTEM and (code := text_of(identifier, "value")):
                    self._names.setdefault(code, name)


def _displays(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for element in _REFERRING if not _REFERRING_SET.isdisjoint(content) else ():
        if element not in content:
            continue
        value = content[element]
        for reference in value if isinstance(value, list) else [value]:
            actor = reference.get("actor", reference) if isinstance(reference, dict) else None
            if not isinstance(actor, dict) or text_at(actor, "identifier", "system") != ODS_CODE_SYSTEM:
                continue
            if (name := text_of(actor, "display")) and (code := text_at(actor, "identifier", "value")):
                yield code, name
