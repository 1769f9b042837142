"""`onestory admin references`: lists statements whose references an earlier release may have misread; corrects them.

An earlier release resolved `Type/id` in a Bundle by type and id alone, so a statement may be on the wrong person's
record, or name the wrong medicine. `correct` and `quarantine` send events, so a rebuild gives the same record.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
from rich.console import Console

from onestory.admin import medicines
from onestory.admin.readers import (
    Readers,
    find_person_key,
    format_time,
    parse_moment,
    readers_as_json,
    readers_table,
    tally_readers,
)
from onestory.intake.preparation import EventMessages
from onestory.record.parking import store as parking_store
from onestory.record.person.moved import MovedResource
from onestory.record.references import store as references_store
from onestory.record.references.domain import (
    CONTAINED,
    NOT_IN_DIRECTORY,
    ONE_NAME,
    StoredStatement,
    SuspectStatement,
    corrected,
    quarantined,
)
from onestory.record.references.store import Scope
from onestory.shared import settings
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.events import RecordChanged
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier, is_nhs_number
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import check_reachable
from onestory.shared.kafka.producer import Producer
from onestory.shared.kafka.schemas import topics
from onestory.shared.settings import Settings

_TIMEOUT_S = 30.0
_WHY = {
    ONE_NAME: "another entry of the submission may have had this name",
    CONTAINED: "two contained resources have this id",
    NOT_IN_DIRECTORY: "the directory lacks it, the source has it on this record",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`references` lists; `references correct` and `references quarantine` change. `medicines` loads a dm+d release."""
    tasks = parser.add_subparsers(dest="task", metavar="references|medicines", required=True)
    medicines.add_task(tasks)
    references = tasks.add_parser(
        "references", help="list statements whose references an earlier release may have misread; correct them"
    )
    references.add_argument("--person", metavar="NHS|KEY", help="statements on this person's record")
    references.add_argument("--source", metavar="ODS", help="statements of this organisation")
    references.add_argument("--since", type=parse_moment, metavar="TIME", help="statements from this time on")
    references.add_argument("--json", action="store_true", help="print a JSON list")
    actions = references.add_subparsers(dest="action", metavar="correct|quarantine")
    correct = actions.add_parser("correct", help="state a resource again, for its right person or with right targets")
    correct.add_argument("statement", metavar="TYPE/ID", help="the statement, as the list shows it")
    correct.add_argument("--to-person", metavar="NHS", help="the NHS number of the person whom it is about")
    correct.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a reference as it stands, and its right target (may be repeated)",
    )
    correct.add_argument("--reason", required=True, help="shown in the statement's meta.tag")
    quarantine = actions.add_parser(
        "quarantine", help="take statements off a record until their source sends them again"
    )
    quarantine.add_argument("statements", nargs="+", metavar="TYPE/ID", help="the statements, as the list shows them")
    quarantine.add_argument("--reason", required=True, help="shown to the source in the statement's meta.tag")


def run(arguments: argparse.Namespace) -> int:
    """List or change statements. Raises errors that `main` prints as one sentence, with exit code 1."""
    config = settings.read()
    if arguments.task == medicines.TASK:
        return medicines.run(arguments, config)
    with parking_store.open_connection(config.postgres) as connection:
        if arguments.action is None:
            _list(connection, config, arguments)
            return 0
        settings.require(config, "key_secret")
        keys, now = Keys(config.key_secret.encode()), datetime.now(UTC)
        if arguments.action == "correct":
            statement = _standing(connection, arguments.statement)
            person = _person(arguments.to_person) if arguments.to_person else statement.person
            replaced = _replacements(arguments.reference)
            if not replaced and person == statement.person:
                raise Malformed("Nothing would change. Send --to-person or --reference.", code="required")
            events = [corrected(statement, person, replaced, arguments.reason, now, keys)]
        else:
            statements = [_standing(connection, name) for name in arguments.statements]
            events = [quarantined(statement, arguments.reason, now, keys) for statement in statements]
    _send(config, keys, events)
    for event in events:
        entry = event.entries[0]
        print(f"Sent event {event.event_id}: {entry.operation} {entry.resource_type}/{entry.shared_id}")
    if any(event.person.system != NHS_NUMBER_SYSTEM for event in events) or arguments.action == "correct":
        print("`onestory record moved` lists what left a person's record, and who had read it there.")
    return 0


