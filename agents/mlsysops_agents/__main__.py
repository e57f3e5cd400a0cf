"""``python -m mlsysops_agents continuum|cluster|node --config F``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from mlsysops_core.errors import InvalidInput, MlsError

from .config import AgentConfig, load_config
from .process import configure_logging, die_with_parent, run_process, tier_run

_log = logging.getLogger("mlsysops_agents")


def main(arguments: list[str] | None = None) -> int:
    """Run an agent; returns the exit code of the error's family, 0 after a signal."""
    parser = argparse.ArgumentParser(prog="python -m mlsysops_agents", description="Run one MLSysOps agent.")
    parser.add_argument("tier", choices=["continuum", "cluster", "node"], help="which tier the agent serves")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML configuration of the agent")
    parser.add_argument(
        "--restore",
        action="store_true",
        help="put back what the agent of a node changed on its machine, and exit; after the agent has stopped for good",
    )
    options = parser.parse_args(arguments)
    if options.restore and options.tier != "node":
        parser.error("--restore is for the tier node: the others change nothing on their machine")
    try:
        config = load_config(options.config, tier=options.tier)
    except InvalidInput as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201 - the supervisor's log is the only reader
        return exc.exit_code
    configure_logging(config.log_level)
    if options.restore:
        return _restore(config)
    if os.environ.get("MLS_SUPERVISED") == "1":
        die_with_parent()
    try:
        asyncio.run(run_process(config, tier_run(config.tier)))
    except MlsError as exc:
        _log.error("%s", exc)
        _log.debug("cause", exc_info=exc)
        # What the configuration asks for cannot be had (a port that is taken, say): configuration error, as 3.
        return InvalidInput.exit_code if exc.exit_code == 7 else exc.exit_code
    return 0


def _restore(config: AgentConfig) -> int:
    from .node.settings import restore_node

    try:
        lines = asyncio.run(restore_node(config))
    except MlsError as exc:
        _log.error("%s", exc)
        return exc.exit_code
    for line in lines or ["nothing to put back"]:
        _log.info("%s", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
