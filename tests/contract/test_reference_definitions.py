"""The reviewed data about links and subjects agrees with an independent library of the FHIR definitions."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from onestory.shared.fhir.definitions import (
    link_elements,
    patient_compartment,
    refused_types,
    resource_types,
    subject_types,
)

# Elements that name a system, a profile, a definition or an event, and never a resource of the Bundle.
NEVER_LINKS = {
    "implicitRules",
    "system",
    "type",
    "eventUri",
    "issuer",
    "jurisdiction",
    "definition",
    "fullUrl",
    "location",
    "identifier",
    "onlineInformation",
    "code",
    "contentReference",
}
NEVER_LINK_URLS = {"Endpoint.address", "Evidence.url", "EvidenceVariable.url", "Extension.url"}
DATA_TYPES = ("Attachment", "Expression", "Extension", "Meta", "RelatedArtifact", "Coding", "Identifier", "Quantity")
# The library has FHIR 4.3. There these two may be about more types than in R4.
MORE_SUBJECTS = {"DiagnosticReport", "Observation"}


def model(path: str) -> Any:
    """The library's class of a type or backbone element: `Task.input` is TaskInput."""
    module = importlib.import_module(f"fhir.resources.R4B.{path.partition('.')[0].lower()}")
    return getattr(module, "".join(part[0].upper() + part[1:] for part in path.split(".")))


def uri_elements(kind: Any) -> Iterator[str]:
    """The elements of these types by their JSON names. The url of a definition is its name, and no link."""
    for name, field in kind.model_fields.items():
        if name == "url" and "experimental" in kind.model_fields:
            continue
        if any(mark in str(field.annotation) for mark in ("Uri()", "Url()", "Oid()", "UuidVersion(")):
            yield field.alias or name


@pytest.mark.parametrize("path", sorted(link_elements()))
def test_every_link_is_an_element_of_type_uri_url_oid_or_uuid(path: str) -> None:
    assert set(link_elements()[path]) <= set(uri_elements(model(path)))


def published_models() -> Iterator[Any]:
    for kind in sorted((resource_types() - set(refused_types())) | set(DATA_TYPES)):
        try:
            module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
        except ModuleNotFoundError:  # a type that FHIR 4.3 no longer has
            continue
        yield from (
            each for name, each in vars(module).items() if name.startswith(kind) and hasattr(each, "model_fields")
        )


def test_every_element_that_may_be_a_link_is_listed() -> None:
    listed = {
        "".join(part[0].upper() + part[1:] for part in path.split(".")): set(names)
        for path, names in link_elements().items()
    }

    missing = {
        f"{kind.__name__}.{name}"
        for kind in published_models()
        for name in uri_elements(kind)
        if name not in listed.get(kind.__name__, set()) | NEVER_LINKS
    }

    assert sorted(missing - NEVER_LINK_URLS) == []


@pytest.mark.parametrize("kind", sorted(subject_types()))
def test_a_subject_may_be_of_the_types_that_fhir_names(kind: str) -> None:
    element = patient_compartment()[kind][0][0]
    (field,) = [each for name, each in model(kind).model_fields.items() if (each.alias or name) == element]
    allowed = set(field.json_schema_extra["enum_reference_types"])

    assert subject_types()[kind] <= allowed
    assert subject_types()[kind] == allowed or kind in MORE_SUBJECTS
