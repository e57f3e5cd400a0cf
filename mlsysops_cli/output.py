"""How data reaches stdout: table, wide, json, yaml, name or jsonpath, as kubectl prints it.

Tables are plain text, two spaces between columns, upper-case headers, no colours: they can be cut, sorted and
compared. Every structured format shows the whole answer of the API.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput

from mlsysops_cli.terminal import printable, silence

if TYPE_CHECKING:
    from mlsysops_cli.settings import Settings

__all__ = [
    "ClosedPipe",
    "Column",
    "Table",
    "age",
    "emit",
    "emit_document",
    "render_table",
    "to_yaml",
    "write",
]

_NONE = "<none>"


class ClosedPipe(Exception):
    """Whoever read stdout has gone."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its header.
        value: Dotted path in the row, or a function of the row.
        wide: Shown with ``-o wide`` only.
    """

    title: str
    value: str | Callable[[Mapping[str, Any]], Any]
    wide: bool = False

    def cell(self, row: Mapping[str, Any]) -> str:
        """Return the text of one cell; ``<none>`` where there is no value."""
        value = self.value(row) if callable(self.value) else _dig(row, self.value)
        return _text(value)


@dataclass(frozen=True, slots=True)
class Table:
    """How a list is shown.

    Attributes:
        kind: Prefix of ``-o name``, e.g. ``mlsysopsapp``.
        columns: The columns, in order.
        name: Path of the item's name.
        items: Path of the list in the answer.
        empty: What stderr says when there is nothing.
    """

    kind: str
    columns: Sequence[Column]
    name: str = "name"
    items: str = "items"
    empty: str = "nothing found"


def emit(settings: Settings, answer: Mapping[str, Any], table: Table) -> None:
    """Print an answer that holds a list, in the format asked for."""
    rows: list[Mapping[str, Any]] = list(_dig(answer, table.items) or [])
    if settings.output in {"table", "wide"}:
        if not rows:
            settings.note(table.empty)
            return
        columns = [column for column in table.columns if settings.output == "wide" or not column.wide]
        cells = [[column.cell(row) for column in columns] for row in rows]
        write(printable(render_table([column.title for column in columns], cells)))
    elif settings.output == "name":
        write("".join(f"{row.get('kind', table.kind).lower()}/{_dig(row, table.name)}\n" for row in rows))
    else:
        _structured(settings.output, answer)


def emit_document(
    settings: Settings, document: Mapping[str, Any], *, kind: str, name: str = "name", text: str | None = None
) -> None:
    """Print one object.

    Args:
        settings: Which format.
        document: The whole answer.
        kind: Prefix of ``-o name``.
        name: Path of its name.
        text: What ``table`` and ``wide`` show; YAML where None.
    """
    if settings.output in {"table", "wide"}:
        write(printable(to_yaml(document) if text is None else text))
    elif settings.output == "name":
        write(f"{kind}/{_dig(document, name)}\n")
    else:
        _structured(settings.output, document)


def render_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned text: two spaces at least between columns, none at a line's end."""
    widths = [max([len(title), *(len(row[index]) for row in rows)]) for index, title in enumerate(titles)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (titles, *rows))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def to_yaml(document: Any) -> str:
    """Return a document as YAML, keys in their own order, text of several lines as blocks."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120))


def age(moment: str | None, *, now: datetime | None = None) -> str:
    """Return how long ago a moment was, as kubectl writes it: ``45s``, ``12m``, ``3h``, ``4d``.

    Args:
        moment: RFC 3339; ``<unknown>`` where it is missing or no time.
        now: The present; the clock's where None.
    """
    try:
        then = datetime.fromisoformat(moment or "")
    except ValueError:
        return "<unknown>"
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = max(0, int(((now or datetime.now(UTC)) - then).total_seconds()))
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def write(text: str) -> None:
    """Write data to stdout.

    Raises:
        ClosedPipe: Nobody reads any more, as after ``| head``.
        InvalidInput: It cannot be written, as on a full disk.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as exc:  # Typer would make it exit code 1, which means something here
        raise ClosedPipe from exc
    except OSError as exc:
        silence(sys.stdout)  # what it could not take would be tried again when we end
        reason = (exc.strerror or str(exc)).lower()
        raise InvalidInput(f"standard output cannot be written: {reason}", hint="send it elsewhere") from exc


def _structured(output: str, document: Any) -> None:
    if output == "json":
        import json

        write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    elif output == "yaml":
        write(to_yaml(document))
    else:
        from mlsysops_cli.jsonpath import compile_template

        write(compile_template(output.removeprefix("jsonpath="))(document))


def _dig(value: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return _NONE
    if value is True:
        return "True"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return " ".join(str(value).split())
