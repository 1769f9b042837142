"""The people to ring: next of kin, attorneys, emergency contacts, carers, key workers; and the teams that care.

They stand in the Patient, in RelatedPersons, in the participants of CareTeams, and as actors of Consents. IPS has no
section for them, so this one has a code of OneStory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact, Statement
from onestory.record.person.sources_words import words_in
from onestory.record.summary import sources, wording
from onestory.record.summary.around import actor, places_around, role_rank, role_words
from onestory.record.summary.confidentiality import marks
from onestory.record.summary.header import contact_points
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import Row, paragraph, strong, table, text
from onestory.record.summary.person import human_name
from onestory.record.summary.section import ONESTORY_SECTIONS, Section
from onestory.record.summary.sections.about_me import next_period_end, period_end
from onestory.record.summary.values import period_text
from onestory.shared.fhir.dates import NEVER, parse_date
from onestory.shared.fhir.json import concept_texts, object_of, objects_at, text_at, text_of

_COLUMNS = ("Name", "Role", "Phone", "Who says so")
_TEAM_COLUMNS = ("Team", "Who", "Phone", "Who says so")
_TYPES = ("RelatedPerson", "CareTeam", "EpisodeOfCare")
_UNNAMED = "Name not given"


class KeyContact(NamedTuple):
    """A person to ring, as XHTML-free text; `said` are paragraphs of XHTML. `marks` are confidential marks."""

    name: str
    roles: tuple[str, ...]
    rank: int
    phones: tuple[str, ...]
    said: tuple[str, ...]
    marks: tuple[str, ...] = ()


def contacts(record: SummaryRecord) -> Section | None:
    """Contacts, the most useful first, then the teams; None if there are none."""
    everyone = list(record.facts(*_TYPES))
    current = [fact for fact in everyone if _is_current(record, fact)]
    people = _joined([*_of_patient(record), *_of_facts(record, current), *_of_consents(record)])
    rows = [_contact_row(each) for each in sorted(people, key=lambda each: (each.rank, each.name.casefold()))]
    teams = [fact for fact in current if fact.resource_type != "RelatedPerson"]
    told = {(role.casefold(), frozenset(_numbers(each.phones))) for each in people for role in each.roles}
    team_rows = [row for fact in wording.newest_first(record, teams) if (row := _team_row(record, fact, told))]
    tables = table("Contacts", _COLUMNS, rows) + table("Teams that care for the person", _TEAM_COLUMNS, team_rows)
    remark = wording.omitted_remark(len(everyone) - len(current), "are no longer contacts or teams")
    if not (tables or remark):
        return None
    return Section(
        "contacts",
        "Contacts and teams",
        tables + (paragraph(remark) if remark else ""),
        entries=tuple(
            (sources.referenced_ids(record, each)[0], (sources.fact_extension(record, each),)) for each in current
        ),
        system=ONESTORY_SECTIONS,
        valid_until=min([next_period_end(record, fact) for fact in current], default=NEVER),
    )


def _is_current(record: SummaryRecord, fact: Fact) -> bool:
    content = record.shown(fact).content
    if fact.resource_type == "RelatedPerson":
        return content.get("active") is not False and period_end(content) > record.at
    in_use = text_at(content, "status") in ("", "active", "onhold", "suspended")
    return in_use and period_end(content) > record.at


def _of_patient(record: SummaryRecord) -> Iterator[KeyContact]:
    for each in objects_at(record.patient, "contact"):
        if _is_in_use(record, each):
            yield _contact(record, each, human_name(object_of(each, "name")), "Demographic record")
    for word in words_in(record.patient):
        if word.element != "contact":
            continue
        for value in word.values:
            each = _as_contact(value)
            if _is_in_use(record, each):
                name = human_name(object_of(each, "name"))
                yield _contact(record, each, name, record.organisation_name(word.organisation))


def _is_in_use(record: SummaryRecord, contact: Mapping[str, Any]) -> bool:
    known = parse_date(text_at(contact, "period", "end"))
    return known is None or known.end > record.at


def _as_contact(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A contact of a Patient, from the inner extensions in which a source's word is shown."""
    found: dict[str, Any] = {"relationship": [], "telecom": []}
    for part in objects_at(value, "extension"):
        name = text_of(part, "url")
        member = next((member for key, member in part.items() if key.startswith("value")), None)
        if name in ("relationship", "telecom"):
            found[name].append(member)
        else:
            found[name] = member
    return found


def _contact(record: SummaryRecord, holder: Mapping[str, Any], name: str, said: str) -> KeyContact:
    concepts = objects_at(holder, "relationship")
    by = text_at(holder, "organization", "display")
    return KeyContact(
        name or by or _UNNAMED,
        tuple(filter(None, map(role_words, concepts))),
        role_rank(concepts),
        tuple(contact_points(holder, record.at)),
        (text(said),),
    )


def _of_facts(record: SummaryRecord, current: Iterable[Fact]) -> Iterator[KeyContact]:
    for fact in current:
        said = tuple(sources.source_paragraphs(record, fact))
        statement = record.shown(fact)
        content = statement.content
        own = _marks(record, fact)
        if fact.resource_type == "RelatedPerson":
            names = [name for each in objects_at(content, "name") if (name := human_name(each))]
            contact = _contact(record, content, names[0] if names else "", "")
            speaks = [f"speaks {each}" for each in concept_texts(content, "communication", "language")]
            yield contact._replace(said=said, roles=(*contact.roles, *speaks), marks=own)
        elif fact.resource_type == "CareTeam":
            yield from (each._replace(marks=own) for each in _key_workers(record, statement, said))
        elif manager := actor(record, statement, object_of(content, "careManager")):
            yield KeyContact(manager.name, ("Care manager",), _KEY_WORKER, tuple(manager.phones), said, own)


