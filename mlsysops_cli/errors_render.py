"""How an error becomes lines on stderr and an exit code; called by `main` alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from mlsysops_cli.terminal import printable, silence

if TYPE_CHECKING:
    from mlsysops_cli.settings import Settings

__all__ = ["error_lines", "render"]

#: What a shell reports for a program that a closed pipe or Ctrl-C ended: 128 + the signal's number.
_BROKEN_PIPE = 141
_INTERRUPTED = 130
_INTERNAL = 70

#: Typer's root of "the command line is wrong" errors. Typer does not export the class itself.
_USAGE = typer.BadParameter.__mro__[1]
_FRAMEWORK = typer.BadParameter.__mro__[2]


def render(error: BaseException, settings: Settings) -> int:
    """Print an error and return the exit code of its family.

    Args:
        error: What ended the command.
        settings: Global options of the run (``--debug`` adds the traceback).
    """
    if isinstance(error, BrokenPipeError) or type(error).__name__ == "ClosedPipe":
        silence(sys.stdout)
        return _BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _INTERRUPTED
    if type(error).__name__ == "NoArgsIsHelpError":  # `mls` or `mls apps` alone: help is the answer
        print(error.format_message())  # type: ignore[attr-defined]  # noqa: T201
        return 0
    if settings.debug:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    lines, code = error_lines(error, debug=settings.debug)
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201
    return code


def error_lines(error: BaseException, *, debug: bool = False) -> tuple[list[str], int]:
    """Return the lines that tell an error, and its exit code.

    Args:
        error: The error.
        debug: Whether the traceback is shown already.
    """
    from mlsysops_core.errors import InvalidInput, MlsError

    if isinstance(error, InvalidInput) and error.faults:
        lines = [f"error: {_one_line(str(fault))}" for fault in error.faults]
        if len(lines) > 1:
            lines.append(f"error: {len(lines)} faults found" + (f" ({error.hint})" if error.hint else ""))
        elif error.hint and error.hint not in lines[0]:
            lines[0] += f" ({_one_line(error.hint)})"
        return lines, error.exit_code
    if isinstance(error, MlsError):
        summary = f"{error.message} ({error.hint})" if error.hint else error.message
        return [f"error: {_one_line(text)}" for text in (*error.details, summary)], error.exit_code
    if isinstance(error, _FRAMEWORK):
        return [f"error: {_usage(error)}"], 2 if isinstance(error, _USAGE) else 3
    if isinstance(error, OSError) and error.filename:
        return [f"error: {error.filename}: {error.strerror or error}"], 3
    kind = type(error).__name__
    hint = "" if debug else " (run again with --debug and report it)"
    return [f"error: internal error: {kind}: {_one_line(str(error))}{hint}"], _INTERNAL


def _usage(error: Any) -> str:
    text = _one_line(error.format_message()).replace(": Value error, ", ": ")  # how pydantic opens what we say
    context = getattr(error, "ctx", None)
    text = text.rstrip(".")
    return f"{text} (see `{context.command_path} --help`)" if context is not None else text


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
