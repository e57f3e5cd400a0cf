"""The process in which a policy is tried: ``python -m mlsysops_core.plugins.rehearsal --answers FD …``.

It takes the policy's path and the scenario as a pickle on its standard input (who starts it trusts itself) and tells of every
turn as it begins and ends, a line of JSON each. Memory and processor time are limited as a worker's are; a policy that blocks is
ended by who started it, who knows from the lines which turn it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pickle
import resource
import sys
import time
from pathlib import Path
from typing import Any

from .declaration import PluginError
from .modules import load_policy_file
from .replay import Replayed, Scenario, replay
from .worker import end_with

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Try one policy."""
    parser = argparse.ArgumentParser(prog="python -m mlsysops_core.plugins.rehearsal")
    parser.add_argument("--answers", type=int, required=True, help="descriptor that is told of turns")
    parser.add_argument("--parent", type=int, required=True, help="process that started this one")
    parser.add_argument("--memory", type=int, required=True, help="most address space, bytes")
    parser.add_argument("--cpu", type=float, required=True, help="most processor time of a turn, seconds")
    options = parser.parse_args(arguments)
    end_with(options.parent)
    path, scenario = pickle.load(sys.stdin.buffer)  # noqa: S301 -- from the process that started us
    resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _try(options, Path(path), scenario)
    return 0


def _try(options: argparse.Namespace, path: Path, scenario: Scenario) -> None:
    def tell(**message: Any) -> None:
        os.write(options.answers, json.dumps(message, default=str).encode() + b"\n")

    def begin(at: float, asset: str, trigger: str) -> None:
        soft = int(time.process_time() + options.cpu) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
        tell(begun=Replayed(at, asset, trigger, "error").as_dict())

    def end(turn: Replayed) -> None:
        tell(turn=turn.as_dict())

    try:
        begin(0.0, "", "initialize")
        name, policy, _ = load_policy_file(path)
        asyncio.run(replay(name, policy, scenario, begun=begin, ended=end))
        tell(name=name)
    except PluginError as exc:
        tell(fault=exc.message)
    except MemoryError:
        tell(fault=f"policy {path.name}: out of memory (it may use {options.memory // 2**20} MiB)")


if __name__ == "__main__":
    sys.exit(main())
