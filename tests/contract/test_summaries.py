"""HAPI's FHIR validator with IPS 2.0.0 finds no error in any summary."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.shared_data import example, needs_shared_data, verdicts
from tests.heard import NOW, Published, heard, network

from onestory.intake.domain.request import Submission
from onestory.record.summary.document import summarise
from onestory.shared.kafka.schemas import schemas_folder

VALIDATOR = Path(__file__).parents[3] / "shared" / "tools" / "fhirv" / "fhirv"
PEOPLE = 24
"""The first twenty people show every trouble of the synthetic network."""

pytestmark = [
    needs_shared_data,
    pytest.mark.skipif(
        not VALIDATOR.exists(), reason="the FHIR validator (../shared/tools/fhirv beside the repository) is not here"
    ),
    pytest.mark.skipif(
        not (shutil.which("java") and shutil.which("mvn")), reason="the FHIR validator needs a JDK and Maven"
    ),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The validator's errors by file. One run of the validator checks all files."""
    written = tmp_path_factory.mktemp("summaries")
    for name, document in _documents():
        (written / f"{name}.json").write_bytes(document)
    command = [str(VALIDATOR), "--ips", "--severity", "error", str(written)]
    judge = subprocess.run(command, capture_output=True, text=True, timeout=900)
    verdicts = [json.loads(line) for line in judge.stdout.splitlines()]
    if not verdicts:
        pytest.skip(f"the FHIR validator did not start: {judge.stderr[-300:]}")
    assert len(verdicts) == len(list(written.iterdir()))
    return {Path(each["file"]).stem: [] if each["valid"] else each["issues"] or [each] for each in verdicts}


def _documents() -> Iterator[tuple[str, bytes]]:
    for place, person in enumerate(network(PEOPLE)):
        yield f"network-{place}", summarise(person.known(), NOW).document
    for name in sorted(verdicts()):
        for place, person in enumerate(heard([Published("A81001", "emis-web", _submission(name))])):
            yield (
                f"example-{name.replace('/', '--').removesuffix('.json')}-{place}",
                summarise(person.known(), NOW).document,
            )
    for operation in ("summary", "merged"):
        yield (
            f"operation-{operation}",
            (schemas_folder() / "fhir" / f"OperationDefinition-{operation}.json").read_bytes(),
        )


def _submission(name: str) -> Submission:
    body = example(name)
    resource = json.loads(body)
    kind, own = resource.get("resourceType", ""), resource.get("id", "")
    return Submission("POST", body) if kind == "Bundle" else Submission("PUT" if own else "POST", body, kind, own)


@pytest.mark.parametrize("origin", ["network", "example", "operation"])
def test_a_validator_that_is_not_ours_finds_no_error(judged: dict[str, list[dict[str, Any]]], origin: str) -> None:
    found = {name: issues for name, issues in judged.items() if name.startswith(f"{origin}-")}

    assert len(found) >= {"network": PEOPLE, "example": 75, "operation": 2}[origin]
    assert {name: issues for name, issues in found.items() if issues} == {}
