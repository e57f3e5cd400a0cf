"""Lets modules find each other as they do on a host, where Ansible puts them side by side."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

import mlsysops_cli

ansible.module_utils.__path__.append(str(Path(mlsysops_cli.__file__).parent / "ansible_plugins" / "module_utils"))
