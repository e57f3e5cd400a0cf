"""The global options, accepted before and after the command's name, as kubectl accepts them.

They are parsed by callbacks that write into the run's `Settings`, so no command has to declare them: `attach`
adds them to every command of a group, also to one whose author knows nothing of this module.
"""

from __future__ import annotations

import re
from copy import copy
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.main

from mlsysops_cli.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FORMATS", "attach", "global_options", "lighten_help", "options"]

FORMATS = ("table", "wide", "json", "yaml", "name")
_CLAUSE_END = re.compile(r"[.;:\n]")


def _setter(name: str) -> Callable[[typer.Context, Any], Any]:
    def callback(ctx: typer.Context, value: Any) -> Any:
        if value and not ctx.resilient_parsing:  # an option that was not given must not undo one that was
            setattr(settings_of(ctx), name, value)
        return value

    return callback


def _set_output(ctx: typer.Context, value: str | None) -> str | None:
    if value is None or ctx.resilient_parsing:
        return value
    if value.startswith("jsonpath="):
        from mlsysops_cli.jsonpath import compile_template

        compile_template(value.removeprefix("jsonpath="))  # a broken template is told before anything is sent
    elif value not in FORMATS:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(FORMATS)}, jsonpath=TEMPLATE")
    settings_of(ctx).output = value
    return value


def _complete_output(incomplete: str) -> list[str]:
    return [name for name in (*FORMATS, "jsonpath=") if name.startswith(incomplete)]


def _complete_context(incomplete: str) -> list[str]:
    from mlsysops_cli.context import list_contexts

    return [name for name in list_contexts() if name.startswith(incomplete)]


def global_options(
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME",
            help="Slice to talk to (`mls context list`).",
            callback=_setter("context"),
            autocompletion=_complete_context,
            expose_value=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT",
            help="table, wide, json, yaml, name or jsonpath=TEMPLATE.",
            callback=_set_output,
            autocompletion=_complete_output,
            expose_value=False,
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Nothing on stderr but errors.", callback=_setter("quiet"), expose_value=False
        ),
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="More detail on stderr; repeat for more.",
            callback=_setter("verbose"),
            expose_value=False,
        ),
    ] = 0,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Add the traceback to an error.", callback=_setter("debug"), expose_value=False),
    ] = False,
) -> None:
    """Declare the global options (their callbacks do the work)."""


def _ask_vault(ctx: typer.Context, value: bool) -> bool:
    if value and not ctx.resilient_parsing:
        from mlsysops_cli.passwords import ask_vault_password

        ask_vault_password()
    return value


def _ask_become(ctx: typer.Context, value: bool) -> bool:
    if value and not ctx.resilient_parsing:
        from mlsysops_cli.passwords import ask_become_password

        ask_become_password()
    return value


def password_options(
    ask_vault_pass: Annotated[
        bool,
        typer.Option(
            "--ask-vault-pass",
            help="Ask for the password of vaulted parts of the inventory.",
            callback=_ask_vault,
            expose_value=False,
        ),
    ] = False,
    ask_become_pass: Annotated[
        bool,
        typer.Option(
            "--ask-become-pass",
            help="Ask for the password of sudo on the hosts.",
            callback=_ask_become,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """Declare the options that ask for passwords: for every command that reads an inventory which may be vaulted."""


def attach(command: Any, path: str) -> Any:
    """Add the global options and the examples to a command and to everything below it.

    An option whose name the command uses itself is left to the command. The added ones are not repeated in the
    command's help, except ``--output``, which is about its data.

    Args:
        command: What `typer.main.get_command` returned.
        path: Its names below ``mls``.

    Returns:
        The same command.
    """
    from mlsysops_cli.examples import EXAMPLES

    for name, child in getattr(command, "commands", {}).items():
        attach(child, f"{path} {name}")
    # The list of a group shows the first clause, whole: cut after so many letters it says nothing.
    command.short_help = command.short_help or f"{_CLAUSE_END.split(command.help or '', maxsplit=1)[0]}."
    if path in EXAMPLES:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[path])
    for parameter in command.params:
        _lighten(parameter)
    taken = {name for parameter in command.params for name in parameter.opts}
    for option in options():
        if not taken.intersection(option.opts):
            option.hidden = option.name != "output"
            command.params.append(option)
    if "--vault-password-file" in taken:
        command.params += [copy(option) for option in _passwords()]
    if hasattr(command, "commands"):
        command.no_args_is_help = True
    lighten_help(command)
    return command


def lighten_help(command: Any) -> None:
    """Spare the command's own ``--help`` the conversion of values (see `_lighten`)."""
    command.get_help_option = partial(_light_help, type(command).get_help_option, command)


def _light_help(original: Any, command: Any, ctx: Any) -> Any:
    option = original(command, ctx)
    if option is not None:
        _lighten(option)
    return option


def options() -> list[Any]:
    """Return new parameter objects for the global options."""
    return [copy(option) for option in _declared()]


@cache
def _declared() -> list[Any]:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(global_options)
    declared = list(typer.main.get_command(app).params)
    for option in declared:
        _lighten(option)
    return declared


@cache
def _passwords() -> list[Any]:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(password_options)
    declared = list(typer.main.get_command(app).params)
    for option in declared:
        _lighten(option)
    return declared


def _lighten(parameter: Any) -> None:
    """Take texts, flags and counts as they are, instead of through Typer's conversion.

    Typer converts values with pydantic; importing that costs more than everything else in ``mls --help``, and these need
    no conversion.
    """
    descriptor = getattr(parameter, "type_descriptor", None)  # a Typer that has none does not use pydantic
    if descriptor is None or parameter.nargs != 1 or parameter.multiple:
        return
    if getattr(parameter, "count", False) or descriptor.annotation is str or descriptor.annotation is bool:
        kind = int if descriptor.annotation is not str else str
        parameter.process_value = partial(_take, parameter, kind)


def _take(parameter: Any, kind: type, ctx: Any, value: Any) -> Any:
    if (value is None and parameter.required) or not (value is None or isinstance(value, kind)):
        return type(parameter).process_value(parameter, ctx, value)  # tells what is missing, or converts after all
    return value if parameter.callback is None else parameter.callback(ctx, parameter, value)
