"""What is too old is Gone, and says how to go on."""

from __future__ import annotations

from kube_api import Api, Obj, failure, hold, lease, names, path
from kube_targets import Target

URL = "leases"


def compact(target: Target, api: Api, namespace: str, since: str) -> None:
    """Make the server forget what was before now: by its own means, which for our engine is to be written to."""
    url = path(URL, namespace)
    for _ in range(300):
        api.merge(f"{url}/zz-churn", hold(str(_)))
    if target.compact is not None:
        target.compact(int(api.read(url)["metadata"]["resourceVersion"]))
    for count in range(60):
        if api.get(url, resourceVersion=since, resourceVersionMatch="Exact").status_code == 410:
            return
        for _ in range(5):
            api.merge(f"{url}/zz-churn", hold(f"{count}-{_}" + "x" * 900_000))
    raise AssertionError("the history of 270 MB is still kept")


def test_what_is_too_old(target: Target, api: Api, namespace: str) -> None:
    """One test, since forgetting is expensive."""
    url = path(URL, namespace)
    for index in range(6):
        api.create(url, lease(f"cm-{index}"))
    api.create(url, lease("zz-churn"))
    first = api.read(url, limit=2, labelSelector="!none")
    since: str = first["metadata"]["resourceVersion"]
    api.remove(f"{url}/cm-4")
    compact(target, api, namespace, since)

    status = failure(api.get(url, resourceVersion=since, resourceVersionMatch="Exact"), 410, "Expired")
    assert "too old" in status["message"] or "required revision has been compacted" in status["message"]

    # A watch from there ends with an error event at once.
    with api.watch(url, resourceVersion=since) as watch:
        event = watch.next()
        assert event["type"] == "ERROR"
        gone: Obj = event["object"]
        assert (gone["kind"], gone["code"], gone["reason"]) == ("Status", 410, "Expired")
        assert list(watch.rest()) == []

    # A list cannot go on consistently, but it can go on.
    status = failure(
        api.get(url, limit=2, labelSelector="!none", **{"continue": first["metadata"]["continue"]}), 410, "Expired"
    )
    fresh = status["metadata"]["continue"]
    rest = api.read(url, limit=10, labelSelector="!none", **{"continue": fresh})
    assert [name for name in names(rest) if name.startswith("cm-")] == ["cm-2", "cm-3", "cm-5"]

    # Reading not older than that is still possible: the present is not older.
    assert api.get(url, resourceVersion=since, resourceVersionMatch="NotOlderThan").status_code == 200
