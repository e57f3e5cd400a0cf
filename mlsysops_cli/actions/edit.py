"""What `mls apps edit` does: the description in an editor, comments kept, and back."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlsysops_core.errors import MlsError, UsageError
from mlsysops_core.model import load_descriptions, to_document

from mlsysops_cli.client.http import path_of
from mlsysops_cli.client.session import connect
from mlsysops_cli.descriptions import check_application, document_text
from mlsysops_cli.output import emit_document
from mlsysops_cli.settings import Settings

__all__ = ["edit", "edited_text"]


def edit(settings: Settings, app_id: str) -> None:
    """Open an application's description in an editor and send what comes back.

    Raises:
        UsageError: There is no editor.
        InvalidInput: The edited text does not validate; the file with it is kept and named.
        Conflict: The application was changed meanwhile; the file is kept too.
    """
    with connect(settings) as api:
        details = api.get(path_of("v1", "apps", app_id))
        source, etag = api.get_text(path_of("v1", "apps", app_id, "source"))
        before = edited_text(source, details["description"])
        descriptor, name = tempfile.mkstemp(prefix=f"mls-{details['id']}-", suffix=".yaml")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(before)
        file = Path(name)
        try:
            _open_editor(file)
        except UsageError:
            if file.read_bytes() == before.encode():
                file.unlink()
            else:
                settings.note(f"your edit is kept in {name}")
            raise
        after = file.read_bytes()
        if after == before.encode():
            file.unlink()
            settings.note("nothing was changed")
            return
        try:
            check_application(after, name, settings)
            result = api.send("PUT", path_of("v1", "apps", details["id"]), after, source=name, if_match=etag)
        except MlsError:
            settings.note(f"your edit is kept in {name}")
            raise
        file.unlink()
        emit_document(
            settings, result, kind="application", name="id", text=f"application/{result['id']} {result['action']}\n"
        )


def edited_text(source: str, document: Mapping[str, Any]) -> str:
    """Return the text to edit: the user's own where it still says what is deployed, else that text brought up to date.

    Args:
        source: The text the application was deployed from; empty where none was kept.
        document: What is deployed, wrapped.
    """
    if not source:
        return document_text(dict(document))
    try:
        stored = load_descriptions(source)
    except MlsError:
        return document_text(dict(document))
    if len(stored) != 1:
        return document_text(dict(document))
    if to_document(stored[0]) == document:
        return source
    return _merged(source, document)


def _merged(source: str, document: Mapping[str, Any]) -> str:
    """Change only the values that differ, so that comments, order and quoting of the rest stay."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    offset = _list_offset(source)
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    tree = yaml.load(source)
    kind, wanted = next(iter(document.items()))
    holder, key = _fields(tree, kind)
    if holder is None:
        return document_text(dict(document))
    holder[key] = _update(holder[key], wanted)
    buffer = io.StringIO()
    yaml.dump(tree, buffer)
    return buffer.getvalue()


def _list_offset(source: str) -> int:
    """Return by how much the text indents the items of a list below its key: 0 or 2, after the first list in it."""
    match = re.search(r"^( *)(?:- )?[^\s#-][^#\n]*:[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*( *)- ", source, re.MULTILINE)
    return 2 if match and len(match[2]) > len(match[1]) else 0


def _fields(tree: Any, kind: str) -> tuple[Any, str]:
    """Return where the fields of a description stand: below its kind, or below ``spec`` of a manifest."""
    if isinstance(tree, Mapping):
        if "spec" in tree:
            return tree, "spec"
        for key in tree:
            if key == kind or (kind == "MLSysOpsApp" and key == "MLSysOpsApplication"):
                return tree, str(key)
    return None, ""


def _update(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, Mapping):
        for key in [key for key in old if key not in new]:
            del old[key]
        for key, value in new.items():
            old[key] = _update(old[key], value) if key in old else value
        return old
    if isinstance(old, list) and isinstance(new, list):
        for index, value in enumerate(new[: len(old)]):
            old[index] = _update(old[index], value)
        del old[len(new) :]
        old.extend(new[len(old) :])
        return old
    return old if old == new else new


def _open_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    if editor == "vi" and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "an editor needs a terminal", hint="set EDITOR to a program that needs none, or `deploy-app --force`"
        )
    try:
        code = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode
    except (OSError, ValueError) as exc:
        reason = exc.strerror.lower() if isinstance(exc, OSError) and exc.strerror else exc
        raise UsageError(f"the editor {editor!r} cannot be started: {reason}", hint="set EDITOR") from exc
    if code != 0:
        raise UsageError(f"the editor {editor!r} ended with {code}: the application is as it was", hint="set EDITOR")
