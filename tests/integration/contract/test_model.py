"""Lists and watches against a model: any sequence of changes, seen from any version on, through any selector."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from kube_api import Api, Obj, hold, lease, path, version

NAMES = st.sampled_from([f"cm-{letter}" for letter in "abcdef"])
VALUES = st.sampled_from(["1", "2", "3"])
TEAMS = st.sampled_from(["red", "blue"])
SELECTORS = st.sampled_from(["", "team=red", "team!=red"])
_NAMESPACES = itertools.count(1)


def fits(obj: Obj, selector: str) -> bool:
    team = obj["metadata"]["labels"]["team"]
    return {"": True, "team=red": team == "red", "team!=red": team != "red"}[selector]


class Contents(RuleBasedStateMachine):
    """The Leases of one namespace."""

    api: Api

    @initialize()
    def start(self) -> None:
        namespace = f"model-{next(_NAMESPACES)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        self.api.create(path("namespaces"), body)
        self.namespace = namespace
        self.url = path("leases", namespace)
        self.state: dict[str, Obj] = {}
        # Version -> state then, and (earliest version, latest, type, object then or before) of each change: that of a
        # deletion is not told, and others may write in between.
        self.past: dict[int, dict[str, Obj]] = {version(self.api.read(self.url)): {}}
        self.changes: list[tuple[int, int, str, Obj, Obj | None]] = []
        self.markers = itertools.count(1)

    def teardown(self) -> None:
        if hasattr(self, "namespace"):
            self.api.delete(path("namespaces", name=self.namespace))

    def changed(self, kind: str, obj: Obj, before: Obj | None) -> None:
        name = obj["metadata"]["name"]
        if kind == "DELETED":
            del self.state[name]
            number = version(self.api.read(self.url))
            first = version(obj) + 1
        else:
            self.state[name] = obj
            first = number = version(obj)
        self.changes.append((first, number, kind, obj, before))
        self.past[number] = dict(self.state)

    @rule(name=NAMES, value=VALUES, team=TEAMS)
    def create(self, name: str, value: str, team: str) -> None:
        response = self.api.post(self.url, lease(name, value, labels={"team": team}))
        assert response.status_code == (409 if name in self.state else 201)
        if response.status_code == 201:
            self.changed("ADDED", response.json(), None)

    @rule(name=NAMES, value=VALUES, team=TEAMS)
    def update(self, name: str, value: str, team: str) -> None:
        response = self.api.patch(f"{self.url}/{name}", {**hold(value), "metadata": {"labels": {"team": team}}})
        before = self.state.get(name)
        assert response.status_code == (200 if before else 404)
        if before is None:
            return
        if before["spec"]["holderIdentity"] == value and before["metadata"]["labels"]["team"] == team:
            assert response.json() == before
        else:
            assert version(response.json()) > version(before)
            self.changed("MODIFIED", response.json(), before)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        before = self.state.get(name)
        assert self.api.delete(f"{self.url}/{name}").status_code == (200 if before else 404)
        if before:
            self.changed("DELETED", before, before)

    @rule(selector=SELECTORS)
    def list_now(self, selector: str) -> None:
        items = self.items(self.api.read(self.url, labelSelector=selector))
        assert items == self.expected(self.state, selector)

    @rule(data=st.data(), selector=SELECTORS)
    def list_then(self, data: st.DataObject, selector: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.past)))
        listing = self.api.read(
            self.url, resourceVersion=str(number), resourceVersionMatch="Exact", labelSelector=selector
        )
        assert version(listing) == number
        assert self.items(listing) == self.expected(self.past[number], selector)

    @rule(limit=st.integers(1, 3), name=NAMES, value=VALUES, team=TEAMS)
    def list_in_pages_while_it_changes(self, limit: int, name: str, value: str, team: str) -> None:
        expected = self.expected(dict(self.state), "")
        listing = self.api.read(self.url, limit=limit)
        items = self.items(listing)
        while token := listing["metadata"].get("continue"):
            (self.delete(name) if value == "1" else self.create(name, value, team))
            listing = self.api.read(self.url, limit=limit, **{"continue": token})
            items += self.items(listing)
        assert items == expected

    @rule(data=st.data(), selector=SELECTORS)
    def watch(self, data: st.DataObject, selector: str) -> None:
        since = data.draw(st.sampled_from(sorted(self.past)))
        expected = self.events(since, selector)
        with self.api.watch(self.url, resourceVersion=str(since), labelSelector=selector) as watch:
            for kind, name, first, last in expected:
                told = self.told(watch.next())
                assert told[:2] == (kind, name)
                assert first <= told[2] <= last
            # Nothing more came: the next is what is made now.
            team = "blue" if selector == "team!=red" else "red"
            marker = lease(f"marker-{next(self.markers)}", "1", labels={"team": team})
            made = self.api.create(self.url, marker)
            self.changed("ADDED", made, None)
            assert self.told(watch.next()) == ("ADDED", made["metadata"]["name"], version(made))

    @rule(selector=SELECTORS)
    def list_as_a_watch(self, selector: str) -> None:
        params = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        expected = self.expected(self.state, selector)
        with self.api.watch(self.url, labelSelector=selector, **params) as watch:
            events = watch.take(len(expected))
            assert [event["type"] for event in events] == ["ADDED"] * len(expected)
            assert sorted((event["object"] for event in events), key=lambda o: o["metadata"]["name"]) == expected
            assert watch.next()["type"] == "BOOKMARK"

    @invariant()
    def each_object_is_as_acknowledged(self) -> None:
        for name, obj in list(getattr(self, "state", {}).items())[:1]:
            assert self.api.read(f"{self.url}/{name}") == obj

    @staticmethod
    def told(event: Obj) -> tuple[str, str, int]:
        return event["type"], event["object"]["metadata"]["name"], version(event["object"])

    @staticmethod
    def items(listing: Obj) -> list[Obj]:
        return [{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **item} for item in listing["items"]]

    @staticmethod
    def expected(state: dict[str, Obj], selector: str) -> list[Obj]:
        return [state[name] for name in sorted(state) if fits(state[name], selector)]

    def events(self, since: int, selector: str) -> list[tuple[str, str, int, int]]:
        found = []
        for first, number, kind, obj, before in self.changes:
            if number <= since:
                continue
            was = before is not None and fits(before, selector)
            fits_now = kind != "DELETED" and fits(obj, selector)
            if fits_now or was:
                told = "DELETED" if not fits_now else "MODIFIED" if was else "ADDED"
                found.append((told, obj["metadata"]["name"], first, number))
        return found


def test_lists_and_watches_agree_with_a_model(api: Api) -> None:
    def factory() -> Any:
        machine = Contents()
        machine.api = api
        return machine

    run_state_machine_as_test(
        factory,
        settings=settings(
            max_examples=12,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        ),
    )
