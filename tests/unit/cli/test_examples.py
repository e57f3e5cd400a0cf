"""Every command has examples, and every example is a command line that is understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mlsysops_cli.examples import EXAMPLES
from mlsysops_cli.globals import attach
from mlsysops_cli.main import GROUPS


def commands() -> Iterator[tuple[str, Any]]:
    """Path below ``mls`` and command of everything that can be run."""
    for group, (module, _) in GROUPS.items():
        command: Any = attach(typer.main.get_command(import_module(module).app), group)
        children = getattr(command, "commands", None)
        if children is None:
            yield group, command
        else:
            yield from ((f"{group} {name}", child) for name, child in children.items() if not child.hidden)


COMMANDS = dict(commands())


def test_every_command_has_examples_and_no_example_is_of_another() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(("path", "line"), [(path, line) for path, lines in EXAMPLES.items() for line in lines])
def test_an_example_is_understood(path: str, line: str) -> None:
    found = re.search(rf"\bmls {path}\b(.*?)(\)\"|\)$| \| |$)", line)  # alone, in $(…) or <(…), before a pipe
    assert found, "it is about another command"
    command = COMMANDS[path]
    words = shlex.split(found[1])
    with command.make_context(path, list(words), resilient_parsing=True) as context:
        command.make_parser(context).parse_args(list(words))  # refuses options that there are not


@pytest.mark.parametrize("path", EXAMPLES)
def test_help_ends_with_the_examples(mls: Any, path: str) -> None:
    result = mls(*path.split(), "--help")
    assert result.code == 0
    tail = result.out.partition("Examples:\n")[2]
    assert [line.strip() for line in tail.splitlines() if line.strip()] == list(EXAMPLES[path])


def test_the_list_of_a_group_cuts_no_sentence(mls: Any) -> None:
    for group in GROUPS:
        assert "..." not in mls(group, "--help").out.partition("Commands:")[2]


def test_the_reference_shows_the_examples() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for lines in EXAMPLES.values():
        assert "```sh\n" + "".join(f"{line}\n" for line in lines) + "```" in text
