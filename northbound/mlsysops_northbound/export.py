"""``python -m mlsysops_northbound.export ROOT``: writes ``templates/openapi.json`` and ``docs/reference/api.md``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlsysops_northbound.app import create_app, description_schemas
from mlsysops_northbound.catalogue import Operation, Type, fields, operations
from mlsysops_northbound.config import Config
from mlsysops_northbound.kubernetes_store import KubernetesStore

__all__ = ["generated_files", "main"]

_HEAD = """\
# REST API

<!-- Generated from mlsysops_northbound by `python -m mlsysops_northbound.export`; edits here are lost. -->

The northbound API serves one slice, on the management host, port 8000: plain HTTP on loopback addresses, TLS anywhere else.
`GET /openapi.json` returns its OpenAPI 3.1 document (also in `templates/openapi.json`), and a browser shows it at `/docs`.

- **Token.** Every request but the probes carries `Authorization: Bearer TOKEN`. `mls framework deploy-all` makes the token and writes
  it into the context file, where `mls` finds it by itself.
- **Errors** are problem details (RFC 9457, `application/problem+json`) with the members `code`, `hint` and, where an input does not
  validate, `faults`: a list with `source`, `line`, `column`, `path`, `message` and `hint` of each. `instance` names the request; the
  server's log has the same id, and so has the header `X-Request-Id`.
- **Lists** come in pages: `limit`, and `continue` with the token of the page before.
- **Writes** take `dryRun=server`, and an `Idempotency-Key`: a write repeated with its key gets the first answer again, for a day.
- **[Descriptions](descriptions.md)** are sent as YAML or JSON, wrapped (`MLSysOpsApp:`) or as a Kubernetes manifest.
- **503** with `Retry-After` means that the continuum's control plane does not answer; reads and writes may simply be repeated.
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
    document = openapi_document()
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return {"templates/openapi.json": text, "docs/reference/api.md": _reference(document)}


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document, without the version of this build."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        config = Config(slice="any", kubeconfig=place / "none", token_file=place / "none", state_dir=place)
        app = create_app(config, KubernetesStore(config.kubeconfig, config.state_dir / "tls"))
        document = app.openapi()
        app.state.services.idempotency.close()
    document["info"]["version"] = "v1"
    return document


def _reference(document: Mapping[str, Any]) -> str:
    parts = [_HEAD]
    by_tag: dict[str, list[str]] = {}
    for operation in operations(document):
        by_tag.setdefault(operation.tag, []).append(_row(operation))
    for tag, rows in by_tag.items():
        parts.append(f"## {tag}\n\n| request | does | parameters | answers |\n|---|---|---|---|\n" + "".join(rows))
    parts.append(
        "## Schemas\n\nFields of a request that are not listed are refused; new fields in an answer may appear at any time.\n"
    )
    described = {*description_schemas(), "ApplicationDocument", "InfrastructureDocument"}
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name in described:
            continue  # the page on descriptions has them
        parts.append("".join(_schema(name, schema)))
    return "\n".join(parts)


def _row(operation: Operation) -> str:
    parameters = ", ".join(f"`{name}`" for name in operation.parameters)
    answers = ", ".join(f"{status} {_type(kind)}".strip() for status, kind in operation.answers)
    request = f"`{operation.method} {operation.path}`"
    return f"| {request} | {_cell(operation.text)} | {parameters} | {_cell(answers)} |\n"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n\n{schema.get('description', '')}\n"
    members = list(fields(schema))
    if members:
        yield "\n| field | type | description |\n|---|---|---|\n"
    for item in members:
        yield f"| `{item.name}`{'*' if item.required else ''} | {_cell(_type(item.type))} | {_cell(item.text)} |\n"


def _type(kind: Type) -> str:
    return kind.text.format(*(f"[{name}](#{name.lower()})" for name in kind.names)) if kind.names else kind.text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
