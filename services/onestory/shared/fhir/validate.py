"""Whether bytes are FHIR R4: the validator's rules (`fhirkit`), and ours for what it does not look at.

It checks JSON, elements, cardinality and the form of values (http://hl7.org/fhir/R4/json.html). We add: codes with a
required binding, decimals that no reader can hold, ids, empty objects, what `contained` may hold, control characters,
and names spelled with escapes, behind which a reference could hide from whoever reads bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import fhirkit
import msgspec

from onestory.shared.errors import Issue, Malformed, Unprocessable
from onestory.shared.fhir.definitions import definitions, resource_types
from onestory.shared.fhir.outcome import MOST_ISSUES
from onestory.shared.fhir.strict_decoder import decoder

# What the validator found, in our words: how to mend it, and never with a value from the resource.
#
# The validator's own messages quote what they refuse, and a refusal may end in a log, a report or a ticket.

_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(\[\d+\])*")
_QUOTED = re.compile(
    r"""(?:".*"|'.*'|\S+) is (?P<rest>not an? (?:valid )?[A-Za-z0-9]+(?: \([^)]*\))?|outside .*|not a FHIR \w+)""", re.S
)
_PARSER_WORDS = re.compile(
    r"(?:line \d+, column \d+: )?"
    r"(?:expected|unexpected|nested|lone|control|invalid|object keys|NaN|unknown|unterminated)[^\"0-9]*"
)
_WORDS = {
    "unknown element": ("structure", "FHIR R4 has no such element here: leave it out, or send it as an extension."),
    "required element missing": ("required", "FHIR R4 requires this element: add it."),
    "the key appears more than once": ("structure", "The same element appears more than once: send it once."),
    "a resource needs a resourceType": ("structure", "A resource needs a resourceType: say what it is."),
}


def issue(path: str, message: str) -> Issue:
    """One finding of the validator as an issue."""
    if message.endswith("resource type this build knows"):
        return Issue("structure", "This is no FHIR R4 resource type: check resourceType.", _parent_of_type(path))
    code, diagnostics = _WORDS.get(message) or _reworded(message)
    return Issue(code, diagnostics, expression(path))


def unreadable(message: str) -> str:
    """What the JSON parser stumbled over, without the text that it stumbled over."""
    if message.startswith("not UTF-8"):
        return "The body is not UTF-8."
    match = _PARSER_WORDS.fullmatch(message)
    return f"The body is not JSON: {match[0] if match else 'it cannot be read'}."


def expression(path: str) -> str:
    """The validator's path as FHIRPath. A name that nobody in FHIR would use is left out: it may be content."""
    steps = path.replace("[x]", "").split(".")
    kept = []
    for step in steps:
        if not _STEP.fullmatch(step):
            break
        kept.append(step)
    return ".".join(kept)


def _parent_of_type(path: str) -> str:
    # At the top the validator's path is the unknown type itself.
    return (expression(path) if "." in path else "") or "Resource"


def _reworded(message: str) -> tuple[str, str]:
    match = _QUOTED.fullmatch(message)
    if match:
        return "value", f"The value is {match['rest']}: correct it, or leave the element out."
    if message.startswith(("expected", "only one type", "null", "an empty")) and '"' not in message:
        return "structure", f"{message[0].upper()}{message[1:]}."
    return "value", "The value is not as FHIR R4 defines it: correct it, or leave the element out."


_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MOST_FOUND = 10_000
_EMPTY = re.compile(rb"\{\s*\}")
_COMMENTS = re.compile(rb'"fhir_comments"\s*:')
_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?', re.S)
_CONTROL = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:u00(?:0[0-8bcefBCEF]|1[0-9a-fA-F])|[bf])")
_WHERE = re.compile(r"at `\$(?P<path>.*)`$")


def is_id(text: str) -> bool:
    """Whether this has the form of a Resource.id (http://hl7.org/fhir/R4/datatypes.html#id)."""
    return _ID.fullmatch(text) is not None


def validate(body: bytes) -> list[Issue]:
    """What is wrong with the whole body, a resource or a Bundle.

    Raises `Malformed` when it cannot be read at all, and `Unprocessable` when there is no end to what is wrong.
    """
    try:
        found = fhirkit.validate(body)
    except fhirkit.ParseError as error:
        raise Malformed(unreadable(str(error))) from error
    errors = [each for each in found if each.severity == "error"]
    if len(errors) > _MOST_FOUND:
        first = [issue(each.path, each.message) for each in errors[: MOST_ISSUES + 1]]
        raise Unprocessable(first[0].diagnostics, issues=first)
    twice = {each.path for each in found if each.message == "the key appears more than once"}
    issues = [
        issue(each.path, each.message)
        for each in errors
        if not (each.path in twice and each.message == "unknown element")
    ]
    if issues and b"/STU3/StructureDefinition/" in body:
        says = "A profile or extension in it is of FHIR STU3, and only FHIR R4 is read here: send it as R4."
        issues.insert(0, Issue("not-supported", says, issues[0].expression.partition(".")[0]))
    # Also where something else is wrong: of a batch, the other entries are taken.
    return [*issues, *_unreadable_text(body)]


