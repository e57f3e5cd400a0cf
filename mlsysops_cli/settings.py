"""What the global options of a run say; made by `main`, found by every command as ``ctx.obj``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlsysops_cli.terminal import printable

if TYPE_CHECKING:
    import typer

    from mlsysops_cli.context import Context

__all__ = ["Settings", "settings_of"]


@dataclass(slots=True)
class Settings:
    """The global options of one run of `mls`.

    Attributes:
        context: Name given with ``--context``; None for the one in use.
        output: ``table``, ``wide``, ``json``, ``yaml``, ``name`` or ``jsonpath=TEMPLATE``.
        quiet: Say nothing on stderr but errors.
        verbose: How much detail on stderr: 0 normal, 1 each request, 2 and more everything.
        debug: Add the traceback to an error.
    """

    context: str | None = None
    output: str = "table"
    quiet: bool = False
    verbose: int = 0
    debug: bool = field(default_factory=lambda: bool(os.environ.get("MLS_DEBUG")))

    @property
    def structured(self) -> bool:
        """Whether the answer is for a program: ``json``, ``yaml`` or ``jsonpath=…``."""
        return self.output not in {"table", "wide", "name"}

    def note(self, text: str, *, level: int = 0) -> None:
        """Tell the person at the terminal something that is not data (stderr).

        Args:
            text: One line.
            level: Shown when ``-v`` was given at least this often.
        """
        if not self.quiet and self.verbose >= level:
            print(printable(text), file=sys.stderr, flush=True)  # noqa: T201 - the one place for status text

    def load_context(self) -> Context:
        """Load the context that ``--context``, the environment or the configuration names.

        Raises:
            NotFound: There is none.
        """
        from mlsysops_cli.context import load_context

        return load_context(self.context)


def settings_of(ctx: typer.Context) -> Settings:
    """Return the settings of the run a command belongs to."""
    found = ctx.find_object(Settings)
    return found if found is not None else Settings()
