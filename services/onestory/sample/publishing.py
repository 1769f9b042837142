"""What a source says of one person, wrapped as that source wraps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from onestory.sample import bundles
from onestory.sample.bundles import Case, Submission
from onestory.sample.elements import Json
from onestory.sample.patients import patient
from onestory.sample.voice import Voice


def transact(
    voice: Voice,
    at: datetime,
    resources: Sequence[Json],
    *,
    cases: Sequence[Case] = (),
    complete: Sequence[str] = (),
    deleted: Sequence[Json] = (),
) -> Submission:
    """A transaction. The Patient comes first where the source refers to it as an entry of the same Bundle."""
    known = [patient(voice, at)] if (voice.subject_as or voice.manner.subject) == "entry" else []
    entries = [requested(voice, resource) for resource in (*known, *resources)]
    bundle = bundles.transaction(voice.source, at, [*entries, *deleted], complete=complete)
    return bundles.submission(voice.source, bundle, cases)


def requested(voice: Voice, resource: Json) -> Json:
    """An entry with the request that this system makes: PUT by id, POST, or POST unless the identifier is known."""
    url = voice.address_of(resource)
    if not voice.manner.ids:
        return bundles.post(url, resource, if_none_exist=resource["identifier"][-1])
    return bundles.post(url, resource) if voice.source.system == "systmone" else bundles.put(url, resource)


def collect(voice: Voice, at: datetime, resources: Sequence[Json], *, cases: Sequence[Case] = ()) -> Submission:
    entries = [bundles.entry(voice.address_of(resource), resource) for resource in resources]
    return bundles.submission(voice.source, bundles.collection(voice.source, at, entries), cases)


def case(voice: Voice, trouble: str, resource: Json, note: str) -> Case:
    """An example for the manifest: this resource shows that difficulty."""
    kind = resource["resourceType"]
    if "id" in resource:
        return Case(trouble, voice.nhs_number, voice.source, f"{kind}/{resource['id']}", note)
    named = resource["identifier"][-1]
    label = f"{kind}?identifier={named['system']}|{named['value']}"
    return Case(trouble, voice.nhs_number, voice.source, label, note)
