"""Care networks and their members, with dates, as the directory states them. Pure.

A membership is an OrganizationAffiliation with the code `member` (http://hl7.org/fhir/R4/organizationaffiliation.html).
Membership opens records, so only the word of a directory authority counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """An organisation (ODS code) is a member of a network, from `starts_at` until before `ends_at`.

    None as a start or an end is an open one. A membership that is not `active` was withdrawn: it never counts, and
    still shows that the directory decides for the organisation.
    """

    network: str
    organisation: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    active: bool = True

    def is_in_force(self, at: datetime) -> bool:
        """Return whether the membership counts at this moment."""
        has_begun = self.starts_at is None or self.starts_at <= at
        return self.active and has_begun and (self.ends_at is None or at < self.ends_at)


class Networks:
    """The networks of organisations at any time.

    `fallback` maps the ODS code of a practice to its network (setting ONESTORY_NETWORKS). It counts only for a practice
    of which the directory has never stated a membership, so that a deployment can load its directory while it runs.
    """

    def __init__(self, memberships: Iterable[Membership] = (), fallback: Mapping[str, str] | None = None) -> None:
        self._by_organisation: dict[str, list[Membership]] = {}
        for membership in memberships:
            self._by_organisation.setdefault(membership.organisation, []).append(membership)
        self._fallback = {
            organisation: frozenset([network])
            for organisation, network in (fallback or {}).items()
            if network and organisation not in self._by_organisation
        }

    def networks_of(self, organisation: str, at: datetime) -> frozenset[str]:
        """Return the networks of which an organisation is a member at this moment."""
        stated = self._by_organisation.get(organisation)
        if stated is None:
            return self._fallback.get(organisation, frozenset())
        return frozenset(membership.network for membership in stated if membership.is_in_force(at))

    def networks_of_caller(self, organisation: str, claimed: str, at: datetime) -> frozenset[str]:
        """Return the networks for which a caller acts. `claimed` is the network in its token; empty: none.

        The directory decides for an organisation whose membership it has ever stated. For any other one the token's
        issuer does.
        """
        if organisation in self._by_organisation:
            return self.networks_of(organisation, at)
        return frozenset([claimed]) if claimed else frozenset()

    @property
    def organisations(self) -> Collection[str]:
        """The organisations that are or were a member of a network."""
        return self._by_organisation.keys() | self._fallback.keys()


NO_NETWORKS = Networks()
