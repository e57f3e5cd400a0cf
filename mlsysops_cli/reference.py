"""``python -m mlsysops_cli.reference ROOT``: writes the reference of commands and inventories from what knows them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
import typer.main

from mlsysops_cli.examples import EXAMPLES
from mlsysops_cli.globals import attach, options
from mlsysops_cli.inventory.variables import reference as variables
from mlsysops_cli.main import EXIT_CODES, GROUPS

__all__ = ["generated_files", "main"]

_HEAD = """\
# Command line

<!-- Generated from mlsysops_cli by `python -m mlsysops_cli.reference`; edits here are lost. -->

Commands are `mls NOUN VERB`. Data goes to stdout, everything else to stderr; there are no colours and no progress where stderr is no
terminal, or `NO_COLOR` is set. `mlsysops-cli` is the same program. `mls NOUN VERB --help` shows what is below.
"""

_SETTINGS = """\
## Contexts and environment

`mls framework deploy-all` writes a context file for the slice, mode 0600: address and token of its API, and where its kubeconfigs are.
`mls context list|use|show` chooses among slices.

| variable | says |
|---|---|
| `MLS_CONTEXT` | the context to use, as `--context` does |
| `MLS_CONFIG` | the directory of the contexts, instead of the platform's |
| `MLS_API_IP`, `MLS_API_PORT` | address and port of the API, instead of the context's |
| `KUBECONFIG` | kubeconfig of the engine `existing` where an inventory names contexts alone |
| `NO_COLOR` | no colours |
| `VISUAL`, `EDITOR` | the editor of `mls apps edit` |

## Output

`-o table` is for people, `wide` has more columns, `name` prints one `kind/name` a line, `json` and `yaml` print the whole answer of
the API, and `jsonpath=TEMPLATE` picks from it with the templates of kubectl: `{.items[*].id}`,
`{range .items[*]}{.id}{"\\t"}{.phase}{"\\n"}{end}`, `{.items[?(@.phase=="Running")].id}`.
"""


def main() -> None:
    """Write the files below the directory given (the present one without)."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, text in generated_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)  # noqa: T201


def generated_files() -> dict[str, str]:
    """Return the text of each generated file, by its path in the repository."""
    parts = [_HEAD, _global_options(), _exit_codes(), _SETTINGS]
    for group, (module, text) in GROUPS.items():
        command = attach(typer.main.get_command(import_module(module).app), group)
        parts.append(f"## mls {group}\n\n{text}\n")
        children = getattr(command, "commands", None)
        if children is None:
            parts.append("".join(_command(f"mls {group}", command)))
            continue
        for name, child in children.items():
            if not child.hidden:
                parts.append("".join(_command(f"mls {group} {name}", child)))
    return {"docs/reference/cli.md": "\n".join(parts), "docs/reference/inventory.md": variables()}


def _global_options() -> str:
    rows = "".join(f"| {_names(option)} | {_cell(option.help or '')} |\n" for option in options())
    return f"## Options of every command\n\nThey may stand before or after the command.\n\n| option | does |\n|---|---|\n{rows}"


def _exit_codes() -> str:
    lines = [line.strip() for line in EXIT_CODES.splitlines()]
    rows = "".join(
        f"| {code} | {text.strip()} |\n" for code, _, text in (line.partition(" ") for line in lines) if code.isdigit()
    )
    return f"## Exit codes\n\n| code | means |\n|---|---|\n{rows}"


def _command(path: str, command: Any) -> Iterator[str]:
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    arguments = [item for item in command.params if item.param_type_name == "argument" and not item.hidden]
    own = [
        item
        for item in command.params
        if item.param_type_name == "option" and not item.hidden and "--output" not in item.opts[:1]
    ]
    usage = " ".join(
        [path, *(item.metavar or item.name.upper() for item in arguments), *(["[OPTIONS]"] if own else [])]
    )
    yield f"### {path}\n\n```text\n{usage}\n```\n\n"
    first, _, rest = text.partition("\n\n")
    yield f"{' '.join(first.split())}\n"
    if rest.strip():
        yield f"\n```text\n{rest.strip()}\n```\n"
    if examples := EXAMPLES.get(path.removeprefix("mls ")):
        yield "\n```sh\n" + "".join(f"{line}\n" for line in examples) + "```\n"
    if arguments or own:
        yield "\n| parameter | default | does |\n|---|---|---|\n"
        for item in arguments:
            yield f"| `{item.metavar or item.name.upper()}` |  | {_cell(item.help or '')} |\n"
        for item in own:
            yield f"| {_names(item)} | {_default(item)} | {_cell(item.help or '')} |\n"


def _names(option: Any) -> str:
    value = f" {option.metavar}" if option.metavar else ""
    names = [f"`{name}{value if name.startswith('--') else ''}`" for name in (*option.opts, *option.secondary_opts)]
    return ", ".join(names)


def _default(option: Any) -> str:
    value = option.default
    if value is None or value is False or value == "" or option.required or callable(value):
        return "required" if option.required else ""
    if value is True:
        return f"`{option.opts[0]}`"
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
