"""OneStory's validation agrees with two independent ones, HAPI and fhir.resources, over all published examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.contract.shared_data import example, needs_shared_data, verdicts

from onestory.intake.domain.item import Item, members_of, refuse_invalid_item
from onestory.shared.errors import Issue, Unprocessable
from onestory.shared.fhir.definitions import refused_types, resource_types
from onestory.shared.fhir.validate import check_resource, validate

pytestmark = needs_shared_data

# Structural errors of HAPI that intake accepts: HAPI judges by a profile or by advice there, not by R4 itself.
_NOT_OURS_TO_JUDGE = (
    "The Extension '",  # an extension's own definition allows it or not; unknown extensions are kept unchanged
    "The extension ",
    "Sub-extension url",
    "The Profile '",
    "Identifier.system must be an absolute reference",
    "Canonical URLs must be absolute",
    "The URL '",
    "The code '",  # within a CodeSystem, which states nothing about care
    "The kind complex-type",
    "The structure definition constrains",
    "This element is not allowed by the profile",
)
# Errors of a Bundle or a resource that only intake checks, and not the validator.
_BY_THE_DOOR = ("Constraint failed: bdl-7",)
# HAPI treats a wrong required code as a matter of terminology. Here it is a structural error.
_REQUIRED_CODE = "a code is required from this value set"


def findings(body: bytes) -> list[Issue]:
    """The issues of the validator and of OneStory's own rules, without the other checks of intake."""
    return validate(body) or [issue for item in _items(body) for issue in _own_findings(item)]


def _items(body: bytes) -> Iterator[Item]:
    members = members_of(body)
    if msgspec.json.decode(members["resourceType"]) != "Bundle":
        yield _item(0, msgspec.Raw(body), "")
        return
    entries: list[dict[str, msgspec.Raw]] = msgspec.json.decode(
        members.get("entry", b"[]"), type=list[dict[str, msgspec.Raw]]
    )
    for index, entry in enumerate(entries):
        if "resource" in entry:
            yield _item(index, entry["resource"], f"Bundle.entry[{index}].resource")


def _item(index: int, raw: msgspec.Raw, path: str) -> Item:
    kind = msgspec.json.decode(members_of(raw)["resourceType"])
    return Item(index, "PUT", kind, path or kind, members=members_of(raw), raw=raw)


def _own_findings(item: Item) -> list[Issue]:
    if item.resource_type in refused_types():
        return check_resource(item.raw, item.resource_type, item.path)
    try:
        refuse_invalid_item(item)
    except Unprocessable as error:
        return list(error.issues)
    return []


def _structural(verdict: dict[str, Any]) -> list[str]:
    return [text for kind, _, text in verdict["hapi_errors"] if kind == "structure"]


def _of_r4_itself(verdict: dict[str, Any]) -> list[str]:
    return [text for text in _structural(verdict) if not text.startswith((*_NOT_OURS_TO_JUDGE, *_BY_THE_DOOR))]


@pytest.mark.parametrize("name", sorted(verdicts()))
def test_nothing_is_refused_that_hapi_finds_sound(name: str) -> None:
    verdict = verdicts()[name]
    if _structural(verdict) or any(_REQUIRED_CODE in text for _, _, text in verdict["hapi_errors"]):
        return

    assert findings(example(name)) == []


@pytest.mark.parametrize("name", sorted(name for name, verdict in verdicts().items() if _of_r4_itself(verdict)))
def test_nothing_is_taken_that_hapi_finds_broken(name: str) -> None:
    assert findings(example(name))


@pytest.mark.parametrize("name", sorted(name for name, each in verdicts().items() if each["fhir_resources_R4B_error"]))
def test_nothing_is_taken_that_fhir_resources_finds_broken(name: str) -> None:
    assert findings(example(name))


def test_a_code_that_hapi_requires_is_required_here() -> None:
    wrong = {
        name
        for name, verdict in verdicts().items()
        if any(_REQUIRED_CODE in text for kind, _, text in verdict["hapi_errors"] if kind == "terminology")
    }

    assert wrong
    assert all(findings(example(name)) for name in wrong)


def test_every_type_of_fhir_r4_has_its_table() -> None:
    for kind in sorted(resource_types()):
        check_resource(b'{"resourceType":"%b"}' % kind.encode(), kind, kind)
