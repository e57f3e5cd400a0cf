"""`python -m mlsysops_embedded`: the processes of the embedded engine."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import Final

_COMMANDS: Final = {
    "controlplane": "API server, controllers and propagation of one control plane",
    "kubelet": "runs the pods of one node",
    "bootstrap": 'makes certificates, keys and kubeconfigs; prints {"changed": bool}',
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlsysops_embedded", description="A small Kubernetes-compatible engine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", type=Path, required=True, help="YAML file")
    for name, text in (("backup", "copies a control plane's store while it runs"), ("restore", "puts a copy back")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", type=Path, required=True, help="the control plane's YAML file")
        command.add_argument("--file", type=Path, required=True, help="the copy")
    return parser


def _log_to_stderr() -> None:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def _collect_rarely() -> None:
    """Most of what is allocated here is JSON, which has no cycles to look for; looking takes a quarter of the time."""
    import gc

    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _die_with_parent() -> None:
    """Ends with the supervisor where that asks for it (prctl(2) PR_SET_PDEATHSIG)."""
    import os

    if os.environ.get("MLS_SUPERVISED") == "1":
        import ctypes
        import signal

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0)


def _open_many() -> None:
    """Takes all files that the system allows: each client is one, and the usual soft limit is 1,024."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _control_plane(path: Path) -> None:
    import uvloop

    from mlsysops_embedded.apiserver.server import run_control_plane
    from mlsysops_embedded.config import ControlPlaneConfig, load_config

    config = load_config(path, ControlPlaneConfig)
    _open_many()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_control_plane(config))


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code (0 done, 3 configuration)."""
    arguments = _parser().parse_args(argv)
    _log_to_stderr()
    _die_with_parent()
    _collect_rarely()
    if arguments.command == "kubelet":
        from mlsysops_embedded.kubelet import main as kubelet_main

        return kubelet_main(arguments.config)
    from mlsysops_embedded.config import BootstrapConfig, ConfigError, ControlPlaneConfig, load_config

    try:
        if arguments.command == "controlplane":
            _control_plane(arguments.config)
        elif arguments.command == "bootstrap":
            from mlsysops_embedded.pki import bootstrap

            changed = bootstrap(load_config(arguments.config, BootstrapConfig))
            sys.stdout.write(json.dumps({"changed": changed}) + "\n")
        else:
            from mlsysops_embedded.store.backup import backup, restore

            config = load_config(arguments.config, ControlPlaneConfig)
            action = backup if arguments.command == "backup" else restore
            action(config.data_dir / "store.sqlite", arguments.file)
    except (ConfigError, OSError) as exc:
        sys.stderr.write(f"error: {' '.join(str(exc).split())}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
