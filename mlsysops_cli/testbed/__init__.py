"""Machines for trying a slice out, made, broken and removed by `mls testbed`.

Two backends make them: systemd-nspawn on this machine (`nspawn`), and a server of Incus or LXD (`incus`). Whatever makes
them, the hosts boot their own systemd and sshd, and are reached over SSH like any other machine.
"""

from __future__ import annotations

__all__: list[str] = []
