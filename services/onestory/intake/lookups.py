"""Prepares a submission with what the record knows: shared ids, and the source's earlier statements.

Most submissions ask the record nothing. A shared id is looked up first. Whatever else leads out of the submission is
asked only when the decision has met it; then the decision runs again with the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

from onestory.intake.domain.conditions import NO_CONDITIONS, DecidedConditions
from onestory.intake.domain.earlier import (
    Answer,
    EarlierStatements,
    IdentifiedPatient,
    OwnPatient,
    OwnReference,
    Question,
    SystemQuestion,
)
from onestory.intake.domain.request import KnownResource, SubmissionContext
from onestory.intake.preparation import (
    DecisionInput,
    EventMessages,
    LookupFacts,
    Preparation,
    PreparedDecision,
    PreparedMessages,
    preparation_of,
)
from onestory.intake.store import (
    known_resources,
    own_patients,
    own_targets,
    resources_of_system,
    with_linked_identities,
)
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.identity import PersonIdentifier, person_key_of
from onestory.shared.kafka.ends import TopicEnd
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database
from onestory.shared.visible_positions import VisiblePositions
from onestory.shared.worker_processes import WorkerProcesses

MayRead = Callable[[Caller, str], Awaitable[bool]]
"""Returns whether policy lets a caller read something of the person with this person key."""

CaughtUp = Callable[[], Awaitable[bool]]
"""Returns whether the record shows all that Kafka had when it was called; it waits for that for a moment."""

# A projector that keeps up needs some 50 ms. A publisher waits at most five seconds for an answer.
_CATCH_UP_S = 1.5
# Each of them is a policy decision.
_MAX_FOREIGN_PERSONS = 20
# A first round may ask for persons, the next ones for their resources and for another system, and then one decides.
_MAX_ROUNDS = 5
_NO_END = "The record's answers did not settle this submission. Try again, or send it in smaller parts."


class RecordCatchUp:
    """Waits until the record shows all statements about persons that Kafka has now."""

    def __init__(self, end: TopicEnd, visible: VisiblePositions) -> None:
        self._end = end
        self._visible = visible

    async def __call__(self) -> bool:
        """Return whether the record shows them in time. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                positions = await self._end.last_positions()
        except TimeoutError as error:
            raise Unavailable("Kafka does not answer in time. Try again.") from error
        return await self._visible.reached(positions, _CATCH_UP_S)


