"""`onestory <command>`: the table of commands, and the function that runs one."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from onestory.shared.errors import Misconfigured, OneStoryError
from onestory.shared.settings import hide_secrets


class CliCommand(NamedTuple):
    """A command. Its module has `add_arguments(parser)` and `run(args) -> exit code`; it is imported to run."""

    module: str
    help: str


COMMANDS: dict[str, CliCommand] = {
    # processes
    "serve": CliCommand("onestory.serve", "serve the HTTP APIs of one or several services under one base URL"),
    "project": CliCommand("onestory.project", "project the topics of a service into PostgreSQL"),
    "summarise": CliCommand(
        "onestory.record.summary.publisher", "publish the summary of each person whose record changed"
    ),
    "issuer": CliCommand("onestory.local.issuer", "run the development token issuer (embedded stack only)"),
    # set-up
    "topics": CliCommand("onestory.admin.topics", "show or create the Kafka topics that schemas/topics describes"),
    "migrate": CliCommand("onestory.admin.migrate", "bring the PostgreSQL schemas up to date"),
    # for operators
    "parked": CliCommand("onestory.admin.parked", "list parked messages, or replay them"),
    "record": CliCommand(
        "onestory.admin.moved", "list resources that left a person's record, and who had read them there"
    ),
    "admin": CliCommand(
        "onestory.admin.references",
        "correct references that an earlier release may have misread; load a dm+d release of medicines",
    ),
    "rebuild": CliCommand(
        "onestory.admin.rebuild", "build the record again from Kafka, compare it with the live one, and switch"
    ),
    # the embedded stack
    "up": CliCommand("onestory.local.up", "start the embedded stack: Kafka, PostgreSQL and every process"),
    "down": CliCommand("onestory.local.down", "stop the embedded stack"),
    "status": CliCommand(
        "onestory.local.status", "show which processes of the embedded stack run, and their addresses"
    ),
    "logs": CliCommand("onestory.local.logs", "show the logs of the embedded stack"),
    "token": CliCommand("onestory.local.token", "print a demo token"),
    "demo": CliCommand("onestory.local.demo", "start the embedded stack with a synthetic care network"),
    "scenario": CliCommand("onestory.local.scenarios.main", "run an acceptance scenario on the embedded stack"),
    # for publishers
    "publish": CliCommand("onestory.client.publish", "publish FHIR files"),
    "directory": CliCommand(
        "onestory.client.directory", "load a directory from YAML or FHIR files; show it as it was at a date"
    ),
    "sample": CliCommand("onestory.sample.main", "write a synthetic care network as FHIR Bundles"),
    # for teams
    "worklist": CliCommand("onestory.client.worklist", "show the open referrals of a team, and follow changes"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit code is 0 for success, 2 for bad arguments, 130 for Ctrl-C, else 1."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="onestory", description="OneStory: a shared care record.")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    wanted = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.help, description=command.help)
        if name == wanted:
            importlib.import_module(command.module).add_arguments(subparser)
    parsed = parser.parse_args(arguments)
    module = importlib.import_module(COMMANDS[parsed.command].module)
    try:
        return int(module.run(parsed))
    except KeyboardInterrupt:
        return 130
    except (Misconfigured, OneStoryError) as error:
        for issue in error.issues:
            print(f"onestory {parsed.command}: {issue.diagnostics}", file=sys.stderr)
        return 1
    except Exception:
        # A library may quote what it could not read, such as a connection string.
        print(hide_secrets(traceback.format_exc()), end="", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
