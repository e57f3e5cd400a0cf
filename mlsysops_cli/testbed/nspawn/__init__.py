"""Hosts on this machine: systemd-nspawn boots them from an overlay over one Debian image, on a private bridge."""

from __future__ import annotations

from mlsysops_cli.testbed.nspawn.backend import Nspawn

__all__ = ["Nspawn"]