class SubmissionPreparer:
    """Prepares submissions. It asks the record whatever a decision needs to know."""

    def __init__(
        self,
        record: Database,
        may_read: MayRead,
        caught_up: CaughtUp,
        messages: EventMessages,
        workers: WorkerProcesses,
    ) -> None:
        self._record = record
        self._may_read = may_read
        self._caught_up = caught_up
        self._messages = messages
        self._workers = workers

    @asynccontextmanager
    async def preparation_of(self, body: bytes, caller: Caller) -> AsyncIterator[Preparation]:
        """Choose where a body is prepared. Raises `Unavailable` when too many large bodies wait."""
        name = f"{caller.organisation}/{caller.system}"
        async with preparation_of(body, name, self._messages, self._workers) as preparation:
            yield preparation

    async def decider(
        self,
        preparation: Preparation,
        facts: LookupFacts,
        context: SubmissionContext,
        caller: Caller,
        *,
        traceparent: str = "",
        as_event: bool = False,
    ) -> SubmissionDecider:
        """Return what decides a parsed submission. Raises `Unavailable`."""
        known = await self._known(facts, context, caller)
        given = DecisionInput(context, known, EarlierStatements(), traceparent, as_event)
        return SubmissionDecider(preparation, given, self._answered)

    async def _known(self, facts: LookupFacts, context: SubmissionContext, caller: Caller) -> dict[str, KnownResource]:
        """Return the resources behind shared ids that are the caller's own, or about people whom the caller may read.

        A shared id of anybody else looks like one that the record does not know.
        """
        asked = facts.shared_ids
        known = await known_resources(self._record, asked)
        own = {key for key, each in known.items() if each.source.organisation == context.source.organisation}
        readable = await self._readable({person_key_of(shared_id) for shared_id in asked - own}, caller)
        known = {key: each for key, each in known.items() if key in own or person_key_of(key) in readable}
        if judged := facts.judged_ids & known.keys():
            known |= await with_linked_identities(self._record, {shared_id: known[shared_id] for shared_id in judged})
        return known

    async def _readable(self, person_keys: set[str], caller: Caller) -> set[str]:
        if len(person_keys) > _MAX_FOREIGN_PERSONS:
            raise Unprocessable(
                f"This submission names more than {_MAX_FOREIGN_PERSONS} persons by ids of other sources. Send "
                "Patient/<NHS number>, or several submissions.",
                code="too-costly",
            )
        # Unknown persons are asked for as well, so that the time tells nothing.
        return {person_key for person_key in sorted(person_keys) if await self._may_read(caller, person_key)}

    async def _answered(
        self, earlier: EarlierStatements, asked: Mapping[Question, Answer], context: SubmissionContext
    ) -> EarlierStatements | None:
        """Return the answers to what a decision asked; None when they would not change the decision.

        Checks are asked only with other questions, and wait for nothing: most submissions need no answer.
        """
        unanswered = earlier.unanswered(asked)
        checks = [each for each in unanswered if earlier.is_check(asked[each])]
        questions = [each for each in unanswered if not earlier.is_check(asked[each])]
        if not questions:
            return None
        patients = [each for each in questions if isinstance(each, OwnPatient | IdentifiedPatient)]
        targets = {each: cast(str, asked[each]) for each in questions if isinstance(each, OwnReference)}
        systems = [each for each in questions if isinstance(each, SystemQuestion)]
        if (patients or systems) and not await self._caught_up():
            # The newest statement about this Patient may name another person.
            raise Unavailable(
                "The record is behind, so it cannot tell yet who your Patient is, or what another system stated. Try "
                "again, or send the NHS number."
            )
        source, keys = context.source, context.deployment.keys
        all_patients = [*patients, *(each for each in checks if isinstance(each, OwnPatient | IdentifiedPatient))]
        persons = await own_patients(self._record, all_patients, source, keys)
        places = await own_targets(self._record, targets, source, keys)
        found = {each: await resources_of_system(self._record, each, source.organisation) for each in systems}
        as_assumed = all(places[question] == targets[question] for question in targets)
        as_assumed = as_assumed and all(person in (None, asked[question]) for question, person in persons.items())
        if as_assumed and not any(found.values()):
            return None
        return EarlierStatements(
            {**earlier.patients, **persons}, {**earlier.targets, **places}, {**earlier.systems, **found}
        )


Answers = Callable[
    [EarlierStatements, Mapping[Question, Answer], SubmissionContext], Awaitable[EarlierStatements | None]
]


class SubmissionDecider:
    """Decides one submission, with what the record answers to its questions."""

    def __init__(self, preparation: Preparation, given: DecisionInput, answers: Answers) -> None:
        self._preparation = preparation
        self._given = given
        self._answers = answers

    @property
    def context(self) -> SubmissionContext:
        """The circumstances of the submission."""
        return self._given.context

    async def decide(self, conditions: DecidedConditions = NO_CONDITIONS) -> PreparedMessages:
        """Return what is ready to send. Raises the error that refuses the submission, or `Unavailable`."""
        return (await self._decision(conditions)).result()

    async def scopes(self, conditions: DecidedConditions) -> Mapping[int, PersonIdentifier | None]:
        """Return where the resource of each condition would be: the person, or None for the directory."""
        # A decision asks the questions whose answers say who the persons are.
        await self._decision(conditions)
        return await self._preparation.scopes(replace(self._given, conditions=conditions))

    async def _decision(self, conditions: DecidedConditions) -> PreparedDecision:
        for _ in range(_MAX_ROUNDS):
            decision = await self._preparation.decide(replace(self._given, conditions=conditions))
            answered = await self._answers(self._given.earlier, decision.asked, self.context)
            if answered is None:
                return decision
            self._given = replace(self._given, earlier=answered)
        # A decision without an answer would stand on a guess.
        raise Unavailable(_NO_END)
