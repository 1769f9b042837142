"""What referrals let a caller read: who sent them from within the network of then, and the parts of what was sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from onestory.record.person.identifiers import PersonRef
from onestory.record.read import store as read_store
from onestory.record.read.person_reader import PersonReader
from onestory.record.read.store import CurrentEntry
from onestory.shared.fhir.references import literal_references
from onestory.shared.networks import Networks
from onestory.shared.policy import Caller, Decision, PersonReferral, PolicySubject, SentContent, is_within_network
from onestory.shared.postgres.database import Database

# These say nothing without the resources that they name: results, parts of a document, entries of a list.
_WHOLES = {"DiagnosticReport", "DocumentReference", "Composition", "List"}


async def as_referred(
    persons: PersonReader, ref: PersonRef, caller: Caller, subject: PolicySubject, networks: Networks
) -> PolicySubject:
    """The same facts, where each referral of the caller's organisation says whether it came from within the network of
    the practice where the person was registered when it was sent. Raises `Unavailable`.
    """
    referrals = [
        await _judged(persons, ref, referral, networks) if referral.concerns(caller.organisation) else referral
        for referral in subject.referrals
    ]
    return replace(subject, referrals=tuple(referrals))


async def _judged(
    persons: PersonReader, ref: PersonRef, referral: PersonReferral, networks: Networks
) -> PersonReferral:
    openers = []
    for opener in referral.openers:
        if opener.sent_at is not None:
            practice = await persons.registered_practice(await persons.load(ref, opener.sent_at))
            was_within = is_within_network(opener.organisation, practice, networks, opener.sent_at)
            openers.append(replace(opener, was_within=was_within))
    return replace(referral, openers=tuple(openers) or referral.openers)


async def with_parts(database: Database, decision: Decision, entries: Sequence[CurrentEntry]) -> Decision:
    """The same decision, where a report, document or list that was sent brings the resources that it names.

    Raises `Unavailable`.
    """
    if not decision.content.items:
        return decision
    sent = [
        entry
        for entry in entries
        if entry.resource_type in _WHOLES and decision.content.has(entry.shared_id, entry.organisation)
    ]
    if not sent:
        return decision
    return replace(
        decision, content=content_with_parts(decision.content, await read_store.with_contents(database, sent))
    )


def content_with_parts(content: SentContent, wholes: Collection[CurrentEntry]) -> SentContent:
    """The content with the resources that these sent entries name, each as sent by those who sent the whole."""
    parts = {
        (name, sender)
        for whole in wholes
        for _, name in literal_references([whole.content or b""])
        for shared_id, sender in content.items
        if shared_id == whole.shared_id
    }
    return replace(content, items=content.items | parts)
