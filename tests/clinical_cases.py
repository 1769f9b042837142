"""The clinical cases of `../shared/clinical-cases`: what each shows of a person, for tests and for a reader.

`python -m tests.clinical_cases 13 106` prints the expectation and the summary of cases; `--json FOLDER` also writes
the documents.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.heard import Person, Published, heard

from onestory.intake.domain.request import Submission
from onestory.record.summary.document import summarise
from onestory.record.summary.narrative import plain_text

CASES = Path(__file__).parents[2] / "shared" / "clinical-cases"
AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""The moment of the cases: their newest statements are of the evening before."""

needs_clinical_cases = pytest.mark.skipif(
    not CASES.is_dir(), reason="the clinical cases (../shared/clinical-cases beside the repository) are not here"
)


def case_numbers() -> list[str]:
    """The numbers of all cases, in order."""
    return sorted((each.name.partition("-")[0] for each in CASES.glob("*/")), key=int)


def people_of(steps: Iterable[Mapping[str, Any]], at: datetime = AT) -> list[Person]:
    """The people that these steps speak of. A step has `org`, `system` and `body`, a FHIR resource."""
    return heard(
        (
            Published(step["org"], step["system"], Submission("POST", json.dumps(step["body"]).encode()))
            for step in steps
        ),
        at,
    )


def case(number: str) -> list[Person]:
    """The people of one case."""
    return people_of(json.loads((_folder(number) / "input.json").read_text()))


def shown(person: Person) -> dict[str, str]:
    """The plain text of each section of the person's summary by its title; "" has the header."""
    document = json.loads(summarise(person.known(), person.at).document)
    composition = document["entry"][0]["resource"]
    sections = {each["title"]: plain_text(each["text"]["div"]) for each in composition["section"]}
    return {"": plain_text(composition["text"]["div"]), **sections}


def shown_case(number: str) -> dict[str, str]:
    """What `shown` gives for the first person of a case."""
    return shown(case(number)[0])


def _folder(number: str) -> Path:
    return next(CASES.glob(f"{int(number):02d}-*/"))


def _print(number: str, page_folder: Path | None) -> None:
    print(f"{'=' * 100}\n{_folder(number).name}\n{(_folder(number) / 'expected.md').read_text()}")
    for place, person in enumerate(case(number)):
        if page_folder:
            document = json.loads(summarise(person.known(), person.at).document)
            (page_folder / f"{number}-{place}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False))
        for title, text in shown(person).items():
            print(f"--- {title or 'Header'}\n{text}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the cases with these numbers; without one, all."""
    parser = argparse.ArgumentParser(prog="python -m tests.clinical_cases", description=__doc__)
    parser.add_argument("numbers", nargs="*", help="numbers of cases")
    parser.add_argument("--json", type=Path, help="a folder for the documents as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.json:
        chosen.json.mkdir(parents=True, exist_ok=True)
    for number in chosen.numbers or case_numbers():
        _print(number, chosen.json)


if __name__ == "__main__":
    main()
