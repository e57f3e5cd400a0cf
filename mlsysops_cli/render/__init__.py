"""Rendering: a slice becomes descriptions, Kubernetes and Karmada objects and the config files of its parts."""

from __future__ import annotations

from mlsysops_cli.render.diff import TreeDiff, diff_trees
from mlsysops_cli.render.facts import cached_facts, known_identities, local_facts, save_facts, save_identities
from mlsysops_cli.render.needs import preflight_plan
from mlsysops_cli.render.plan import deployment_plan, remote_temporary, take_ownership
from mlsysops_cli.render.testapp import test_application
from mlsysops_cli.render.tree import RenderedTree, begin_rendering, render_slice, write_tree

__all__ = [
    "RenderedTree",
    "TreeDiff",
    "begin_rendering",
    "cached_facts",
    "deployment_plan",
    "diff_trees",
    "known_identities",
    "local_facts",
    "preflight_plan",
    "remote_temporary",
    "render_slice",
    "save_facts",
    "save_identities",
    "take_ownership",
    "test_application",
    "write_tree",
]
