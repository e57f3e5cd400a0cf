"""Plug-ins of users in processes of their own, so that what they do wrong they do to themselves."""

from __future__ import annotations

from .mechanism import WorkerMechanism, load_mechanism_in_worker
from .packages import PackageEnvironments, PackageSettings, PackagesRefused
from .plugin import NotStarted, WorkerPlugin
from .policy import WorkerPolicy, load_in_worker
from .process import WorkerLimits, WorkerProcess
from .typed import WorkerClass, load_class_in_worker

__all__ = [
    "NotStarted",
    "PackageEnvironments",
    "PackageSettings",
    "PackagesRefused",
    "WorkerClass",
    "WorkerLimits",
    "WorkerMechanism",
    "WorkerPlugin",
    "WorkerPolicy",
    "WorkerProcess",
    "load_class_in_worker",
    "load_in_worker",
    "load_mechanism_in_worker",
]
