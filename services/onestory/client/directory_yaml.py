"""Reads a directory that is written in YAML, and gives it as FHIR R4 resources. Pure.

`docs/guides/directory.md` shows the form. A name that is not known is refused with its place: a slip of the keyboard
must not lose a practice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from onestory.client.directory_parts import PARTS, checked, date_text, instant, items_of, local_id_of, ods_code, period
from onestory.shared.errors import Malformed
from onestory.shared.identity import DOS_SERVICE_SYSTEM, ODS_CODE_SYSTEM, SDS_USER_SYSTEM

Json = dict[str, Any]

ONESTORY = "https://onestory.nhs.uk"
CARE_NETWORK = f"{ONESTORY}/Id/care-network"
_ORGANISATION_KIND, _TEAM_KIND = f"{ONESTORY}/CodeSystem/organisation-kind", f"{ONESTORY}/CodeSystem/team-kind"
_EXTENSION = f"{ONESTORY}/StructureDefinition"
_JOB_ROLE = "https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName"
_ROLES = "http://hl7.org/fhir/organization-role"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def to_resources(document: Any, place: str) -> list[Json]:
    """Return the resources of a document. Raises `Malformed` with the place of what cannot be read."""
    if not isinstance(document, dict):
        raise Malformed(f"{place}: write a mapping with {', '.join(PARTS)}.")
    if unknown := sorted(set(map(str, document)) - set(PARTS)):
        raise Malformed(f"{place}: unknown part {unknown[0]}. Write one of {', '.join(PARTS)}.")
    makers: Mapping[str, Callable[[Json, str], Iterator[Json]]] = {
        "organisations": _organisation,
        "networks": _network,
        "teams": _team,
        "roles": _role,
        "successions": _succession,
        "providers": _provider,
    }
    resources = [
        resource
        for part in PARTS
        for item, where in items_of(document, part, place)
        for resource in makers[part](item, where)
    ]
    counts = Counter((resource["resourceType"], resource["id"]) for resource in resources)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise Malformed(f"{place}: {'/'.join(twice[0])} stands there twice. Give each its own id.")
    return resources


def _organisation(item: Json, where: str) -> Iterator[Json]:
    ods = ods_code(item["ods"], f"{where}.ods")
    yield _without_empty(
        resourceType="Organization",
        id=f"organisation-{ods}",
        identifier=[_identifier(ODS_CODE_SYSTEM, ods)],
        active=item.get("active", True),
        type=[_concept(_ORGANISATION_KIND, item["kind"])] if "kind" in item else [],
        name=item["name"],
    )


def _network(item: Json, where: str) -> Iterator[Json]:
    code = local_id_of(item["code"], f"{where}.code")
    yield {
        "resourceType": "Organization",
        "id": f"network-{code}",
        "identifier": [_identifier(CARE_NETWORK, code)],
        "active": item.get("active", True),
        "type": [_concept(_ORGANISATION_KIND, "network")],
        "name": item["name"],
    }
    members = [
        ({"practice": each} if isinstance(each, str) else each, f"{where}.members[{index}]")
        for index, each in enumerate(item.get("members", []))
    ]
    for member, place in members:
        checked(member, "members", place)
    times = Counter(member["practice"] for member, _ in members)
    for member, place in members:
        practice = ods_code(member["practice"], f"{place}.practice")
        again = f"-{member.get('from', 'first')}" if times[member["practice"]] > 1 else ""
        yield _without_empty(
            resourceType="OrganizationAffiliation",
            id=local_id_of(f"member-{practice}-{code}{again}", place),
            active=True,
            period=period(member, place),
            organization=_logical("Organization", CARE_NETWORK, code),
            participatingOrganization=_logical("Organization", ODS_CODE_SYSTEM, practice),
            code=[_concept(_ROLES, "member")],
        )


def _provider(item: Json, where: str) -> Iterator[Json]:
    practice, provider = (
        ods_code(item["practice"], f"{where}.practice"),
        ods_code(item["provider"], f"{where}.provider"),
    )
    yield _without_empty(
        resourceType="OrganizationAffiliation",
        id=f"serves-{practice}-{provider}",
        active=True,
        period=period(item, where),
        organization=_logical("Organization", ODS_CODE_SYSTEM, practice),
        participatingOrganization=_logical("Organization", ODS_CODE_SYSTEM, provider),
        code=[_concept(_ROLES, "provider")],
        healthcareService=[_team_reference(str(each)) for each in item.get("services", [])],
    )


def _team(item: Json, where: str) -> Iterator[Json]:
    local_id, organisation = (
        local_id_of(item["id"], f"{where}.id"),
        ods_code(item["organisation"], f"{where}.organisation"),
    )
    if "place" in item:
        yield _without_empty(
            resourceType="Location",
            id=f"place-{local_id}",
            status="active",
            name=item["place"],
            address={"postalCode": item["postcode"]} if "postcode" in item else {},
            managingOrganization=_logical("Organization", ODS_CODE_SYSTEM, organisation),
        )
    yield _without_empty(
        resourceType="HealthcareService",
        id=local_id,
        extension=[*_team_extensions(item, where), *_successors(item, where)],
        identifier=[_identifier(DOS_SERVICE_SYSTEM, str(item["dos"]))] if "dos" in item else [],
        active=item.get("active", True),
        providedBy=_logical("Organization", ODS_CODE_SYSTEM, organisation),
        category=[_concept(_TEAM_KIND, item["kind"])] if "kind" in item else [],
        location=[{"reference": f"Location/place-{local_id}"}] if "place" in item else [],
        name=item["name"],
        telecom=[{"system": name, "value": str(item[name])} for name in ("phone", "email") if name in item],
        eligibility=[{"comment": item["eligibility"]}] if "eligibility" in item else [],
        availableTime=[_opening(each, where) for each, where in items_of(item, "open", where)],
    )
    yield from _slots(item, local_id, where)


def _slots(item: Json, local_id: str, where: str) -> Iterator[Json]:
    """The Schedule and the Slots of a team: the times that it offers."""
    slots = list(items_of(item, "slots", where))
    if slots:
        actor = [{"reference": f"HealthcareService/{local_id}"}]
        yield {"resourceType": "Schedule", "id": f"schedule-{local_id}", "active": True, "actor": actor}
    for slot, place in slots:
        start, end = (instant(slot[name], f"{place}.{name}") for name in ("start", "end"))
        yield {
            "resourceType": "Slot",
            "id": local_id_of(f"slot-{local_id}-{start:%Y%m%d%H%M}", place),
            "schedule": {"reference": f"Schedule/schedule-{local_id}"},
            "status": slot.get("status", "free"),
            "start": start.isoformat(),
            "end": end.isoformat(),
        }


def _team_extensions(item: Json, where: str) -> Iterator[Json]:
    if "network" in item:
        yield {"url": f"{_EXTENSION}/team-network", "valueString": str(item["network"])}
    for index, practice in enumerate(item.get("serves", [])):
        served = _identifier(ODS_CODE_SYSTEM, ods_code(practice, f"{where}.serves[{index}]"))
        yield {"url": f"{_EXTENSION}/practice-served", "valueIdentifier": served}
    if "escalation" in item:
        contact = checked(item["escalation"], "escalation", f"{where}.escalation")
        telecom = [{"system": name, "value": str(contact[name])} for name in ("phone", "email") if name in contact]
        value = _without_empty(name=contact.get("name"), telecom=telecom)
        yield {"url": f"{_EXTENSION}/escalation-contact", "valueContactDetail": value}


def _successors(item: Json, where: str) -> Iterator[Json]:
    for successor, place in items_of(item, "succeeded_by", where):
        reference = (
            {"reference": f"HealthcareService/{local_id_of(successor['team'], place)}"}
            if "team" in successor
            else _logical("HealthcareService", DOS_SERVICE_SYSTEM, str(successor.get("dos", "")))
        )
        yield _succeeded_by(reference, None, successor, place)


def _succession(item: Json, where: str) -> Iterator[Json]:
    old, new = (ods_code(item[name], f"{where}.{name}") for name in ("practice", "successor"))
    ends, follows = (_logical("Organization", ODS_CODE_SYSTEM, code) for code in (old, new))
    yield {
        "resourceType": "Organization",
        "id": f"succession-{old}-{new}",
        "extension": [_succeeded_by(follows, ends, item, where)],
        "active": True,
        "name": f"{old} is succeeded by {new}",
    }


def _succeeded_by(successor: Json, predecessor: Json | None, item: Json, where: str) -> Json:
    parts: list[Json] = [{"url": "successor", "valueReference": successor}]
    if predecessor:
        parts.append({"url": "predecessor", "valueReference": predecessor})
    for practice in item.get("practices", []):
        parts.append({"url": "practice", "valueIdentifier": _identifier(ODS_CODE_SYSTEM, ods_code(practice, where))})
    if "from" in item:
        parts.append({"url": "from", "valueDateTime": date_text(item["from"], f"{where}.from")})
    return {"url": f"{_EXTENSION}/succeeded-by", "extension": parts}


def _role(item: Json, where: str) -> Iterator[Json]:
    user, team = str(item["user"]), str(item["team"])
    weekdays = item.get("weekdays", [])
    if unknown := [day for day in weekdays if day not in _DAYS]:
        raise Malformed(f"{where}.weekdays: {unknown[0]} is no day. Write {', '.join(_DAYS)}.")
    heir = item.get("handed_over_to")
    successor = {"url": "successor", "valueReference": _logical("Practitioner", SDS_USER_SYSTEM, str(heir))}
    yield _without_empty(
        resourceType="PractitionerRole",
        id=local_id_of(item.get("id", f"role-{user}-{team}"), f"{where}.id"),
        extension=[{"url": f"{_EXTENSION}/succeeded-by", "extension": [successor]}] if heir else [],
        active=item.get("active", True),
        period=period(item, where),
        practitioner={**_logical("Practitioner", SDS_USER_SYSTEM, user), "display": item["name"]},
        code=[_concept(_JOB_ROLE, str(item["code"]))] if "code" in item else [],
        healthcareService=[_team_reference(team)],
        availableTime=[{"daysOfWeek": list(weekdays)}] if weekdays else [],
    )


def _team_reference(team: str) -> Json:
    """A DoS service id has digits only; any other text is the id of a team in the files."""
    if team.isdecimal():
        return _logical("HealthcareService", DOS_SERVICE_SYSTEM, team)
    return {"reference": f"HealthcareService/{team}"}


def _opening(item: Json, where: str) -> Json:
    def time(name: str) -> str | None:
        text = item.get(name)
        if text is None:
            return None
        # YAML reads 9:30 without quotes as a number of minutes.
        if not re.fullmatch(r"\d\d:\d\d", str(text)):
            raise Malformed(f"{where}.{name}: write a time in quotes, such as '09:00'.")
        return f"{text}:00"

    return _without_empty(
        daysOfWeek=list(item.get("days", [])), availableStartTime=time("from"), availableEndTime=time("until")
    )


def _identifier(system: str, value: str) -> Json:
    return {"system": system, "value": value}


def _logical(kind: str, system: str, value: str) -> Json:
    return {"type": kind, "identifier": _identifier(system, value)}


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": str(code)}]}


def _without_empty(**elements: Any) -> Json:
    return {name: value for name, value in elements.items() if value not in (None, [], {}, "")}


def refuse_duplicates(resources: Sequence[Json]) -> None:
    """Raise `Malformed` where two files state the same resource."""
    counts = Counter((resource.get("resourceType"), resource.get("id")) for resource in resources)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise Malformed(f"{twice[0][0]}/{twice[0][1]} stands in two files. Keep one.")