def check(raw: bytes | msgspec.Raw, resource_type: str, path: str) -> list[Issue]:
    """What is wrong with one valid resource by our own rules. `path` is where it stands: `Bundle.entry[3].resource`."""
    return [*_unfit(raw, resource_type, path), *_empty(raw, path)]


def check_concepts(resource_type: str, element: str, raw: bytes | msgspec.Raw, path: str) -> list[Issue]:
    """A CodeableConcept with a required binding must hold one of its codes (`Condition.clinicalStatus`)."""
    allowed = definitions().concepts.get(f"{resource_type}.{element}")
    if allowed is None:
        return []
    codings = msgspec.json.decode(raw, type=_Concept).coding
    if any(f"{coding.system}|{coding.code}" in allowed for coding in codings):
        return []
    return [Issue("code-invalid", "None of these codes is one that FHIR R4 requires here.", f"{path}.{element}")]


class _CheckedCoding(msgspec.Struct):
    system: str | None = None
    code: str | None = None


class _Concept(msgspec.Struct):
    coding: list[_CheckedCoding] = []


def check_contained(raw: bytes | msgspec.Raw, path: str) -> list[Issue]:
    """Contained resources have ids, contain nothing themselves (dom-2), and are no Bundle: people could hide there."""
    issues = []
    for index, resource in enumerate(msgspec.json.decode(raw)):
        at = f"{path}.contained[{index}]"
        if not is_id(str(resource.get("id", ""))):
            issues.append(Issue("value", "A contained resource needs an id: 1 to 64 of A-Z a-z 0-9 - .", f"{at}.id"))
        if "contained" in resource:
            issues.append(Issue("invariant", "What is contained may not contain again.", f"{at}.contained"))
        if resource["resourceType"] in ("Bundle", "Parameters"):
            issues.append(Issue("not-supported", "A Bundle or Parameters cannot be contained here.", at))
    return issues


def _unreadable_text(body: bytes) -> Iterator[Issue]:
    if _may_hold_control(body) and _CONTROL.search(body):
        for at in _places(_texts(body), _type_of(body), _holds_control):
            says = "A string may hold no control characters but tab, line feed and carriage return."
            yield Issue("value", says, expression(at))
    if b"\\u" in body and any(name and b"\\" in text for text, name in _STRING.findall(body)):
        yield Issue("structure", "Write the names of elements without escapes.", _type_of(body))
    if b'"fhir_comments"' in body and _COMMENTS.search(body):
        yield Issue("structure", "FHIR R4 has no fhir_comments: leave them out.", _type_of(body))


def _type_of(body: bytes) -> str:
    resource = _texts(body)
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) and kind in resource_types() else "Resource"


def _texts(body: bytes) -> Any:
    # Numbers that no reader can hold have not been refused yet: they stay what was written.
    return json.loads(body, parse_int=str, parse_float=str)


def _may_hold_control(body: bytes) -> bool:
    return b"\\u00" in body or b"\\b" in body or b"\\f" in body


def _holds_control(value: Any) -> bool:
    return isinstance(value, str) and any(character < " " and character not in "\t\n\r" for character in value)


def _unfit(raw: bytes | msgspec.Raw, resource_type: str, path: str) -> Iterator[Issue]:
    try:
        decoder(resource_type).decode(raw)
    except msgspec.ValidationError as error:
        where = _WHERE.search(str(error))
        at = f"{path}{where['path']}" if where else path
        if "enum" in str(error):
            yield Issue("code-invalid", "FHIR R4 requires a code of its own value set here: send one of those.", at)
        else:
            yield Issue("value", "The value is outside of what readers can hold: correct it.", at)


def _empty(raw: bytes | msgspec.Raw, path: str) -> Iterator[Issue]:
    if _EMPTY.search(raw):
        for at in _places(msgspec.json.decode(raw), path, lambda value: value == {}):
            yield Issue("structure", "An empty object says nothing: leave the element out (ele-1).", at)


def _places(value: Any, path: str, is_wrong: Callable[[Any], bool]) -> Iterator[str]:
    """The paths of what is wrong. The validator has bounded the depth."""
    if is_wrong(value):
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, f"{path}.{key}", is_wrong)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, f"{path}[{index}]", is_wrong)
