"""Volumes as directories below the pod's own, and a root directory a container in which mount paths are links to them.

There are no mount namespaces: a program finds its mounts below ``$EMBEDDED_ROOTFS``, which is also its working directory,
so ``$(EMBEDDED_ROOTFS)/etc/config`` in an argument or ``etc/config`` relative to where it starts name the same file.
"""

from __future__ import annotations

import base64
import os
import shutil
import stat
from typing import TYPE_CHECKING

from mlsysops_embedded.kubelet.environment import ContainerConfigError, field_value, resource_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mlsysops_embedded.client import Object

    #: Gives the binary data of (kind, name), or None where it does not exist.
    Reader = Callable[[str, str], Mapping[str, bytes] | None]

__all__ = ["binary_data", "make_rootfs", "make_volumes", "references"]


def binary_data(obj: Object) -> dict[str, bytes]:
    """All keys of a ConfigMap or Secret as bytes."""
    if obj.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    data = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    return data | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


def references(spec: Object) -> set[tuple[str, str]]:
    """Every (``ConfigMap``|``Secret``, name) that a pod's environment or volumes name."""
    found: set[tuple[str, str]] = set()
    for container in [*spec.get("containers", ()), *(spec.get("initContainers") or ())]:
        for source in container.get("envFrom") or ():
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    found.add((kind, source[field]["name"]))
        for variable in container.get("env") or ():
            origin = variable.get("valueFrom") or {}
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in origin:
                    found.add((kind, origin[field]["name"]))
    for volume in spec.get("volumes") or ():
        for source in [volume, *((volume.get("projected") or {}).get("sources") or ())]:
            if "configMap" in source:
                found.add(("ConfigMap", source["configMap"]["name"]))
            if "secret" in source:
                found.add(("Secret", source["secret"].get("secretName") or source["secret"]["name"]))
    return found


def make_volumes(pod: Object, root: Path, read: Reader, tokens: Mapping[str, str]) -> None:
    """Make or refresh a pod's volumes; those that are not directories of the host belong to the group ``fsGroup``.

    Args:
        pod: The pod.
        root: Directory of all its volumes.
        read: Gives ConfigMaps' and Secrets' data.
        tokens: ServiceAccount tokens by audience, for projected volumes.

    Raises:
        ContainerConfigError: A volume names something that does not exist, or is of a kind that is not supported.
    """
    root.mkdir(parents=True, exist_ok=True)
    # Only root may give files away; where the kubelet is somebody else, so are all containers.
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup") if os.geteuid() == 0 else None
    for volume in pod["spec"].get("volumes") or ():
        target = root / volume["name"]
        if "emptyDir" in volume:
            target.mkdir(exist_ok=True)
            target.chmod(0o777)  # for whichever users its containers run as
            _give_directory(target, group)
        elif "hostPath" in volume:
            _host_path(volume["hostPath"], target)
        elif files := _files(pod, volume, read, tokens):
            mode = next((volume[k].get("defaultMode") for k in volume if isinstance(volume[k], dict)), None)
            _write_files(target, files, 0o644 if mode is None else int(mode), group)
        else:
            target.mkdir(exist_ok=True)


def _give_directory(directory: Path, group: int | None) -> None:
    """Let a group pass through and list a directory, and have what is made there.

    Source: kubernetes ``pkg/volume/volume_linux.go``, as of modes of files that nobody writes.
    """
    if group is not None:
        os.chown(directory, -1, group)
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_ISGID | 0o550)


def _host_path(source: Object, target: Path) -> None:
    path, kind = source["path"], source.get("type") or ""
    if kind == "DirectoryOrCreate":
        os.makedirs(path, exist_ok=True)  # noqa: PTH103 - a path of the host, given as text
    if kind and not os.path.exists(path):  # noqa: PTH110
        raise ContainerConfigError(f"hostPath type check failed: {path} is not a {kind}")
    if not target.is_symlink():
        target.symlink_to(path)


def _files(pod: Object, volume: Object, read: Reader, tokens: Mapping[str, str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    sources = (volume.get("projected") or {}).get("sources") or [volume]
    for source in sources:
        if "configMap" in source:
            files |= _selected("ConfigMap", source["configMap"]["name"], source["configMap"], read)
        elif "secret" in source:
            secret = source["secret"]
            files |= _selected("Secret", secret.get("secretName") or secret["name"], secret, read)
        elif "downwardAPI" in source:
            for item in source["downwardAPI"].get("items") or ():
                if "fieldRef" in item:
                    value = field_value(pod, item["fieldRef"]["fieldPath"])
                else:
                    value = resource_value(pod, {}, item["resourceFieldRef"], {})
                files[item["path"]] = value.encode()
        elif "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            files[token["path"]] = tokens[token.get("audience") or ""].encode()
        else:
            kinds = ", ".join(key for key in source if key != "name")
            raise ContainerConfigError(f"volume {volume['name']!r}: {kinds} is not supported by this runtime")
    return files


def _selected(kind: str, name: str, source: Object, read: Reader) -> dict[str, bytes]:
    data = read(kind, name)
    if data is None:
        if source.get("optional"):
            return {}
        raise ContainerConfigError(f'{kind.lower()} "{name}" not found')
    if not source.get("items"):
        return dict(data)
    files = {}
    for item in source["items"]:
        if item["key"] in data:
            files[item["path"]] = data[item["key"]]
        elif not source.get("optional"):
            raise ContainerConfigError(f"{kind.lower()} {name} has no key {item['key']!r}")
    return files


def _write_files(target: Path, files: Mapping[str, bytes], mode: int, group: int | None) -> None:
    """Replace each file in one step, and drop those that are no longer there; the group may read all of them."""
    target.mkdir(exist_ok=True)
    _give_directory(target, group)
    wanted = set()
    for name, data in files.items():
        path = target / name
        if not path.resolve().is_relative_to(target.resolve()):
            raise ContainerConfigError(f"path {name!r} leaves its volume")
        wanted.add(path)
        if path.parent != target:
            path.parent.mkdir(parents=True, exist_ok=True)
            _give_directory(path.parent, group)
        if path.exists() and path.read_bytes() == data:
            continue
        temporary = path.with_name(f".{path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if group is None:
            temporary.chmod(mode)
        else:
            os.chown(temporary, -1, group)
            temporary.chmod(mode | 0o440)
        temporary.replace(path)
    for path in target.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()


def make_rootfs(container: Object, rootfs: Path, volumes: Path) -> None:
    """Link a container's mount paths to its pod's volumes below its own root directory."""
    rootfs.mkdir(parents=True, exist_ok=True)
    mounts = sorted(container.get("volumeMounts") or (), key=lambda mount: str(mount["mountPath"]))
    for mount in mounts:
        target = volumes / mount["name"]
        if mount.get("subPath"):
            target = target / mount["subPath"]
            if not target.resolve().is_relative_to((volumes / mount["name"]).resolve()):
                raise ContainerConfigError(f"subPath {mount['subPath']!r} leaves its volume")
            if not target.exists():
                target.mkdir(parents=True)
        link = rootfs / str(mount["mountPath"]).lstrip("/")
        if not link.parent.resolve().is_relative_to(rootfs.resolve()):
            raise ContainerConfigError(f"mountPath {mount['mountPath']!r} lies in another mount")
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        elif link.is_dir():
            shutil.rmtree(link)
        link.symlink_to(target)