def _list(connection: psycopg.Connection, config: Settings, arguments: argparse.Namespace) -> None:
    person_key = find_person_key(connection, arguments.person)
    found = [
        suspect
        for suspect in references_store.suspect_statements(connection, Scope(arguments.source, arguments.since))
        if person_key in (None, suspect.statement.person_key)
    ]
    resources = [_readable(suspect) for suspect in found]
    tally = tally_readers(config, resources)
    listed = [(suspect, tally.readers(resource)) for suspect, resource in zip(found, resources, strict=True)]
    if arguments.json:
        print(json.dumps([_as_json(suspect, readers) for suspect, readers in listed], indent=2))
    else:
        _print(listed)


def _readable(suspect: SuspectStatement) -> MovedResource:
    """Return the statement as a resource that readers saw from its time until now."""
    statement = suspect.statement
    return MovedResource(
        statement.person_key,
        statement.person_key,
        statement.resource_type,
        statement.shared_id,
        statement.source.organisation,
        suspect.references[0].why,
        statement.broker_time,
        datetime.now(UTC),
    )


def _standing(connection: psycopg.Connection, name: str) -> StoredStatement:
    kind, _, shared_id = name.partition("/")
    statement = references_store.standing_statement(connection, kind, shared_id)
    if statement is None:
        raise NotFound(f"{name} is not on a record now. Only a current statement can be corrected.")
    return statement


def _person(number: str) -> PersonIdentifier:
    if not is_nhs_number(number):
        raise Malformed("--to-person must be an NHS number with a correct check digit.", code="value")
    return PersonIdentifier(NHS_NUMBER_SYSTEM, number)


def _replacements(texts: Sequence[str]) -> dict[str, str]:
    """Return the new target of each reference by its old one. Raises `Malformed` when a reference has two targets."""
    replaced: dict[str, str] = {}
    for old, new in map(_replacement, texts):
        if replaced.setdefault(old, new) != new:
            raise Malformed(f"--reference {old} has two targets. Send one target for each reference.", code="value")
    return replaced


def _replacement(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and "/" in new) or '"' in text:
        raise Malformed("--reference must be OLD=NEW, such as Medication/a=Medication/b.", code="value")
    return old, new


def _send(config: Settings, keys: Keys, events: Sequence[RecordChanged]) -> None:
    # kafka-python logs each attempt to connect. One sentence at the end is enough.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    check_reachable(config.kafka)
    messages = EventMessages(create_codec(config.schema_registry_url), keys, topics())
    sender = Producer(config.kafka, timeout_s=_TIMEOUT_S, client_id="onestory-references", prefix=config.topic_prefix)
    with closing(sender) as producer:
        asyncio.run(producer.send([messages.message(event, "") for event in events]))


def _as_json(suspect: SuspectStatement, readers: Readers) -> dict[str, Any]:
    statement = suspect.statement
    return {
        "person_key": statement.person_key,
        "resource": statement.name,
        "source": f"{statement.source.organisation}/{statement.source.system}",
        "published_at": statement.published_at.isoformat(),
        "stands": statement.stands,
        "references": [
            {"path": found.path, "leads_to": found.reference, "why": found.why, "may_mean": list(found.instead)}
            for found in suspect.references
        ],
        "readers": readers_as_json(readers),
    }


def _print(listed: Sequence[tuple[SuspectStatement, Readers]]) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if not listed:
        console.print("No statement has a reference that an earlier release may have misread.")
    for suspect, readers in listed:
        statement = suspect.statement
        source = f"{statement.source.organisation}/{statement.source.system}"
        state = "on the record now" if statement.stands else "not on the record now"
        console.print(f"{statement.name} of {source}, published {format_time(statement.published_at)}, {state}")
        for found in suspect.references:
            console.print(f"  {found.path} leads to {found.reference}: {_WHY[found.why]}")
            console.print(f"    it may mean {', '.join(found.instead)}")
        console.print(readers_table(readers))
