"""Better places for what runs already, looked for beside the agent's work: the exact solver may take its time, the loop may not.

The solver begins with where everything is, and each move has its price, so that a plan is better only where it pays for its
disruption. By the time it is found the world may have moved on: it is offered only while it breaks no constraint of the present
one and still costs less than staying.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlsysops_core.contracts import Clock, PlacementOutcome
from mlsysops_core.errors import MlsError

from mlsysops_agents.placement import Exact, Stop, better_places, has_solver, solve_exactly
from mlsysops_agents.placement.build import Built
from mlsysops_agents.placement.problem import Problem, violations

from .world import ClusterWorld

__all__ = ["Optimiser"]

_log = logging.getLogger(__name__)

#: Seconds until the same application is looked at again: its nodes change all the time, and a search is not for nothing.
_REST_SECONDS = 300.0

Solver = Callable[[Problem, Sequence[int], Stop], Exact]


@dataclass(slots=True)
class _Search:
    """What was found for an application: hosts by name, None until then."""

    built: Built
    began: float
    hosts: dict[str, str] | None = None


class Optimiser:
    """Searches one application at a time, in a thread.

    Args:
        world: What the cluster agent knows.
        clock: Its time.
        seconds: What a search may take; 0 makes none.
        workers: Threads of the solver.
        solver: Solves; OR-tools' CP-SAT where None.
    """

    def __init__(
        self, world: ClusterWorld, clock: Clock, *, seconds: float, workers: int = 1, solver: Solver | None = None
    ) -> None:
        self._world = world
        self._clock = clock
        self._seconds = seconds
        self._workers = workers
        self._solver = solver or self._exactly
        self._searches: dict[str, _Search] = {}
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        #: Told of an application for which something better was found.
        self.on_found: Callable[[str], None] | None = None

    @property
    def fault(self) -> str:
        """Why nothing better can be found although it is to be looked for; empty where that is not so."""
        if self._seconds <= 0 or self._solver != self._exactly or has_solver():
            return ""
        return f"exact_seconds is {self._seconds:g}, but OR-tools is not installed: the extra 'optimize' has it"

    def better(self, name: str) -> PlacementOutcome | None:
        """Return where components had better be, as far as that is known; asking has it looked for.

        Args:
            name: An application whose components all have a node.
        """
        if self._seconds <= 0:
            return None
        search, now = self._searches.get(name), self._clock.time()
        if search is not None and search.hosts is not None:
            found = better_places(self._world.whole(name), search.hosts)
            if found is not None and self._world.have_room(name, found.assignments):
                return found
        if search is None or (search.hosts is not None and now - search.began >= _REST_SECONDS):
            built = self._world.whole(name)
            if violations(built.problem, built.problem.current):
                # What cannot stay where it is moves for that reason, and soon.
                return None
            if search is None or built.problem != search.built.problem:
                self._searches[name] = _Search(built, now)
                self._asked.put_nowait(name)
        return None

    def forget(self, name: str) -> None:
        """Drop what is known of an application that is gone."""
        self._searches.pop(name, None)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            name = await self._asked.get()
            search = self._searches.get(name)
            if search is None:
                continue
            await self._look(name, search)

    async def _look(self, name: str, search: _Search) -> None:
        problem, stop = search.built.problem, Stop()
        try:
            found = await asyncio.to_thread(self._solver, problem, problem.current, stop)
        except asyncio.CancelledError:
            # The thread ends by itself then; who waits for it at exit does not wait long.
            stop.set()
            raise
        except MlsError as exc:
            _log.warning("no exact placement of %s: %s", name, exc)
            search.hosts = {}
            return
        except Exception:  # noqa: BLE001 - a foreign library on whatever numbers descriptions have: the agent goes on without
            _log.exception("no exact placement of %s", name)
            search.hosts = {}
            return
        search.hosts = {
            search.built.demands[item].members[0]: search.built.nodes[host].name
            for item, host in enumerate(found.hosts)
            if host != problem.current[item]
        }
        if search.hosts:
            _log.info(
                "better places for %s of %s: %s", len(search.hosts), name, "the best" if found.proved else "so far"
            )
            if self.on_found is not None and name in self._searches:
                self.on_found(name)

    def _exactly(self, problem: Problem, start: Sequence[int], stop: Stop) -> Exact:
        return solve_exactly(problem, start, seconds=self._seconds, workers=self._workers, stop=stop)
