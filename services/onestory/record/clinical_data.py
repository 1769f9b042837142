"""Reads the clinical data files of `schemas/merge` and `schemas/summary`, and says which of them nobody has reviewed.

Each file has a `status`, an `owner` and its `content`. The status is `reviewed` when a clinician, who is named as the
owner, has signed it; until then it is `not reviewed`, and the owner is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import _lru_cache_wrapper, cache
from typing import Any, TypeVar

import yaml

from onestory.shared.errors import Misconfigured
from onestory.shared.kafka.schemas import schemas_folder

FOLDERS = ("merge", "summary")
"""The folders of `schemas` whose files decide what a reader is told."""
NOT_REVIEWED = "not reviewed"
REVIEWED = "reviewed"
Table = TypeVar("Table")
# The same loader in C, where PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TABLES: list[Callable[[], object]] = []


def clinical_table(read: Callable[[], Table]) -> _lru_cache_wrapper[Table]:
    """A decorator for a function that makes a table of clinical data files: made once, at the latest when needed."""
    table = cache(read)
    _TABLES.append(table)
    return table


def make_clinical_tables() -> None:
    """Makes all tables, so that no reader waits for them and a wrong file stops the start. Raises `Misconfigured`."""
    for make in _TABLES:
        make()


def read_clinical_data(name: str) -> Any:
    """The content of a file such as `merge/allergens`. Raises `Misconfigured` if its status or owner is not clear."""
    return _read(name)["content"]


def alternatives(words: Iterable[str]) -> str:
    """An expression for any of the words, the longest first; a space stands for any white space. Empty for no words."""
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    return "|".join(r"\s+".join(map(re.escape, word.split())) for word in longest_first)


def unreviewed_files() -> tuple[str, ...]:
    """The names of the files that no clinician has signed, sorted."""
    folder = schemas_folder()
    names = sorted(f"{each}/{path.stem}" for each in FOLDERS for path in (folder / each).glob("*.yaml"))
    return tuple(name for name in names if _read(name)["status"] != REVIEWED)


def _read(name: str) -> dict[str, Any]:
    file = yaml.load((schemas_folder() / f"{name}.yaml").read_text(), Loader=_LOADER)  # noqa: S506  # the safe loader
    expected = {"status", "owner", "content"}
    if not isinstance(file, dict) or file.keys() != expected:
        raise Misconfigured(f"schemas/{name}.yaml needs status, owner and content, and nothing else.")
    status, owner = file["status"], file["owner"]
    if not ((status, owner) == (NOT_REVIEWED, "") or (status == REVIEWED and isinstance(owner, str) and owner)):
        raise Misconfigured(
            f"schemas/{name}.yaml needs the status `{REVIEWED}` with the name of the clinician as owner, "
            f"or `{NOT_REVIEWED}` with an empty owner."
        )
    return file
