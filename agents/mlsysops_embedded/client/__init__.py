"""Talks to API servers: the client contract, its HTTPS form, informers and work queues."""

from __future__ import annotations

from mlsysops_embedded.client.events import EventRecorder
from mlsysops_embedded.client.http import HttpClient
from mlsysops_embedded.client.informer import Informer, InformerFactory, key_of
from mlsysops_embedded.client.kubeconfig import Connection, load_kubeconfig
from mlsysops_embedded.client.protocol import Client, Object, PatchType, Resource
from mlsysops_embedded.client.workqueue import WorkQueue, backoff, process

__all__ = [
    "Client",
    "Connection",
    "EventRecorder",
    "HttpClient",
    "Informer",
    "InformerFactory",
    "Object",
    "PatchType",
    "Resource",
    "WorkQueue",
    "backoff",
    "key_of",
    "load_kubeconfig",
    "process",
]
