"""Validates FHIR R4 JSON: with the rules of the library `fhirkit`, and with rules that it does not have.

The library checks JSON, elements, cardinality and the form of values (http://hl7.org/fhir/R4/json.html). This module
adds: codes with a required binding, decimals out of range, ids, empty objects, the content of `contained`, control
characters, and element names with escapes. Such a name could hide a reference from code that searches the bytes.

The library's messages quote the values that they refuse, and an answer may end in a log or a ticket. So each message is
replaced by a text that gives the remedy and no value of the resource.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any

import fhirkit
import msgspec

from onestory.shared.errors import Issue, Malformed, Unprocessable
from onestory.shared.fhir.definitions import definitions, resource_types
from onestory.shared.fhir.outcome import MAX_ISSUES
from onestory.shared.fhir.strict_decoder import strict_decoder

_MAX_LISTED_ERRORS = 10_000
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(\[\d+\])*")
_QUOTED = re.compile(
    r"""(?:".*"|'.*'|\S+) is (?P<rest>not an? (?:valid )?[A-Za-z0-9]+(?: \([^)]*\))?|outside .*|not a FHIR \w+)""", re.S
)
_PARSER_MESSAGE = re.compile(
    r"(?:line \d+, column \d+: )?"
    r"(?:expected|unexpected|nested|lone|control|invalid|object keys|NaN|unknown|unterminated)[^\"0-9]*"
)
_EMPTY = re.compile(rb"\{\s*\}")
_COMMENTS = re.compile(rb'"fhir_comments"\s*:')
_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?', re.S)
_CONTROL = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:u00(?:0[0-8bcefBCEF]|1[0-9a-fA-F])|[bf])")
_ERROR_PATH = re.compile(r"at `\$(?P<path>.*)`$")
# Messages of the library, and the code and text of the issue.
_TEXTS = {
    "unknown element": ("structure", "FHIR R4 has no such element here. Remove it, or send it as an extension."),
    "required element missing": ("required", "FHIR R4 requires this element. Add it."),
    "the key appears more than once": ("structure", "The same element appears more than once. Send it once."),
    "a resource needs a resourceType": ("structure", "The resource has no resourceType. Add it."),
}


def is_fhir_id(text: str) -> bool:
    """Return whether this has the form of a Resource.id (http://hl7.org/fhir/R4/datatypes.html#id)."""
    return _ID.fullmatch(text) is not None


def validate(body: bytes) -> list[Issue]:
    """Return the issues of a whole body, a resource or a Bundle.

    Raises `Malformed` when it cannot be parsed, and `Unprocessable` when it has more than 10,000 errors.
    """
    try:
        findings = fhirkit.validate(body)
    except fhirkit.ParseError as error:
        raise Malformed(_parse_error(str(error))) from error
    errors = [finding for finding in findings if finding.severity == "error"]
    if len(errors) > _MAX_LISTED_ERRORS:
        first = [_issue(finding) for finding in errors[: MAX_ISSUES + 1]]
        raise Unprocessable(first[0].diagnostics, issues=first)
    repeated = {finding.path for finding in findings if finding.message == "the key appears more than once"}
    issues = [
        _issue(finding) for finding in errors if not (finding.path in repeated and finding.message == "unknown element")
    ]
    if issues and b"/STU3/StructureDefinition/" in body:
        text = "The resource uses a profile or extension of FHIR STU3. Send it as FHIR R4."
        issues.insert(0, Issue("not-supported", text, issues[0].expression.partition(".")[0]))
    # Check the text even after other errors: in a batch the valid entries are still accepted.
    return [*issues, *_text_issues(body)]


def check_resource(raw: bytes | msgspec.Raw, resource_type: str, path: str) -> list[Issue]:
    """Return the issues of one resource that the library accepts. `path` is its path: `Bundle.entry[3].resource`."""
    return [*_code_issues(raw, resource_type, path), *_empty_objects(raw, path)]


def check_concept_binding(resource_type: str, element: str, raw: bytes | msgspec.Raw, path: str) -> list[Issue]:
    """Return an issue unless a CodeableConcept with a required binding has one of its codes.

    An example of such an element is `Condition.clinicalStatus`.
    """
    allowed = definitions().concepts.get(f"{resource_type}.{element}")
    if allowed is None:
        return []
    codings = msgspec.json.decode(raw, type=_Concept).coding
    if any(f"{coding.system}|{coding.code}" in allowed for coding in codings):
        return []
    return [
        Issue(
            "code-invalid",
            "The element has no code of the value set that FHIR R4 requires here. Add one.",
            f"{path}.{element}",
        )
    ]


class _CheckedCoding(msgspec.Struct):
    system: str | None = None
    code: str | None = None


class _Concept(msgspec.Struct):
    coding: list[_CheckedCoding] = []


def check_contained(raw: bytes | msgspec.Raw, path: str) -> list[Issue]:
    """Return the issues of contained resources.

    Each one needs an id that no other one has, and must not contain another one (dom-2). A Bundle or Parameters could
    hide a Patient, so they are refused.
    """
    issues = []
    earlier: set[str] = set()
    for index, resource in enumerate(msgspec.json.decode(raw)):
        at = f"{path}.contained[{index}]"
        if not is_fhir_id(str(resource.get("id", ""))):
            issues.append(
                Issue(
                    "value",
                    "The contained resource has no valid id. Send 1 to 64 of the characters A-Z a-z 0-9 - .",
                    f"{at}.id",
                )
            )
        elif resource["id"] in earlier:
            text = "Another contained resource has this id, so a reference could mean both. Give each its own id."
            issues.append(Issue("duplicate", text, f"{at}.id"))
        earlier.add(str(resource.get("id")))
        if "contained" in resource:
            issues.append(
                Issue(
                    "invariant", "A contained resource must not contain another resource. Remove it.", f"{at}.contained"
                )
            )
        if resource["resourceType"] in ("Bundle", "Parameters"):
            issues.append(Issue("not-supported", "A contained Bundle or Parameters is not supported. Remove it.", at))
    return issues


def _issue(finding: fhirkit.Issue) -> Issue:
    """Return one finding of the library as an issue."""
    if finding.message.endswith("resource type this build knows"):
        return Issue(
            "structure", "FHIR R4 has no such resource type. Correct resourceType.", _parent_of_type(finding.path)
        )
    code, diagnostics = _TEXTS.get(finding.message) or _reworded(finding.message)
    return Issue(code, diagnostics, _expression(finding.path))


def _parse_error(message: str) -> str:
    """Return the error of the JSON parser without any text of the body."""
    if message.startswith("not UTF-8"):
        return "The body is not UTF-8."
    match = _PARSER_MESSAGE.fullmatch(message)
    return f"The body is not JSON: {match[0] if match else 'it cannot be read'}."


def _expression(path: str) -> str:
    """Return the library's path as FHIRPath, up to the first name that is no FHIR name: it may be content."""
    return ".".join(takewhile(_STEP.fullmatch, path.replace("[x]", "").split(".")))


def _parent_of_type(path: str) -> str:
    # At the top level the library's path is the unknown type itself.
    return (_expression(path) if "." in path else "") or "Resource"


def _reworded(message: str) -> tuple[str, str]:
    match = _QUOTED.fullmatch(message)
    if match:
        return "value", f"The value is {match['rest']}. Correct it, or remove the element."
    if message.startswith(("expected", "only one type", "null", "an empty")) and '"' not in message:
        return "structure", f"{message[0].upper()}{message[1:]}."
    return "value", "The value does not follow FHIR R4. Correct it, or remove the element."


def _text_issues(body: bytes) -> Iterator[Issue]:
    if _may_hold_control(body) and _CONTROL.search(body):
        for at in _paths_of(_parsed(body), _type_of(body), _holds_control):
            text = "The string has a control character. Only tab, line feed and carriage return are allowed."
            yield Issue("value", text, _expression(at))
    if b"\\u" in body and any(is_name and b"\\" in text for text, is_name in _STRING.findall(body)):
        yield Issue(
            "structure", "The name of an element has a backslash escape. Write it without escapes.", _type_of(body)
        )
    if b'"fhir_comments"' in body and _COMMENTS.search(body):
        yield Issue("structure", "FHIR R4 has no fhir_comments. Remove them.", _type_of(body))


def _type_of(body: bytes) -> str:
    resource = _parsed(body)
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) and kind in resource_types() else "Resource"


