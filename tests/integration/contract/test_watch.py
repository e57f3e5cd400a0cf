"""Watches: what they start with, what they deliver, how they end."""

from __future__ import annotations

import httpx
import pytest
from kube_api import Api, Obj, Watch, config_map, failure, hold, lease, names, path, version
from kube_targets import Target

URL = "leases"


def seen(event: Obj) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


def until(watch: Watch, last: str) -> list[tuple[str, str]]:
    """Events up to the one on the object `last`."""
    events = [seen(watch.next())]
    while events[-1][1] != last:
        events.append(seen(watch.next()))
    return events


def listed(api: Api, namespace: str) -> str:
    result: str = api.read(path(URL, namespace))["metadata"]["resourceVersion"]
    return result


def test_changes_since_a_list(api: Api, namespace: str) -> None:
    url = path(URL, namespace)
    api.create(url, lease("before"))
    since = listed(api, namespace)
    created = api.create(url, lease("cm"))
    changed = api.merge(f"{url}/cm", hold("two"))
    api.remove(f"{url}/cm")
    with api.watch(url, resourceVersion=since) as watch:
        added, modified, deleted = watch.take(3)
        assert added == {"type": "ADDED", "object": created}
        assert modified == {"type": "MODIFIED", "object": changed}
        assert seen(deleted) == ("DELETED", "cm")
        assert deleted["object"]["spec"]["holderIdentity"] == "two"
        assert version(deleted["object"]) > version(changed)
        # The watch goes on, live.
        live = api.create(url, lease("live"))
        assert watch.next() == {"type": "ADDED", "object": live}


def test_every_event_can_be_resumed_from(api: Api, namespace: str) -> None:
    url = path(URL, namespace)
    since = listed(api, namespace)
    for index in range(5):
        api.create(url, lease(f"cm-{index}"))
    api.remove(f"{url}/cm-0")
    with api.watch(url, resourceVersion=since) as watch:
        events = watch.take(6)
    versions = [version(event["object"]) for event in events]
    assert versions == sorted(set(versions))
    for index, event in enumerate(events[:-1]):
        with api.watch(url, resourceVersion=event["object"]["metadata"]["resourceVersion"]) as watch:
            assert watch.take(len(events) - index - 1) == events[index + 1 :]


@pytest.mark.parametrize("start", [{}, {"resourceVersion": ""}, {"resourceVersion": "0"}])
def test_without_a_version_it_starts_with_what_is_there(api: Api, namespace: str, start: dict[str, str]) -> None:
    url = path(URL, namespace)
    for name in ("b", "a"):
        api.create(url, lease(name))
    api.merge(f"{url}/a", hold("two"))
    with api.watch(url, **start) as watch:
        assert sorted(seen(event) for event in watch.take(2)) == [("ADDED", "a"), ("ADDED", "b")]
        api.create(url, lease("c"))
        assert seen(watch.next()) == ("ADDED", "c")


def test_of_all_namespaces(api: Api, namespace: str) -> None:
    since = api.read(path(URL))["metadata"]["resourceVersion"]
    created = api.create(path(URL, namespace), lease("cm"))
    with api.watch(path(URL), resourceVersion=since, labelSelector="") as watch:
        event = watch.next()
        while event["object"]["metadata"]["namespace"] != namespace:
            event = watch.next()
        assert event["object"] == created


def test_other_namespaces_are_not_seen(api: Api, namespace: str) -> None:
    since = listed(api, namespace)
    api.create(path(URL, "default"), lease(f"elsewhere-{namespace}"))
    api.create(path(URL, namespace), lease("here"))
    with api.watch(path(URL, namespace), resourceVersion=since) as watch:
        assert seen(watch.next()) == ("ADDED", "here")
    api.remove(path(URL, "default", f"elsewhere-{namespace}"))


def test_selected_by_labels(api: Api, namespace: str) -> None:
    """An object that comes to fit is ADDED, one that ceases to is DELETED."""
    url = path(URL, namespace)
    since = listed(api, namespace)
    api.create(url, lease("cm", labels={"on": "no"}))
    api.merge(f"{url}/cm", {"metadata": {"labels": {"on": "yes"}}})
    api.merge(f"{url}/cm", hold("two"))
    off = api.merge(f"{url}/cm", {"metadata": {"labels": {"on": "no"}}})
    api.merge(f"{url}/cm", hold("three"))
    api.create(url, lease("end", labels={"on": "yes"}))
    with api.watch(url, resourceVersion=since, labelSelector="on=yes") as watch:
        events = watch.take(4)
    assert [seen(event) for event in events] == [
        ("ADDED", "cm"),
        ("MODIFIED", "cm"),
        ("DELETED", "cm"),
        ("ADDED", "end"),
    ]
    # What left is shown as it was while it fitted, at the version at which it left.
    assert events[2]["object"]["metadata"]["labels"] == {"on": "yes"}
    assert version(events[2]["object"]) == version(off)


def test_selected_by_fields(api: Api, namespace: str) -> None:
    url = path(URL, namespace)
    since = listed(api, namespace)
    for name in ("a", "b", "c"):
        api.create(url, lease(name))
    with api.watch(url, resourceVersion=since, fieldSelector="metadata.name=b") as watch:
        assert seen(watch.next()) == ("ADDED", "b")
        api.remove(f"{url}/c")
        api.remove(f"{url}/b")
        assert seen(watch.next()) == ("DELETED", "b")


def test_ends_after_its_time(api: Api, namespace: str) -> None:
    with api.watch(path(URL, namespace), resourceVersion=listed(api, namespace), timeoutSeconds=1) as watch:
        assert list(watch.rest()) == []


