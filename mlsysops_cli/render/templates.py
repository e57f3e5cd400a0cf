"""Jinja templates to objects: rendered strictly, parsed, checked; and objects to YAML, always the same way."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml
from mlsysops_core.errors import MlsError, UsageError

from mlsysops_cli.assets import asset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import jinja2

__all__ = ["compile_templates", "dump_documents", "load_documents", "render_objects", "render_text"]

Object = dict[str, Any]


@cache
def _environment() -> jinja2.Environment:
    try:
        import jinja2
    except ImportError as exc:
        raise UsageError("Jinja2 is not installed", hint="pip install 'mlsysops-cli[deploy]'") from exc
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(asset("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML, not HTML; every value goes through the filter `yaml`
    )
    environment.filters["yaml"] = _inline
    return environment


def _inline(value: Any) -> str:
    """Return a value as JSON, which is YAML on one line, quoted so that no value can break out."""
    return json.dumps(value, ensure_ascii=False)


def compile_templates() -> None:
    """Compile the templates of Kubernetes objects now; rendered later, they are at hand."""
    environment = _environment()
    for template in environment.list_templates(extensions=["j2"]):
        if template.startswith(("kubernetes/", "karmada/")):
            environment.get_template(template)


def render_text(template: str, variables: Mapping[str, Any]) -> str:
    """Render a template.

    Raises:
        MlsError: The template uses what it was not given.
    """
    environment = _environment()
    import jinja2

    try:
        return environment.get_template(template).render(**variables)
    except jinja2.TemplateError as exc:
        raise MlsError(f"template {template}: {exc}") from exc


def render_objects(template: str, variables: Mapping[str, Any]) -> list[Object]:
    """Render a template of Kubernetes objects.

    Args:
        template: Path below ``templates``, e.g. ``karmada/policies.yaml.j2``.
        variables: What it may use; anything else is an error.

    Returns:
        The objects in the template's order.

    Raises:
        MlsError: The template uses what it was not given, is not YAML, or makes something that is no object.
    """
    text = render_text(template, variables)
    try:
        documents = load_documents(text)
    except yaml.YAMLError as exc:
        raise MlsError(f"template {template}: {exc}") from exc
    for document in documents:
        _check_object(template, document)
    return documents


def load_documents(text: str) -> list[Any]:
    """Return the non-empty documents of a YAML text."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document is not None]


def _check_object(template: str, document: Any) -> None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) and value
        for value in (document.get("apiVersion"), document.get("kind"), metadata.get("name"))
    ):
        raise MlsError(f"template {template} makes something that is no Kubernetes object: {str(document)[:120]}")


class _Dumper(yaml.SafeDumper):
    """Block style, sequences indented, no aliases, text blocks for text of several lines."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump_documents(documents: Iterable[Any]) -> str:
    """Return documents as YAML, each with its start marker; the same objects always give the same bytes."""
    return "".join(
        "---\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for document in documents
    )
