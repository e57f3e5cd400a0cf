"""The skeleton of `mls`: help, lazy groups, global options, completion."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.main import GROUPS

Golden = Callable[[str, str], None]

#: What a group's help must not import: each costs more than the help itself.
HEAVY = (
    "pydantic",
    "kubernetes",
    "ansible",
    "ansible_runner",
    "httpx",
    "jinja2",
    "rich",
    "yaml",
    "ruamel",
    "aiohttp",
    "mlsysops_core.model",
)
#: Groups whose module is there; all of them in a complete checkout.
PRESENT = [name for name, (module, _) in GROUPS.items() if importlib.util.find_spec(module)]
OWN = ["apps", "infra", "ml", "manage", "agent", "context", "completion"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in PRESENT)], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom mlsysops_cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == "[]"
    assert run.stdout


def test_looking_at_an_application_needs_no_pydantic_and_no_rich(mls: Any) -> None:
    code = (
        "import sys\nfrom mlsysops_cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 6, end.code\n"
        "print([name for name in ('pydantic', 'rich', 'kubernetes') if name in sys.modules])\n"
    )
    environment = {**os.environ, "MLS_CONFIG": str(mls.directory / "none")}
    command = [sys.executable, "-c", code, "apps", "get-app-status", "shop"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == "[]"


def _pages() -> list[tuple[str, ...]]:
    from importlib import import_module

    import typer.main

    pages: list[tuple[str, ...]] = [()]
    for name in OWN:
        pages.append((name,))
        command: Any = typer.main.get_command(import_module(GROUPS[name][0]).app)
        pages += [(name, verb) for verb, child in getattr(command, "commands", {}).items() if not child.hidden]
    return pages


@pytest.mark.parametrize("page", _pages(), ids="-".join)
def test_every_help_page(mls: Any, golden: Golden, page: tuple[str, ...]) -> None:
    result = mls(*page, "--help")
    assert (result.code, result.err) == (0, "")
    assert max(len(line) for line in result.out.splitlines()) <= 100
    golden("help-" + "-".join(("mls", *page)), result.out)


PROMISED = {
    "apps": "deploy-app list-all get-app-status get-app-details get-app-performance remove-app explain edit",
    "infra": "register-infra list list-infra unregister-infra",
    "ml": "deploy-ml list-all get-status remove-ml",
    "manage": "ping ping-agent set-mode set-system-target config-trust",
    "agent": "set-policy delete-policy list-policies set-config delete-config new-policy new-mechanism test-policy",
}


@pytest.mark.parametrize(
    ("group", "verb"), [(group, verb) for group, verbs in PROMISED.items() for verb in verbs.split()]
)
def test_promised_names_exist(mls: Any, group: str, verb: str) -> None:
    assert mls(group, verb, "--help").code == 0


def test_without_a_command_the_help_is_the_answer(mls: Any) -> None:
    for arguments in ((), ("apps",)):
        alone = mls(*arguments)
        assert (alone.code, alone.err) == (0, "")
        assert alone.out.strip() == mls(*arguments, "--help").out.strip()


def test_every_exit_code_is_in_the_help(mls: Any) -> None:
    from mlsysops_core import errors

    families = {
        getattr(errors, name).exit_code for name in errors.__all__ if hasattr(getattr(errors, name), "exit_code")
    }
    text = mls("--help").out
    for code in families:
        assert f"  {code:<3} " in text, code


def test_global_options_are_accepted_before_and_after_the_command(mls: Any) -> None:
    for arguments in (
        ("-o", "json", "context", "list"),
        ("context", "-o", "json", "list"),
        ("context", "list", "-o", "json"),
    ):
        assert json.loads(mls(*arguments).out)["items"][0]["name"] == "local"
    assert mls("--context", "none", "apps", "list-all").code == mls("apps", "list-all", "--context", "none").code == 6
    assert mls("-q", "apps", "list-all").err == ""
    assert "GET http://127.20.0.10:8000/v1/apps" in mls("apps", "list-all", "-v").err


def test_contexts_are_listed_chosen_and_shown_without_their_token(mls: Any, golden: Golden) -> None:
    golden("context-list", mls("context", "list").out)
    golden("context-list-wide", mls("context", "list", "-o", "wide").out)
    golden("context-show", mls("context", "show").out)
    assert mls("context", "use", "local").err == "using context local\n"
    assert mls("context", "use", "other").code == 6
    assert mls("context", "use", "../../etc/passwd").code == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(mls: Any, shell: str) -> None:
    result = mls("completion", shell)
    assert result.code == 0
    assert f"_MLS_COMPLETE=complete_{shell}" in result.out
    assert mls("completion", "powershell").code == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mls con", {"context"}),
        ("mls apps get-app-", {"get-app-status", "get-app-details", "get-app-performance"}),
        ("mls context use lo", {"local"}),
        ("mls apps list-all -o w", {"wide"}),
    ],
)
def test_shells_complete(mls: Any, words: str, expected: set[str]) -> None:
    parts = words.split()
    environment = {
        **os.environ,
        "_MLS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(parts) - 1),
    }
    command = [sys.executable, "-c", "import sys; sys.argv[0] = 'mls'; from mlsysops_cli.main import main; main()"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert set(run.stdout.split()) == expected, run.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "words"),
    [
        (">/dev/full", 3, "standard output cannot be written: no space left on device"),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&-", 0, ""),
    ],
    ids=["full disk", "no stdout", "no stderr", "no stdin"],
)
def test_streams_that_are_full_or_closed(tmp_path: Path, redirection: str, code: int, words: str) -> None:
    environment = {**os.environ, "MLS_CONFIG": str(tmp_path)}
    command = f'"{sys.executable}" -m mlsysops_cli completion bash {redirection}'
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1 if words else 0), done.stderr
    assert words in done.stderr
