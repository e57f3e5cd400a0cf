"""The page of the API for people with a browser: its OpenAPI document as one HTML text, which needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from mlsysops_northbound.catalogue import Type, fields, operations

__all__ = ["api_page"]

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.3rem 0.6rem; border-bottom: 1px solid #8886; }}
code {{ font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary} Version {version}; <a href="openapi.json">openapi.json</a> is the same for programs.</p>
<p>Every request but <code>/healthz</code> and <code>/readyz</code> carries <code>Authorization: Bearer TOKEN</code>;
<code>mls</code> finds the token in its context file. Errors are problem details
(<a href="#Problem">Problem</a>, RFC 9457): any request may be answered with 401, 500 and 503. Descriptions are sent as YAML or
JSON, wrapped or as Kubernetes manifests. Writes take <code>dryRun=server</code> and an <code>Idempotency-Key</code>.</p>
"""


def api_page(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as HTML.

    Args:
        document: The document.
    """
    info = document["info"]
    texts = {"title": info["title"], "summary": info.get("summary", ""), "version": info["version"]}
    parts = [_HEAD.format(**{name: escape(text) for name, text in texts.items()})]
    grouped = groupby(sorted(operations(document), key=lambda item: _rank(document, item.tag)), lambda item: item.tag)
    for tag, items in grouped:
        rows = [
            (
                f"<code>{escape(f'{item.method} {item.path}')}</code>",
                _prose(item.text),
                " ".join(f"<code>{escape(name)}</code>" for name in item.parameters),
                ", ".join(f"{status} {_type(kind)}".strip() for status, kind in item.answers),
            )
            for item in items
        ]
        parts += [f"<h2>{escape(tag)}</h2>\n", *_table(("request", "does", "parameters", "answers"), rows)]
    parts.append("<h2>Schemas</h2>\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f'<h3 id="{escape(name)}">{escape(name)}</h3>\n<p>{_prose(schema.get("description", ""))}</p>\n')
        members = [
            (f"<code>{escape(item.name)}</code>{'*' if item.required else ''}", _type(item.type), _prose(item.text))
            for item in fields(schema)
        ]
        if members:
            parts += _table(("field", "type", "description"), members)
    return "".join([*parts, "</body>\n</html>\n"])


def _rank(document: Mapping[str, Any], tag: str) -> int:
    """Return the place of a group: that of its first operation."""
    return next(number for number, item in enumerate(operations(document)) if item.tag == tag)


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield "<table>\n<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>\n"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n"
    yield "</table>\n"


def _type(kind: Type) -> str:
    links = (f'<a href="#{escape(name)}">{escape(name)}</a>' for name in kind.names)
    return _prose(kind.text).format(*links) if kind.names else _prose(kind.text)


def _prose(text: str) -> str:
    """Return a docstring's text as HTML: what stands between backticks is code."""
    pieces = escape(" ".join(text.replace("``", "`").split())).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
