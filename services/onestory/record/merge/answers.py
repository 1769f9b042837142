"""What questionnaires and messages say: answered questions, and what they decide about resuscitation. Pure.

http://hl7.org/fhir/R4/questionnaireresponse.html, http://hl7.org/fhir/R4/communication.html. The words are those of
`schemas/merge/plan-words.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from onestory.shared.fhir.json import concept_text, objects_at, text_at, values_at

QUESTIONNAIRE, MESSAGE = "QuestionnaireResponse", "Communication"
_YES, _NO = ("yes", "y", "true", "in place"), ("no", "n", "false", "not in place")
_MAX_DEPTH = 10


class Answer(NamedTuple):
    """A question with its answer in words; the question is "" for a message."""

    question: str
    answer: str

    def __str__(self) -> str:
        return f"{self.question}: {self.answer}" if self.question else self.answer


def answers(content: Mapping[str, Any]) -> Iterator[Answer]:
    """Yields the answered questions of a QuestionnaireResponse, or the texts of a Communication."""
    if content.get("resourceType") == MESSAGE:
        if text_at(content, "status") != "not-done":
            payload = values_at(content, "payload", "contentString")
            yield from (Answer("", each) for each in payload if isinstance(each, str) and each)
        return
    yield from _of_items(content, _MAX_DEPTH)


def _of_items(holder: Mapping[str, Any], depth: int) -> Iterator[Answer]:
    for item in objects_at(holder, "item") if depth else ():
        question = text_at(item, "text") or text_at(item, "linkId")
        for answer in objects_at(item, "answer"):
            if words := _words(answer):
                yield Answer(question, words)
            yield from _of_items(answer, depth - 1)
        yield from _of_items(item, depth - 1)


def _words(answer: Mapping[str, Any]) -> str:
    found = next((value for name, value in answer.items() if name.startswith("value")), None)
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, Mapping):
        stated = text_at(found, "display") or concept_text(found) or text_at(found, "code")
        return stated or " ".join(part for part in (str(found.get("value", "")), text_at(found, "unit")) if part)
    return str(found) if isinstance(found, str | int | float) else ""


def decision_of_answer(asked: str, said: str, answer: str) -> str:
    """The decision of an answer, by the decisions that the question asks for and that the answer names; "" if none."""
    letters = answer.strip().rstrip(".").casefold()
    if said:
        return said
    if letters in _YES:
        return asked
    return {"cpr": "no-cpr", "no-cpr": "no-cpr-ended"}.get(asked, "") if letters in _NO else asked


def decisions_among(
    content: Mapping[str, Any], decision_in: Callable[[str], str], is_titled: Callable[[str], bool]
) -> Iterator[tuple[Answer, str]]:
    """Yields the answers about resuscitation or a plan, each with its decision; "" if it names none.

    A message counts only where it says that resuscitation is not to be attempted, or was: "for resuscitation?" in a
    question to a colleague decides nothing.
    """
    is_message = content.get("resourceType") == MESSAGE
    for each in answers(content):
        said, asked = decision_in(each.answer), decision_in(each.question)
        letters = each.answer.strip().casefold()
        if is_message:
            if said.startswith("no-cpr"):
                yield each, said
        elif said:
            yield each, said
        elif asked and letters in _YES:
            yield each, asked
        elif asked == "cpr" and letters in _NO:
            yield each, "no-cpr"
        elif letters not in _NO and (is_titled(each.answer) or (is_titled(each.question) and letters)):
            yield each, ""
