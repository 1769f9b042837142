"""Checks codes with a required binding, and decimals, at the speed of the JSON parser.

`msgspec` decodes a resource into a Struct with only the elements that lead to such a code or decimal. It skips all
other elements. A wrong value raises an error with the path of the element.
"""

from __future__ import annotations

import sys
from functools import cache, reduce
from operator import or_
from threading import Lock
from types import ModuleType
from typing import Any, Literal

import msgspec

from onestory.shared.fhir.definitions import definitions, resource_types

# The types refer to each other in circles. msgspec looks up such names in the module that a Struct names.
_MODULE = "onestory.shared.fhir.strict_decoder.of_types"


# While msgspec builds a decoder, another thread could use a type whose fields are not set yet. It ends the process.
_building = Lock()
_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def strict_decoder(resource_type: str) -> msgspec.json.Decoder[Any]:
    """Return a decoder for this type. It raises `msgspec.ValidationError` for an invalid code or decimal."""
    decoder = _decoders.get(resource_type)
    if decoder is None:
        with _building:
            decoder = _decoders.get(resource_type) or msgspec.json.Decoder(vars(_structs())[_name(resource_type)])
            _decoders[resource_type] = decoder
    return decoder


@cache
def _structs() -> ModuleType:
    module = ModuleType(_MODULE)
    known = definitions()
    for value_set, codes in known.codes.items():
        setattr(module, _code_name(value_set), Literal[codes])
    for kind, elements in known.types.items():
        setattr(module, _name(kind), _struct(kind, elements))
    every = (vars(module)[_name(kind)] for kind in sorted(resource_types()))
    vars(module)["Any_Resource"] = reduce(or_, every)
    sys.modules[_MODULE] = module
    return module


def _struct(kind: str, elements: Any) -> type[msgspec.Struct]:
    # The entries of a Bundle are checked one by one, so that each error has the path of its entry.
    checked = {name: element for name, element in elements.items() if (kind, name) != ("Bundle.entry", "resource")}
    checked |= {"extension": "Extension[]", "modifierExtension": "Extension[]"}
    return msgspec.defstruct(
        _name(kind),
        [(f"f_{name}", _annotation(element), None) for name, element in checked.items()],
        rename={f"f_{name}": name for name in checked},
        module=_MODULE,
        gc=False,
        tag_field="resourceType" if kind in resource_types() else None,
        tag=kind if kind in resource_types() else None,
    )


def _annotation(element: str) -> Any:
    one = element.removesuffix("[]")
    if one.startswith("code:"):
        name = _code_name(one.removeprefix("code:"))
    else:
        name = {"decimal": "float", "*": "Any_Resource"}.get(one) or _name(one)
    # An array of codes has null where an extension replaces a code.
    return f"list[{name} | None] | None" if element.endswith("[]") else f"{name} | None"


def _name(kind: str) -> str:
    return "T_" + kind.replace(".", "__")


def _code_name(value_set: str) -> str:
    return "code_" + value_set.replace("-", "_")
