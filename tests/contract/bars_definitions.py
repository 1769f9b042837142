"""`python -m tests.contract.bars_definitions` makes schemas/bars/message-definitions.yaml from published files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.contract.shared_data import DATA

from onestory.shared.kafka.schemas import schemas_folder

FILE = schemas_folder() / "bars" / "message-definitions.yaml"
_HEAD = "# Made of the MessageDefinitions and messages that the NHS has published. Do not edit: make it again.\n"
_USE_CASES = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"


def made() -> str:
    """The text of the file, made from the published definitions and messages."""
    definitions = sorted(map(_definition, _published("MessageDefinition")), key=lambda each: str(each["url"]))
    versions = {each["version"] for each in definitions} | set(_versions())
    table = {"bundle_versions": sorted(versions), "definitions": definitions}
    return _HEAD + yaml.safe_dump(table, sort_keys=False, width=140)


def _published(kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted(DATA.glob("bars-*/*.json")):
        resource = json.loads(path.read_text())
        if isinstance(resource, dict) and resource.get("resourceType") == kind:
            yield resource


def _versions() -> Iterator[str]:
    for bundle in _published("Bundle"):
        if bundle.get("type") == "message" and "versionId" in bundle.get("meta", {}):
            yield bundle["meta"]["versionId"]


def _definition(resource: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: resource[name] for name in ("url", "version", "name", "title", "date")},
        "event": resource["eventCoding"]["code"],
        "use_cases": sorted(_use_cases(resource)),
        "focus": [{name: each[name] for name in ("code", "profile", "min", "max")} for each in resource["focus"]],
    }


def _use_cases(resource: dict[str, Any]) -> Iterator[str]:
    for context in resource["useContext"]:
        for coding in context["valueCodeableConcept"]["coding"]:
            if coding["system"] == _USE_CASES:
                yield coding["code"]


def main() -> None:
    """Write the file."""
    Path(FILE).write_text(made())


if __name__ == "__main__":
    main()
