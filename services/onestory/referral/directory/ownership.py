"""Decides which organisation owns a DoS service id. Pure.

Any organisation may publish a team with any DoS service id. Only the owner's teams are found by it: a later claim
neither blocks nor replaces the owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

CLAIM_KINDS = ("dos-service-id", "practice-served")


class RefusedClaim(NamedTuple):
    """A claim of an active team that does not count; `kind` is one of `CLAIM_KINDS`."""

    kind: str
    team_id: str
    organisation: str


class DosClaim(NamedTuple):
    """A row of `dos_claim`: a statement of a team with its DoS service id; empty: the statement names none."""

    shared_id: str
    event_id: UUID
    organisation: str
    published_at: datetime
    dos_service_id: str


def first_claimant(dos_service_id: str, claims: Iterable[DosClaim]) -> str | None:
    """Return the organisation that owns the id by these claims; None if it has no owner.

    `claims` are all statements of all teams that ever named the id, in any order. The first organisation that names it
    owns it until none of its teams does. Another one that named it meanwhile has to state it again after that: so no
    organisation can lie in wait for an id.
    """
    owner: str | None = None
    teams_of_owner: set[str] = set()
    for claim in sorted(claims, key=lambda each: (each.published_at, each.event_id)):
        if claim.dos_service_id == dos_service_id and owner in (None, claim.organisation):
            owner = claim.organisation
            teams_of_owner.add(claim.shared_id)
        elif claim.shared_id in teams_of_owner:
            teams_of_owner.remove(claim.shared_id)
            owner = owner if teams_of_owner else None
    return owner