def test_bookmarks(api: Api, namespace: str) -> None:
    """At the latest shortly before the end, so that the next watch need not repeat anything."""
    url = path("secrets", namespace)
    since = api.read(url)["metadata"]["resourceVersion"]
    api.create(url, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other-progress"}})
    params = {"resourceVersion": since, "allowWatchBookmarks": "true", "timeoutSeconds": 5}
    with api.watch(url, fieldSelector="metadata.name=none", **params) as watch:
        events = list(watch.rest())
    assert events, "no bookmark"
    assert {event["type"] for event in events} == {"BOOKMARK"}
    mark = events[-1]["object"]
    assert (mark["kind"], mark["apiVersion"]) == ("Secret", "v1")
    assert mark["metadata"]["resourceVersion"].isdigit()
    assert version(mark) >= int(since)


def test_no_bookmarks_unasked(api: Api, namespace: str) -> None:
    with api.watch(path(URL, namespace), resourceVersion=listed(api, namespace), timeoutSeconds=4) as watch:
        assert list(watch.rest()) == []


INITIAL = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


class TestInitialEvents:
    """`sendInitialEvents`: a list as a watch."""

    @pytest.mark.parametrize("start", ["", "0"])
    def test_what_is_there_then_a_bookmark_then_changes(self, api: Api, namespace: str, start: str) -> None:
        url = path(URL, namespace)
        for name in ("a", "b"):
            api.create(url, lease(name))
        with api.watch(url, resourceVersion=start, **INITIAL) as watch:
            assert sorted(seen(event) for event in watch.take(2)) == [("ADDED", "a"), ("ADDED", "b")]
            mark = watch.next()
            assert mark["type"] == "BOOKMARK"
            assert mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"
            api.create(url, lease("c"))
            assert seen(watch.next()) == ("ADDED", "c")
        with api.watch(url, resourceVersion=mark["object"]["metadata"]["resourceVersion"]) as watch:
            assert seen(watch.next()) == ("ADDED", "c")

    def test_without_them(self, api: Api, namespace: str) -> None:
        url = path(URL, namespace)
        api.create(url, lease("a"))
        params = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
        with api.watch(url, resourceVersion=listed(api, namespace), **params) as watch:
            api.create(url, lease("b"))
            assert seen(watch.next()) == ("ADDED", "b")

    @pytest.mark.parametrize(
        "params",
        [
            {"sendInitialEvents": "true", "watch": "true"},
            {"sendInitialEvents": "true", "resourceVersionMatch": "Exact", "watch": "true"},
            {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
        ],
    )
    def test_needs_a_watch_and_not_older_than(self, api: Api, namespace: str, params: dict[str, str]) -> None:
        failure(api.get(path(URL, namespace), **params), 422, "Invalid")


def test_a_slow_reader_loses_nothing(api: Api, namespace: str) -> None:
    url = path(URL, namespace)
    since = listed(api, namespace)
    with api.watch(url, resourceVersion=since) as watch:
        expected = []
        for index in range(200):
            api.create(url, lease(f"cm-{index:03}", "x" * 2000))
            expected.append(("ADDED", f"cm-{index:03}"))
        assert [seen(event) for event in watch.take(200)] == expected


def test_delete_collection_is_seen_one_by_one(api: Api, namespace: str) -> None:
    url = path(URL, namespace)
    for name in ("a", "b"):
        api.create(url, lease(name))
    since = listed(api, namespace)
    api.remove(url)
    with api.watch(url, resourceVersion=since) as watch:
        events = watch.take(2)
    assert sorted(seen(event) for event in events) == [("DELETED", "a"), ("DELETED", "b")]
    assert names(api.read(url)) == []


@pytest.mark.parametrize("malformed", ["newest", "-5", "9" * 30])
def test_malformed_version(target: Target, api: Api, namespace: str, malformed: str) -> None:
    """Of a watch, Kubernetes calls this an error of its own (500); what a client got wrong is a 400 to us."""
    response = api.get(path(URL, namespace), watch="true", resourceVersion=malformed)
    assert response.status_code == (400 if target.embedded else 500)
    failure(api.get(path(URL, namespace), resourceVersion=malformed), 400, "BadRequest")


@pytest.mark.parametrize("flag", ["1", "true", "yes", ""])
def test_flags_that_are_set(api: Api, namespace: str, flag: str) -> None:
    """Whatever is neither 0 nor false."""
    api.create(path(URL, namespace), lease("a"))
    response = api.get(path(URL, namespace), watch=flag, timeoutSeconds="1")
    assert response.json()["type"] == "ADDED"


@pytest.mark.parametrize("flag", ["0", "false", "False"])
def test_flags_that_are_not_set(api: Api, namespace: str, flag: str) -> None:
    assert api.get(path(URL, namespace), watch=flag).json()["kind"] == "LeaseList"


def test_head_of_line(api: Api, namespace: str) -> None:
    """An open watch that nobody reads holds nobody up."""
    url = path(URL, namespace)
    with api.http.stream("GET", url, params={"watch": "true"}, timeout=httpx.Timeout(10)) as idle:
        assert idle.status_code == 200
        for index in range(30):
            api.create(url, lease(f"cm-{index}", "x" * 100_000))
    assert len(api.read(url)["items"]) == 30


def test_from_a_version_that_is_not_there_yet(api: Api, namespace: str) -> None:
    """What comes before it is not shown, wherever the number is from."""
    url = path("configmaps", namespace)
    begin = int(api.read(url)["metadata"]["resourceVersion"])
    with api.watch(url, resourceVersion=begin + 1_000_000, timeoutSeconds=3) as watch:
        api.create(url, config_map("early"))
        assert [event["type"] for event in watch.rest()] in ([], ["ERROR"])
