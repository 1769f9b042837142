"""Required codes and decimals, checked at the speed of the JSON parser.

`msgspec` decodes a resource into a Struct that has only the elements which lead to a required code or a decimal; all
else it skips. What does not fit stops it, with the element's path.
"""

from __future__ import annotations

import sys
from functools import cache, reduce
from operator import or_
from types import ModuleType
from typing import Any, Literal

import msgspec

from onestory.shared.fhir.definitions import definitions, resource_types

# The types refer to each other in circles. msgspec looks such names up in the module that a Struct says it is from.
_HOME = "onestory.shared.fhir.strict_decoder.of_types"


@cache
def decoder(resource_type: str) -> msgspec.json.Decoder[Any]:
    """Raises `msgspec.ValidationError` on a resource of this type with a code or decimal that cannot be."""
    return msgspec.json.Decoder(vars(_structs())[_name(resource_type)])


@cache
def _structs() -> ModuleType:
    home = ModuleType(_HOME)
    known = definitions()
    for value_set, codes in known.codes.items():
        setattr(home, _code_name(value_set), Literal[codes])
    for kind, elements in known.types.items():
        setattr(home, _name(kind), _struct(kind, elements))
    every = (vars(home)[_name(kind)] for kind in sorted(resource_types()))
    vars(home)["Any_Resource"] = reduce(or_, every)
    sys.modules[_HOME] = home
    return home


def _struct(kind: str, elements: Any) -> type[msgspec.Struct]:
    # A Bundle's entries are checked one by one, each under its own path.
    checked = {name: what for name, what in elements.items() if (kind, name) != ("Bundle.entry", "resource")}
    checked |= {"extension": "Extension[]", "modifierExtension": "Extension[]"}
    return msgspec.defstruct(
        _name(kind),
        [(f"f_{name}", _annotation(what), None) for name, what in checked.items()],
        rename={f"f_{name}": name for name in checked},
        module=_HOME,
        gc=False,
        tag_field="resourceType" if kind in resource_types() else None,
        tag=kind if kind in resource_types() else None,
    )


def _annotation(what: str) -> Any:
    one = what.removesuffix("[]")
    if one.startswith("code:"):
        name = _code_name(one.removeprefix("code:"))
    else:
        name = {"decimal": "float", "*": "Any_Resource"}.get(one) or _name(one)
    # null stands in an array of codes where an extension takes the place of one.
    return f"list[{name} | None] | None" if what.endswith("[]") else f"{name} | None"


def _name(kind: str) -> str:
    return "T_" + kind.replace(".", "__")


def _code_name(value_set: str) -> str:
    return "code_" + value_set.replace("-", "_")
