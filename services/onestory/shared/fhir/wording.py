"""What the validator found, in our words: how to mend it, and never with a value from the resource.

The validator's own messages quote what they refuse, and a refusal may end in a log, a report or a ticket.
"""

from __future__ import annotations

import re

from onestory.shared.errors import Issue

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
