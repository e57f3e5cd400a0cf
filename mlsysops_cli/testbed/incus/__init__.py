"""Hosts on a server of Incus or LXD: containers or virtual machines, made through the server's API by its own client.

The two servers have one ancestor and, in what is used here, one API (https://linuxcontainers.org/incus/docs/main/api/).
"""

from __future__ import annotations

from mlsysops_cli.testbed.incus.backend import Incus
from mlsysops_cli.testbed.incus.place import Place

__all__ = ["Incus", "Place"]
