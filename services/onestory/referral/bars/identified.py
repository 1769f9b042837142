"""SQL of referrals whose person was identified after the first message."""

from __future__ import annotations

from collections.abc import Collection

from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier
from onestory.shared.postgres.database import Queries, Transaction


async def identify(transaction: Transaction, referral_id: str, number_key: str, person: PersonIdentifier) -> None:
    """Stores the NHS number of a referral's person; the first one stays."""
    await transaction.execute(
        """insert into referral.identified_referral (referral_id, number_key, nhs_number) values ($1, $2, $3)
           on conflict (referral_id) do nothing""",
        referral_id,
        number_key,
        person.value,
    )


async def identified_people(queries: Queries, referral_ids: Collection[str]) -> dict[str, PersonIdentifier]:
    """By referral id, the people who were identified later."""
    rows = await queries.fetch(
        "select referral_id, nhs_number from referral.identified_referral where referral_id = any($1::text[])",
        sorted(referral_ids),
    )
    return {row["referral_id"]: PersonIdentifier(NHS_NUMBER_SYSTEM, row["nhs_number"]) for row in rows}


async def former_keys(queries: Queries, number_key: str) -> list[str]:
    """The person keys under which this person has referrals from before the NHS number was known."""
    rows = await queries.fetch(
        "select distinct left(referral_id, 26) as person_key from referral.identified_referral where number_key = $1",
        number_key,
    )
    return [row["person_key"] for row in rows]


async def identified_person(queries: Queries, referral_id: str) -> PersonIdentifier | None:
    """The person of this referral who was identified later; None: the referral's own person stands."""
    return (await identified_people(queries, [referral_id])).get(referral_id)
