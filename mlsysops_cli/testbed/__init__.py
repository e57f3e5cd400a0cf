"""Machines for trying a slice out: systemd hosts on a private bridge of this machine, made and removed by `mls testbed`.

The one backend is systemd-nspawn: hosts boot their own systemd and sshd from an overlay over one Debian image, each in a
network namespace of its own. They are reached over SSH like any other machine.
"""

from __future__ import annotations

__all__: list[str] = []
