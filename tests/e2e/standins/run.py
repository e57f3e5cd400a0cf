"""Runs a module of the environment that the stand-in for k3s carries: ``run.py [NAME=VALUE...] MODULE ARGUMENTS``."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.argv = sys.argv[1:]
while "=" in sys.argv[0]:
    name, _, value = sys.argv.pop(0).partition("=")
    os.environ[name] = value
if (version := os.environ.pop("STANDIN_VERSION", "")) and sys.argv[0] == "mlsysops_embedded":
    from mlsysops_embedded.apiserver import app
    from mlsysops_embedded.kubelet import node

    app.VERSION["gitVersion"] = node.GIT_VERSION = version
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
