"""Bundles about twenty people, all made from one seed, for the tests of this folder."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from onestory.sample.directory import directory_submissions
from onestory.sample.main import people_submissions
from onestory.sample.resources import NHS_NUMBER, SampleSubmission

SEED = 7
Json = dict[str, Any]


class Published(NamedTuple):
    ods: str
    kind: str
    body: bytes
    bundle: Json

    @property
    def resources(self) -> list[Json]:
        return [entry["resource"] for entry in self.bundle["entry"] if "resource" in entry]


@functools.cache
def twenty() -> tuple[Published, ...]:
    return tuple(published(20, SEED))


def published(people: int, seed: int) -> Iterator[Published]:
    """The directory Bundles first, then the Bundles about people."""
    for submission in (*directory_submissions(), *people_submissions(people, seed)):
        yield _read(submission)


@functools.cache
def _said() -> tuple[SampleSubmission, ...]:
    return tuple(people_submissions(20, SEED))


def named(trouble: str) -> list[tuple[SampleSubmission, Json]]:
    """The resources that the manifest names for this trouble, each with its submission. A DELETE has no resource."""
    found = []
    for submission in _said():
        for case in submission.cases:
            if case.trouble == trouble:
                kind, _, local_id = case.resource.partition("/")
                bodies = [entry.get("resource", {}) for entry in json.loads(submission.body)["entry"]]
                matching = [body for body in bodies if (body.get("resourceType"), body.get("id")) == (kind, local_id)]
                found.append((submission, matching[0] if matching else {}))
    return found


def statements_of(kind: str, local_id: str, ods: str) -> list[Json]:
    """Every statement of this resource by this source, in the order of publishing."""
    return [
        resource
        for bundle in twenty()
        for resource in bundle.resources
        if bundle.ods == ods and (resource["resourceType"], resource.get("id")) == (kind, local_id)
    ]


def nhs_number(patient: Json) -> str:
    return next(str(each["value"]) for each in patient["identifier"] if each["system"] == NHS_NUMBER)


def _read(submission: SampleSubmission) -> Published:
    return Published(submission.source.ods, submission.source.kind, submission.body, json.loads(submission.body))
