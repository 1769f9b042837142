"""The operations of a conversation take their defined parameters and write valid FHIR."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from fhir.resources.R4B.communication import Communication
from fhir.resources.R4B.servicerequest import ServiceRequest
from tests.unit.referral.conversing import advice, converted, said

from onestory.referral.conversation import domain as conversation_domain
from onestory.referral.conversation.api import CONVERT_PARAMETERS, MESSAGE_PARAMETERS
from onestory.referral.conversation.conversion import MAY_CONVERT_EXTENSION
from onestory.referral.conversation.domain import AUTHOR_EXTENSION, Category
from onestory.referral.lifecycle.model import Side
from onestory.referral.lifecycle.render import resource_content
from onestory.shared.fhir.validate import check_resource, validate
from onestory.shared.kafka.schemas import schemas_folder


def definition(kind: str, name: str) -> dict[str, Any]:
    body = (schemas_folder() / "fhir" / f"{kind}-{name}.json").read_bytes()
    assert check_resource(body, kind, kind) == []
    said: dict[str, Any] = orjson.loads(body)
    return said


@pytest.mark.parametrize(("name", "takes"), [("message", MESSAGE_PARAMETERS), ("convert", CONVERT_PARAMETERS)])
def test_an_operation_takes_what_it_is_defined_to_take(name: str, takes: tuple[str, ...]) -> None:
    defined = definition("OperationDefinition", f"task-{name}")

    assert (defined["code"], defined["resource"], defined["instance"]) == (name, ["Task"], True)
    assert tuple(each["name"] for each in defined["parameter"] if each["use"] == "in") == takes


def test_a_messages_codes_are_those_that_are_taken() -> None:
    system = definition("CodeSystem", "referral-message")

    assert system["url"] == conversation_domain.MESSAGE_CATEGORY_SYSTEM
    assert [each["code"] for each in system["concept"]] == list(Category)


@pytest.mark.parametrize(
    ("url", "where"), [(AUTHOR_EXTENSION, "Communication"), (MAY_CONVERT_EXTENSION, "ServiceRequest")]
)
def test_an_extension_is_defined_where_it_is_used(url: str, where: str) -> None:
    defined = definition("StructureDefinition", url.rpartition("/")[2])

    assert defined["url"] == url
    assert defined["context"] == [{"type": "element", "expression": where}]


def test_what_is_said_is_valid_fhir() -> None:
    question = said(advice(), Side.RECIPIENT, Category.QUESTION)
    answer = said(question.referral, Side.REQUESTER, Category.ANSWER)

    for changed in (question, answer):
        (body,) = [
            resource_content(changed, each) for each in changed.resources if each.resource_type == "Communication"
        ]
        assert validate(body) == []
        assert check_resource(body, "Communication", "Communication") == []
        Communication.model_validate(orjson.loads(body))


def test_a_referral_that_was_made_of_advice_is_valid_fhir() -> None:
    question = said(advice(), Side.RECIPIENT, Category.QUESTION)

    _, made = converted(question.referral, Side.REQUESTER)

    (body,) = [resource_content(made, each) for each in made.resources if each.resource_type == "ServiceRequest"]
    assert validate(body) == []
    ServiceRequest.model_validate(orjson.loads(body))
