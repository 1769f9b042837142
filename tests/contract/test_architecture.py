"""The architecture contracts hold, name every pure module, and fail when they should. Files keep their size limits."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "services"
SERVICES = ("intake", "record", "referral")
PURITY = "Pure modules import no Kafka, SQL, HTTP or logging"
IMPURE = {
    *("kafka", "psycopg", "asyncpg", "starlette", "httpx", "structlog", "logging", "prometheus_client", "uvicorn"),
    *(
        "asyncio",
        "threading",
        "concurrent",
        "os",
        "pathlib",
        "signal",
        "socket",
        "subprocess",
        "time",
        "argparse",
        "yaml",
    ),
}
# Modules that read checked-in data or settings once. Pure modules may use what they return.
DATA_READERS = {
    "onestory.record.clinical_data",
    "onestory.record.merge.rules",
    "onestory.record.summary.model",
    "onestory.referral.bars.definitions",
    "onestory.shared.fhir.definitions",
    "onestory.shared.fhir.strict_decoder",
    "onestory.shared.kafka.schemas",
    "onestory.shared.settings",
}
# Migrations that were applied under one number before numbers had to be unique.
SHARED_NUMBERS = {
    "0008_judgements.sql",
    "0008_local_identifiers.sql",
    "0008_standing_judgements.sql",
    "0002_directory.sql",
    "0002_persons.sql",
    "0002_same_person.sql",
}


def modules() -> dict[str, Path]:
    """Each module of `services` by its dotted name, without `__init__`."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts): path
        for path in SOURCE.rglob("*.py")
        if path.name != "__init__.py"
    }


@cache
def imports() -> dict[str, set[str]]:
    """The imports of each module: modules of `services` by full name, other packages by their first part."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    inner = full if full in known else node.module
                    found[name].add(inner if inner in known else node.module.partition(".")[0])
    return found


def pure_modules() -> set[str]:
    """Modules that import no impure module, directly or through other modules. Data readers do not count as impure."""
    candidates = {name: needed for name, needed in imports().items() if name not in DATA_READERS}
    impure = {name for name, needed in candidates.items() if needed & IMPURE}
    while more := {name for name, needed in candidates.items() if needed & impure} - impure:
        impure |= more
    return {name for name in candidates if name not in impure and name.split(".")[1] in SERVICES}


def purity_contract() -> set[str]:
    """The modules that the contract in pyproject.toml names."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (modules,) = [contract["source_modules"] for contract in contracts if contract["name"] == PURITY]
    return set(modules)


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with our contracts over the packages in `source`."""
    tool = str(Path(sys.executable).with_name("lint-imports"))
    command = [tool, "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)


def test_the_purity_contract_names_every_pure_module() -> None:
    assert len(pure_modules()) > 70
    assert sorted(pure_modules() - purity_contract()) == []
    assert sorted(purity_contract() - modules().keys()) == []


@pytest.mark.parametrize("module", ["onestory.record.merge.engine", "onestory.intake.domain.owner"])
def test_the_purity_contract_fails_when_a_pure_module_imports_psycopg(module: str, tmp_path: Path) -> None:
    shutil.copytree(SOURCE / "onestory", tmp_path / "onestory", ignore=shutil.ignore_patterns("__pycache__"))
    broken = tmp_path / f"{module.replace('.', '/')}.py"
    broken.write_text(broken.read_text() + "\nimport psycopg\n")

    ran = lint(tmp_path)

    assert ran.returncode == 1
    printed = " ".join(ran.stdout.split())
    assert f"{PURITY} BROKEN" in printed
    assert f"{module} -> psycopg" in printed


def test_services_and_operators_commands_do_not_need_the_embedded_stack() -> None:
    reached = {name for name in modules() if name.split(".")[1] in {*SERVICES, "shared", "admin"}}

    assert {
        (name, needed) for name in reached for needed in imports()[name] if needed.startswith("onestory.local")
    } == set()


def test_no_class_name_is_defined_twice() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(name)

    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_files_keep_their_limits() -> None:
    assert len(list(SOURCE.rglob("*.py"))) <= 480
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


@pytest.mark.parametrize("service", ["record", "referral", "intake"])
def test_numbers_of_migrations_are_unique(service: str) -> None:
    names = sorted(path.name for path in (SOURCE / "onestory" / service / "migrations").glob("*.sql"))
    numbers = [name[:4] for name in names if name not in SHARED_NUMBERS]

    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)
    assert len(numbers) == len(set(numbers))
    assert {name[:4] for name in SHARED_NUMBERS if name in names}.isdisjoint(numbers)
