"""Sensors a component asks for against those a node offers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from mlsysops_core.model.sensors import Camera, CameraRequest, SensorOffer, SensorRequest, kinds_of

__all__ = ["sensors_reason"]

#: How what is offered must relate to what is asked for.
_COMPARISONS: tuple[tuple[str, Callable[[float, float], bool]], ...] = (
    ("measurement_min", operator.ge),
    ("measurement_max", operator.le),
    ("accuracy", operator.ge),
    ("sampling_frequency", operator.le),
)


def sensors_reason(wanted: Sequence[SensorRequest], offered: Sequence[SensorOffer]) -> str:
    """Say which sensor is missing; empty where all are there.

    Requests are counted against offers one kind at a time, so two requests of one camera need two cameras (or one entry
    with two instances) that match.
    """
    left = [_instances(offer) for offer in offered]
    for request in wanted:
        needed = int(request.instances or 1)
        for kind in kinds_of(request):
            reasons: list[str] = []
            missing = needed
            for index, offer in enumerate(offered):
                given = getattr(offer, kind)
                if given is None or left[index] <= 0:
                    continue
                reason = _mismatch(kind, getattr(request, kind), given)
                if reason or (request.protocol and offer.protocol and request.protocol != offer.protocol):
                    reasons.append(reason or f"{kind} speaks {offer.protocol}, not {request.protocol}")
                    continue
                taken = min(missing, left[index])
                left[index] -= taken
                missing -= taken
                if not missing:
                    break
            if missing:
                model = getattr(getattr(request, kind), "model", None)
                name = f"{kind} {model}" if model else kind
                return f"needs {name}" + (f": {'; '.join(reasons)}" if reasons else f", {_has(offered, kind)}")
    return ""


def _instances(offer: SensorOffer) -> int:
    """Return how many sensors an entry stands for; the number is written on the entry or on the sensor."""
    counts = [offer.instances, *(getattr(getattr(offer, kind), "instances", None) for kind in kinds_of(offer))]
    return int(max((count for count in counts if count is not None), default=1))


def _has(offered: Sequence[SensorOffer], kind: str) -> str:
    return "all are taken" if any(getattr(offer, kind) is not None for offer in offered) else "has none"


def _mismatch(kind: str, wanted: Any, given: Any) -> str:
    if wanted.model is not None and wanted.model != given.model:
        return f"{kind} is {given.model or 'of unknown model'}"
    if isinstance(wanted, CameraRequest) and isinstance(given, Camera):
        return _camera_mismatch(wanted, given)
    return _measurement_mismatch(kind, wanted, given)


def _camera_mismatch(wanted: CameraRequest, given: Camera) -> str:
    if wanted.camera_type is not None and wanted.camera_type != given.camera_type:
        return f"camera is {given.camera_type or 'of unknown type'}, not {wanted.camera_type}"
    if wanted.minimum_framerate is not None and (given.framerate or 0) < wanted.minimum_framerate:
        has = "unknown" if given.framerate is None else str(given.framerate)
        return f"camera's framerate is {has}, not {wanted.minimum_framerate}"
    if wanted.resolution is not None and wanted.resolution not in given.supported_resolutions:
        return f"camera lacks {wanted.resolution}"
    return ""


def _measurement_mismatch(kind: str, wanted: Any, given: Any) -> str:
    """Compare ranges and rates of measuring sensors; both sides state them in ``measurement_unit``."""
    unit = wanted.measurement_unit
    if unit is not None and given.measurement_unit is not None and unit != given.measurement_unit:
        return f"{kind} measures in {given.measurement_unit}, not {unit}"
    for name, fits in _COMPARISONS:
        need, has = getattr(wanted, name), getattr(given, name)
        if need is not None and (has is None or not fits(need, has)):
            return f"{kind}'s {name} is {'unknown' if has is None else f'{has:g}'}, not {need:g}"
    return ""
