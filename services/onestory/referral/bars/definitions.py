"""Which messages there are: the published MessageDefinitions, and what goes before them (`schemas/bars/`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from onestory.shared.kafka.schemas import folder

BASE = "https://fhir.nhs.uk/MessageDefinition/"


@dataclass(frozen=True, slots=True)
class Cardinality:
    """How often a resource type stands in a message. `most` is None where there is no limit."""

    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Definition:
    """One MessageDefinition. `name` is the end of its URL; `published` is what is told of it to who asks.

    `counts` are those of its resource types, its own reading of a reason in `by_reason`.
    """

    name: str
    event: str
    counts: Mapping[str, Cardinality]
    by_reason: Mapping[str, Mapping[str, Cardinality]]
    published: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Its canonical URL."""
        return BASE + self.name

    def of(self, reason: str) -> Mapping[str, Cardinality]:
        """The counts for a message that is sent for this reason."""
        return {**self.counts, **self.by_reason.get(reason, {})}


@cache
def definitions() -> Mapping[str, Definition]:
    """The definitions by name."""
    rules = yaml.safe_load((folder() / "bars" / "message-rules.yaml").read_text())
    found = (_definition(each, rules) for each in _published()["definitions"])
    return {each.name: each for each in found}


@cache
def bundle_versions() -> frozenset[str]:
    """The versions of the standard that `Bundle.meta.versionId` may name."""
    return frozenset(_published()["bundle_versions"])


@cache
def _published() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load((folder() / "bars" / "message-definitions.yaml").read_text())
    return loaded


def _definition(published: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> Definition:
    name = published["url"].removeprefix(BASE)
    ours = [rule for rule in rules if name in rule["definitions"]]
    return Definition(
        name=name,
        event=published["event"],
        counts={**_merged(published["focus"]), **_ruled(ours, "")},
        by_reason={rule["reason"]: _ruled(ours, rule["reason"]) for rule in ours if "reason" in rule},
        published=published,
    )


def _merged(focus: Sequence[Mapping[str, Any]]) -> dict[str, Cardinality]:
    """Several profiles of one type count together."""
    merged: dict[str, Cardinality] = {}
    for each in focus:
        own, so_far = _count(each), merged.get(each["code"], Cardinality(0, 0))
        most = None if own.most is None or so_far.most is None else own.most + so_far.most
        merged[each["code"]] = Cardinality(own.least + so_far.least, most)
    return {kind: count for kind, count in merged.items() if kind != "Bundle"}


def _ruled(rules: Sequence[Mapping[str, Any]], reason: str) -> dict[str, Cardinality]:
    of_reason = (rule for rule in rules if rule.get("reason", "") == reason)
    return {kind: _count(count) for rule in of_reason for kind, count in rule["counts"].items()}


def _count(said: Mapping[str, Any]) -> Cardinality:
    return Cardinality(said["min"], None if said["max"] == "*" else int(said["max"]))
