"""Loads the MessageDefinitions that the NHS has published, and our rules that override their counts.

Both are in `schemas/bars/`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from onestory.shared.kafka.schemas import schemas_folder

DEFINITION_BASE_URL = "https://fhir.nhs.uk/MessageDefinition/"
_SCHEMES = ("https", "http")


@dataclass(frozen=True, slots=True)
class Cardinality:
    """How often a resource type occurs in a message. `most` is None where there is no limit."""

    minimum: int
    maximum: int | None


@dataclass(frozen=True, slots=True)
class BarsDefinition:
    """One MessageDefinition. `name` is the end of its URL; `published` is its content for `GET /MessageDefinition`.

    `counts` are the cardinalities by resource type. `by_reason` has those that differ for a reason.
    """

    name: str
    event: str
    counts: Mapping[str, Cardinality]
    by_reason: Mapping[str, Mapping[str, Cardinality]]
    published: Mapping[str, Any]

    @property
    def is_validation(self) -> bool:
        """Whether it belongs to the validation of a triage outcome."""
        return "-validation" in self.name

    @property
    def url(self) -> str:
        """The canonical URL."""
        return DEFINITION_BASE_URL + self.name

    def counts_for(self, reason: str) -> Mapping[str, Cardinality]:
        """The counts for a message that is sent for this reason."""
        return {**self.counts, **self.by_reason.get(reason, {})}


@cache
def definitions() -> Mapping[str, BarsDefinition]:
    """All definitions by name."""
    rules = yaml.safe_load((schemas_folder() / "bars" / "message-rules.yaml").read_text())
    read = (_definition(definition, rules) for definition in _published()["definitions"])
    return {definition.name: definition for definition in read}


def find_definition(canonical: str, categories: Collection[str]) -> BarsDefinition | None:
    """The definition that MessageHeader.definition means, in any published spelling; None for another one.

    A version after `|` and the address before the name do not count: some messages name it relatively. `categories`
    are the message categories of the ServiceRequest, `referral` or `validation`.
    """
    name = canonical.partition("|")[0].rpartition("/")[2].lower()
    spelled = _spellings()["definitions"].get(name, {})
    meant = next((spelled[category] for category in ("any", *categories) if category in spelled), name)
    base = canonical.partition("|")[0][: -len(name)].lower() if name else canonical
    known = base in ("", "messagedefinition/", *(f"{scheme}://fhir.nhs.uk/messagedefinition/" for scheme in _SCHEMES))
    return definitions().get(meant) if known else None


def deletion_definition(event: str) -> BarsDefinition | None:
    """The definition of a deletion that names none; None for an event that has no deletion."""
    return definitions().get(_spellings()["deletions"].get(event, ""))


@cache
def _spellings() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load((schemas_folder() / "bars" / "published-spellings.yaml").read_text())
    return loaded


@cache
def supported_use_cases(kind: str) -> Sequence[str]:
    """The codes of the use cases that are taken with a message of this kind, `referral` or `validation`."""
    loaded = yaml.safe_load((schemas_folder() / "bars" / "use-cases.yaml").read_text())
    return tuple(loaded[kind])


@cache
def bundle_versions() -> frozenset[str]:
    """The versions of the standard that `Bundle.meta.versionId` may name."""
    return frozenset(_published()["bundle_versions"])


@cache
def _published() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load((schemas_folder() / "bars" / "message-definitions.yaml").read_text())
    return loaded


def _definition(published: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> BarsDefinition:
    name = published["url"].removeprefix(DEFINITION_BASE_URL)
    matching = [rule for rule in rules if name in rule["definitions"]]
    return BarsDefinition(
        name=name,
        event=published["event"],
        counts={**_counts_by_type(published["focus"]), **_counts_from_rules(matching, "")},
        by_reason={
            rule["reason"]: _counts_from_rules(matching, rule["reason"]) for rule in matching if "reason" in rule
        },
        published=published,
    )


def _counts_by_type(focus: Sequence[Mapping[str, Any]]) -> dict[str, Cardinality]:
    """The cardinality of each resource type: the sum over its profiles."""
    merged: dict[str, Cardinality] = {}
    for profile in focus:
        cardinality, so_far = _cardinality(profile), merged.get(profile["code"], Cardinality(0, 0))
        maximum = (
            None if cardinality.maximum is None or so_far.maximum is None else cardinality.maximum + so_far.maximum
        )
        merged[profile["code"]] = Cardinality(cardinality.minimum + so_far.minimum, maximum)
    return {kind: count for kind, count in merged.items() if kind != "Bundle"}


def _counts_from_rules(rules: Sequence[Mapping[str, Any]], reason: str) -> dict[str, Cardinality]:
    matching = (rule for rule in rules if rule.get("reason", "") == reason)
    return {kind: _cardinality(count) for rule in matching for kind, count in rule["counts"].items()}


def _cardinality(count: Mapping[str, Any]) -> Cardinality:
    return Cardinality(count["min"], None if count["max"] == "*" else int(count["max"]))
