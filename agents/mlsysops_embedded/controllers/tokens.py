"""Fills Secrets of type ``kubernetes.io/service-account-token``, and removes those whose account is gone.

What kube-controller-manager's tokens controller does (Kubernetes documentation, "Managing Service Accounts", "Token
controller"): such a token does not expire; it is good as long as its Secret holds it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import copy
from mlsysops_embedded.client.resources import SECRETS, SERVICE_ACCOUNTS
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object
    from mlsysops_embedded.controllers.context import Context

__all__ = ["run"]

_log = logging.getLogger(__name__)
_TYPE = "kubernetes.io/service-account-token"
_ACCOUNT = "kubernetes.io/service-account.name"
_UID = "kubernetes.io/service-account.uid"
_CLAIM = "kubernetes.io/serviceaccount/"


def _account_of(secret: Object) -> str:
    """Name of the account that a token Secret is for; empty where it is none."""
    if secret.get("type") != _TYPE:
        return ""
    return str((secret["metadata"].get("annotations") or {}).get(_ACCOUNT) or "")


class _Controller:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.sign = context.settings.sign
        self.root_ca = context.settings.root_ca
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self.accounts = context.informers.informer(SERVICE_ACCOUNTS)
        self.secrets = context.informers.informer(SECRETS)
        self.secrets.add_handler(lambda new, old: self.queue.add(key_of(new)) if new and _account_of(new) else None)
        self.accounts.add_handler(self._account_changed)

    def _account_changed(self, new: Object | None, old: Object | None) -> None:
        metadata = (new or old or {})["metadata"]
        for secret in self.secrets.items(metadata["namespace"]):
            if _account_of(secret) == metadata["name"]:
                self.queue.add(key_of(secret))

    async def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        secret = self.secrets.get(name, namespace)
        if secret is None or not _account_of(secret) or secret["metadata"].get("deletionTimestamp"):
            return
        account = await self._account(_account_of(secret), namespace)
        known = secret["metadata"]["annotations"].get(_UID)
        if account is None or known not in (None, account["metadata"]["uid"]):
            await self.client.delete(SECRETS, name, namespace, uid=secret["metadata"]["uid"])
            return
        data = secret.get("data") or {}
        if self.sign is None or (known and data.get("token")):
            return
        claims = {
            "iss": "kubernetes/serviceaccount",
            f"{_CLAIM}namespace": namespace,
            f"{_CLAIM}secret.name": name,
            f"{_CLAIM}service-account.name": account["metadata"]["name"],
            f"{_CLAIM}service-account.uid": account["metadata"]["uid"],
            "sub": f"system:serviceaccount:{namespace}:{account['metadata']['name']}",
        }
        filled = copy(secret)
        filled["metadata"]["annotations"][_UID] = account["metadata"]["uid"]
        texts = {"token": self.sign(claims), "ca.crt": self.root_ca, "namespace": namespace}
        filled["data"] = data | {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        await self.client.update(SECRETS, filled)

    async def _account(self, name: str, namespace: str) -> Object | None:
        """The account; asked for once more where the informer knows none, since the Secret may be ahead of it."""
        found = self.accounts.get(name, namespace)
        if found is not None:
            return found
        try:
            return await self.client.get(SERVICE_ACCOUNTS, name, namespace)
        except ApiError as exc:
            if exc.code == 404:
                return None
            raise


async def run(context: Context) -> None:
    """Keep token Secrets for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.accounts, controller.secrets)
    async with asyncio.TaskGroup() as group:
        group.create_task(process(controller.queue, controller.reconcile, _log))
