"""The same seed gives the same bytes, and every resource is valid FHIR R4."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import fhirkit
import orjson
from tests.unit.sample.network_of_twenty import SEED, twenty

from onestory.sample import chance
from onestory.sample import codes as sample_codes
from onestory.sample.codes import SNOMED, Code
from onestory.sample.main import generate
from onestory.sample.network import SOURCES
from onestory.sample.resources import ODS_CODE, SOURCE_SYSTEM

_DIGEST = """
import hashlib
from onestory.sample.main import generate
print(hashlib.sha256(b"".join(body for _, body in generate(20, 7))).hexdigest())
"""


def test_the_same_seed_gives_the_same_bytes_in_another_process_with_another_hash_seed() -> None:
    digests = []
    for hash_seed in ("0", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        digests.append(subprocess.check_output([sys.executable, "-c", _DIGEST], env=environment))

    assert digests[0] == digests[1]


def test_another_seed_gives_other_people() -> None:
    assert [body for _, body in generate(4, 1)] != [body for _, body in generate(4, 2)]


def test_a_larger_population_contains_every_bundle_of_a_smaller_one_in_the_same_order() -> None:
    larger = iter([body for _, body in generate(31, SEED)])

    assert all(body in larger for _, body in generate(18, SEED))


def test_every_bundle_names_its_source_on_one_line() -> None:
    sources = {(source.ods, source.system) for source in SOURCES}

    for bundle in twenty():
        tags = {tag["system"]: tag["code"] for tag in bundle.bundle["meta"]["tag"]}
        assert (tags[ODS_CODE], tags[SOURCE_SYSTEM]) in sources
        assert b"\n" not in bundle.body


def test_every_kind_of_source_and_two_authorities_speak() -> None:
    kinds = {bundle.kind for bundle in twenty()}

    care = {"gp", "community", "social-care", "mental-health", "hospital", "charity", "federation", "ambulance"}
    assert kinds == {*care, "demographics", "directory"}


def test_bundles_of_every_type_that_systems_publish_are_there() -> None:
    types = {bundle.bundle["type"] for bundle in twenty()}

    assert types == {"transaction", "batch", "collection", "document"}


def test_a_bundle_has_no_more_than_forty_entries() -> None:
    assert max(len(bundle.bundle["entry"]) for bundle in twenty()) <= 40


def test_every_bundle_and_resource_of_two_hundred_people_is_valid_fhir() -> None:
    problems_found = [
        (issue.path, issue.message)
        for _, body in generate(200, SEED)
        for checked in (body, *_resources(body))
        for issue in fhirkit.validate(checked)
        if issue.severity == "error"
    ]

    assert problems_found == []


def test_a_resource_of_one_bundle_refers_to_nothing_that_is_missing() -> None:
    for bundle in twenty():
        known = {entry["fullUrl"] for entry in bundle.bundle["entry"] if "fullUrl" in entry}
        for reference in _references(bundle.bundle):
            if reference.startswith("urn:uuid:"):
                assert reference in known
            elif "?" not in reference and not reference.startswith("Patient/999"):
                assert any(url.endswith(f"/{reference}") for url in known)


def test_nothing_is_recorded_after_the_last_day_of_the_network() -> None:
    for bundle in twenty():
        for resource in bundle.resources:
            assert resource["meta"]["lastUpdated"][:10] <= chance.TODAY.isoformat()


def test_no_source_knows_of_a_condition_before_its_onset() -> None:
    for bundle in twenty():
        for resource in bundle.resources:
            if resource["resourceType"] == "Condition":
                assert resource["onsetDateTime"] <= resource["meta"]["lastUpdated"][:10]
                assert resource["meta"]["lastUpdated"][:10] <= bundle.bundle["timestamp"][:10]


def test_every_snomed_code_has_a_right_check_digit() -> None:
    values = list(vars(sample_codes).values())
    codes = [value for value in values if isinstance(value, Code)]
    codes += [value.code for value in values if isinstance(value, sample_codes.Measure)]

    assert len(codes) > 60
    assert [code for code in codes if code.system == SNOMED and not _has_check_digit(code.code)] == []


def _resources(body: bytes) -> Iterator[bytes]:
    for entry in orjson.loads(body)["entry"]:
        if "resource" in entry:
            yield orjson.dumps(entry["resource"])


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("reference"), str):
            yield part["reference"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _has_check_digit(code: str) -> bool:
    """Verhoeff's check digit of SNOMED CT identifiers (SNOMED CT Technical Implementation Guide, appendix)."""
    flip = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    permutation = list(range(10))
    check = 0
    for place, digit in enumerate(reversed(code)):
        if place:
            permutation = [flip[each] for each in permutation]
        check = _dihedral(check, permutation[int(digit)])
    return check == 0


def _dihedral(left: int, right: int) -> int:
    """The product in the dihedral group of the pentagon: 0 to 4 are rotations, 5 to 9 are reflections."""
    if left < 5:
        return (left + right) % 5 if right < 5 else 5 + (left + right) % 5
    return 5 + (left - right) % 5 if right < 5 else (left - right) % 5


def test_a_person_who_takes_every_common_repeat_medicine_can_have_left_a_practice() -> None:
    # Person 160 of this seed takes salbutamol, paracetamol and amlodipine, and has moved.
    assert sum(1 for _ in generate(250, 3)) > 1_000