def _parsed(body: bytes) -> Any:
    # Numbers out of range are refused later, so here numbers stay text.
    return json.loads(body, parse_int=str, parse_float=str)


def _may_hold_control(body: bytes) -> bool:
    return b"\\u00" in body or b"\\b" in body or b"\\f" in body


def _holds_control(value: Any) -> bool:
    return isinstance(value, str) and any(character < " " and character not in "\t\n\r" for character in value)


def _code_issues(raw: bytes | msgspec.Raw, resource_type: str, path: str) -> Iterator[Issue]:
    try:
        strict_decoder(resource_type).decode(raw)
    except msgspec.ValidationError as error:
        match = _ERROR_PATH.search(str(error))
        at = f"{path}{match['path']}" if match else path
        if "enum" in str(error):
            yield Issue(
                "code-invalid",
                "The code is not in the value set that FHIR R4 requires here. Send one of its codes.",
                at,
            )
        else:
            yield Issue("value", "The number is out of range. Correct it.", at)


def _empty_objects(raw: bytes | msgspec.Raw, path: str) -> Iterator[Issue]:
    if _EMPTY.search(raw):
        for at in _paths_of(msgspec.json.decode(raw), path, lambda value: value == {}):
            yield Issue("structure", "The object is empty. Remove the element (ele-1).", at)


def _paths_of(value: Any, path: str, is_wrong: Callable[[Any], bool]) -> Iterator[str]:
    """Yield the path of each value that `is_wrong`. The library has limited the depth before."""
    if is_wrong(value):
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths_of(item, f"{path}.{key}", is_wrong)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths_of(item, f"{path}[{index}]", is_wrong)
