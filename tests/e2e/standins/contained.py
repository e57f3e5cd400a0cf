"""Stands for a container: runs one of our programs where the process runtime has put its mounts.

The embedded kubelet has no mount namespaces: mounts are links below ``$EMBEDDED_ROOTFS``. A container's program finds them
at the root, so this rewrites the paths in its configuration, points it to its ServiceAccount's token, and runs it.

    python contained.py 127.0.0.1:6443 mlsysops_agents node --config /etc/mlsysops/node-a.yaml

With ``--machines=DIR`` before the program's arguments each node has a disk that outlives its pods, ``DIR/<node>/disk``, and a
recorded machine to turn knobs of, ``DIR/<node>/root``, in the place of this one.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import yaml

MOUNTS = ("/etc/mlsysops-secrets/", "/etc/mlsysops-telemetry/", "/etc/mlsysops/", "/var/lib/mlsysops")

#: `fsGroup` of our pods that have one.
GROUP = 65532


def moved(value: Any, rootfs: Path, machine: Path | None = None) -> Any:
    """A configuration with every path below a mount where the mount is; a node's own disk is its pod's directory here."""
    if isinstance(value, dict):
        return {key: moved(item, rootfs, machine) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, rootfs, machine) for item in value]
    if machine is not None and value == "/host":
        return str(machine / "root")
    if value == "0.0.0.0":  # a pod's own address, where it shares the node's with the addresses of Services
        return os.environ.get("STANDIN_LISTEN", value)
    if isinstance(value, str) and value.startswith("/var/lib/mlsysops"):
        return str((machine or rootfs) / "disk")
    if isinstance(value, str) and value.startswith(MOUNTS):
        return str(rootfs / value.lstrip("/"))
    return value


def main() -> None:
    """Run the program that the arguments name."""
    api, module, *arguments = sys.argv[1:]
    rootfs, machines = Path(os.environ["EMBEDDED_ROOTFS"]), ""
    if arguments[0].startswith("--machines="):
        machines = arguments.pop(0).partition("=")[2]
    place = arguments.index("--config") + 1
    given = rootfs / arguments[place].lstrip("/")
    config = rootfs / given.name
    machine = Path(machines) / given.stem if machines else None
    config.write_text(yaml.safe_dump(moved(yaml.safe_load(given.read_text()), rootfs, machine)))
    arguments[place] = str(config)
    host, _, port = api.rpartition(":")
    os.environ |= {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    if module == "mlsysops_agents":
        from kubernetes.aio.config import incluster_config

        account = rootfs / "var/run/secrets/kubernetes.io/serviceaccount"
        incluster_config.SERVICE_TOKEN_FILENAME = str(account / "token")
        incluster_config.SERVICE_CERT_FILENAME = str(account / "ca.crt")
    if os.geteuid() == 0:  # nobody else but in the pods' group, as any container of theirs is
        os.setgroups([GROUP])
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