_KEY_WORKER = 3
"""The place of key workers among the roles."""


def _is_key_worker(participant: Mapping[str, Any]) -> bool:
    """Whether a member of a team has a role in which they are a contact."""
    return role_rank(objects_at(participant, "role")) < len(places_around().roles)


def _key_workers(record: SummaryRecord, statement: Statement, said: tuple[str, ...]) -> Iterator[KeyContact]:
    team_phones = contact_points(statement.content, record.at)
    for participant in objects_at(statement.content, "participant"):
        concepts = objects_at(participant, "role")
        rank = role_rank(concepts)
        member = actor(record, statement, object_of(participant, "member"))
        if member and _is_key_worker(participant) and period_end(participant) > record.at:
            roles = (*map(role_words, concepts), text_at(statement.content, "name"))
            yield KeyContact(member.name, tuple(filter(None, roles)), rank, tuple(member.phones or team_phones), said)


def _of_consents(record: SummaryRecord) -> Iterator[KeyContact]:
    """The people whom a decision in force names, such as an attorney."""
    for fact in record.facts("Consent"):
        statement = record.shown(fact)
        if text_at(statement.content, "status") not in ("", "active"):
            continue
        said = tuple(sources.source_paragraphs(record, fact))
        for each in objects_at(statement.content, "provision", "actor"):
            role = object_of(each, "role")
            rank = role_rank([role])
            named = actor(record, statement, object_of(each, "reference"))
            if named and rank < len(places_around().roles):
                yield KeyContact(named.name, (role_words(role),), rank, tuple(named.phones), said, _marks(record, fact))


def _joined(found: Iterable[KeyContact]) -> list[KeyContact]:
    """One contact for each person: the same name, and no phone of one that the other lacks altogether."""
    joined: list[KeyContact] = []
    by_name: dict[str, list[int]] = {}
    for each in found:
        places = by_name.setdefault(each.name.casefold(), [])
        same = next((at for at in places if each.name != _UNNAMED and _may_be_same(joined[at], each)), None)
        if same is None:
            places.append(len(joined))
            joined.append(each)
        else:
            joined[same] = _both(joined[same], each)
    return joined


def _may_be_same(one: KeyContact, other: KeyContact) -> bool:
    first, second = _numbers(one.phones), _numbers(other.phones)
    return not first or not second or bool(first & second)


def _numbers(phones: Sequence[str]) -> set[str]:
    return {digits for each in phones if (digits := "".join(filter(str.isdigit, each)))}


def _both(one: KeyContact, other: KeyContact) -> KeyContact:
    known = _numbers(one.phones)
    phones = [*one.phones, *(each for each in other.phones if not _numbers([each]) & known)]
    roles = {each.casefold().replace("-", " "): each for each in (*other.roles, *one.roles)}
    return KeyContact(
        one.name,
        tuple(sorted(roles.values(), key=lambda role: role_rank([{"text": role}]))),
        min(one.rank, other.rank),
        tuple(phones),
        tuple(dict.fromkeys([*one.said, *other.said])),
        tuple(dict.fromkeys([*one.marks, *other.marks])),
    )


def _contact_row(contact: KeyContact) -> Row:
    roles, phones = ([text(each) for each in words] for words in (contact.roles, contact.phones))
    marked = [strong(text(each)) for each in contact.marks]
    return Row(([strong(text(contact.name)), *marked], roles, phones, contact.said))


def _marks(record: SummaryRecord, fact: Fact) -> tuple[str, ...]:
    return tuple(marks([each.content for each in record.valid_statements(fact)]))


def _team_row(record: SummaryRecord, fact: Fact, told: Set[tuple[str, frozenset[str]]]) -> Row | None:
    """The row of a team; None if a contact says all of it. `told`: the roles of contacts with their numbers."""
    statement = record.shown(fact)
    content = statement.content
    kinds = [*concept_texts(content, "category"), *concept_texts(content, "type")]
    owners = [*objects_at(content, "managingOrganization"), *objects_at(content, "team")]
    by = [found.name for each in owners if (found := actor(record, statement, each))]
    name = text_at(content, "name") or next(iter([*kinds, *by]), "") or record.organisation_of(statement)
    # Who stands among the contacts by their role is not repeated.
    others = [each for each in objects_at(content, "participant") if not _is_key_worker(each)]
    who = [text(_participant(record, statement, each)) for each in others]
    more = [text(each) for each in dict.fromkeys([*kinds, *by]) if each != name]
    since = [text(period_text(content.get("period")))]
    what = [strong(text(name)), *(strong(text(each)) for each in _marks(record, fact)), *more, *since]
    phones = [text(each) for each in contact_points(content, record.at)]
    is_told = (name.casefold(), frozenset(_numbers(contact_points(content, record.at)))) in told
    if is_told and not any([*who, *more, *since]):
        return None
    return Row((what, [each for each in who if each], phones, sources.source_paragraphs(record, fact)))


def _participant(record: SummaryRecord, statement: Statement, participant: Mapping[str, Any]) -> str:
    member = actor(record, statement, object_of(participant, "member"))
    roles = ", ".join(filter(None, map(role_words, objects_at(participant, "role"))))
    return f"{member.name} ({roles})" if member and roles else member.name if member else ""
