"""What an override policy's overriders do to a manifest: pure functions on one object, which they change.

Source: Karmada's API reference (policy/v1alpha1, ``Overriders``) and user guide, "Override Policy". Karmada applies them by
kind, in the order of `apply_overriders`, and each kind in the order of its list. ``fieldOverrider`` is not supported; the
definitions refuse it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object

__all__ = ["apply_overriders"]

#: Kinds whose pods the overriders of containers know; those of any other kind have no effect.
_TEMPLATED = ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job")
# Grammar of image references: https://pkg.go.dev/github.com/distribution/reference
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._/-]|:(?=\d+/))*)"
    rf"(?::(?P<tag>{_TAG.pattern}))?(?:@(?P<digest>{_DIGEST.pattern}))?"
)


def apply_overriders(manifest: Object, overriders: Object) -> None:
    """Apply the overriders of one rule.

    Args:
        manifest: The object; it is changed.
        overriders: ``overrideRules[].overriders``.

    Raises:
        ValueError: One does not fit the manifest; the text says which.
    """
    for field, change in _CHANGES.items():
        for entry in overriders.get(field) or ():
            try:
                change(manifest, entry)
            except (IndexError, KeyError, TypeError, AttributeError, ValueError) as exc:
                what = " ".join(str(entry[key]) for key in ("operator", "path", "component") if key in entry)
                raise ValueError(f"{field}: {what}: {exc}") from exc


def _way(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.strip("/").split("/")]


def _plaintext(manifest: Object, rule: Object) -> None:
    """One JSON-patch like operation; ``add`` makes the objects on its way, ``remove`` of what is not there is done."""
    *way, last = _way(rule["path"])
    at: Any = manifest
    for part in way:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    operator, value = rule["operator"], rule.get("value")
    if isinstance(at, list):
        if operator == "add":
            at.insert(len(at) if last == "-" else int(last), value)
        elif operator == "replace":
            at[int(last)] = value
        else:
            del at[int(last)]
    elif operator == "remove":
        at.pop(last, None)
    else:
        at[last] = value


def _containers(manifest: Object) -> list[Object]:
    """The containers that overriders reach: those of a pod, not its init containers."""
    if manifest["kind"] == "Pod":
        pod = manifest.get("spec")
    elif manifest["kind"] in _TEMPLATED:
        pod = ((manifest.get("spec") or {}).get("template") or {}).get("spec")
    else:
        pod = None
    return (pod or {}).get("containers") or []


@dataclass(slots=True)
class _Image:
    """The parts of an image's name; of a tag and a digest, the tag alone is kept."""

    registry: str
    repository: str
    version: str

    @classmethod
    def parse(cls, text: str) -> _Image:
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no name of an image")
        first, slash, rest = found["name"].partition("/")
        if not slash or not (set(first) & {".", ":"} or first == "localhost"):
            first, rest = "", found["name"]
        return cls(first, rest, found["tag"] or found["digest"] or "")

    def change(self, component: str, operator: str, value: str) -> None:
        field = {"Registry": "registry", "Repository": "repository", "Tag": "version"}[component]
        new = {"add": getattr(self, field) + value, "replace": value, "remove": ""}[operator]
        if field == "version" and new and not (_TAG.fullmatch(new) or _DIGEST.fullmatch(new)):
            raise ValueError(f"{new!r} is neither a tag nor a digest")
        setattr(self, field, new)

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        return name + (f"{'@' if ':' in self.version else ':'}{self.version}" if self.version else "")


def _image(manifest: Object, rule: Object) -> None:
    """Change a part of the images of all containers, or of the one that the predicate's path leads to."""
    places: list[tuple[Any, Any]] = [(container, "image") for container in _containers(manifest)]
    if predicate := rule.get("predicate"):
        *way, last = _way(predicate["path"])
        at: Any = manifest
        for part in way:
            at = at[int(part)] if isinstance(at, list) else at[part]
        places = [(at, int(last) if isinstance(at, list) else last)]
    for at, key in places:
        image = _Image.parse(at[key])
        image.change(rule["component"], rule["operator"], rule.get("value") or "")
        at[key] = str(image)


def _words(field: str) -> Any:
    def change(manifest: Object, rule: Object) -> None:
        """Append words to a container's command or args, or remove every word that is named."""
        words = rule.get("value") or []
        for container in _containers(manifest):
            if container["name"] == rule["containerName"]:
                known = container.get(field) or []
                adding = rule["operator"] == "add"
                container[field] = [*known, *words] if adding else [word for word in known if word not in words]

    return change


def _pairs(field: str) -> Any:
    def change(manifest: Object, rule: Object) -> None:
        """Add labels or annotations; replace or remove those that are there."""
        known = dict(manifest["metadata"].get(field) or {})
        for key, value in (rule.get("value") or {}).items():
            if rule["operator"] == "add" or (rule["operator"] == "replace" and key in known):
                known[key] = value
            elif rule["operator"] == "remove":
                known.pop(key, None)
        if known or field in manifest["metadata"]:
            manifest["metadata"][field] = known

    return change


_CHANGES: dict[str, Any] = {
    "imageOverrider": _image,
    "commandOverrider": _words("command"),
    "argsOverrider": _words("args"),
    "labelsOverrider": _pairs("labels"),
    "annotationsOverrider": _pairs("annotations"),
    "plaintext": _plaintext,
}
