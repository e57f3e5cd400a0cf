"""Sensors: what a component asks for and what a node offers."""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict, Field

from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Model, rule, with_rules
from mlsysops_core.model.scalars import Instances, Integer, NotNegative, Number, Text

__all__ = [
    "OFFER_KINDS",
    "REQUEST_KINDS",
    "Camera",
    "CameraRequest",
    "FrequencyRange",
    "Measurement",
    "RangedMeasurement",
    "SensorOffer",
    "SensorRequest",
    "kinds_of",
]

REQUEST_KINDS: Final = ("camera", "temperature", "accelerometer", "barometer", "air_quality")
OFFER_KINDS: Final = (*REQUEST_KINDS, "humidity", "sound", "co2")


def _one_of(kinds: tuple[str, ...]) -> ConfigDict:
    return with_rules(
        rule(" || ".join(f"has(self.{kind})" for kind in kinds), f"one of {', '.join(kinds)} is required")
    )


class _Measured(Model):
    """What all measuring sensors share."""

    measurement_min: Number | None = Field(
        None, description="Smallest value that can be measured, in measurement_unit."
    )
    measurement_max: Number | None = Field(None, description="Largest value that can be measured, in measurement_unit.")
    accuracy: Number | None = Field(None, description="Accuracy, in measurement_unit.")


class Measurement(_Measured):
    """A sensor with one sampling frequency."""

    sampling_frequency: NotNegative | None = Field(None, description="Samples a second (Hz).")


class Temperature(Measurement):
    """A thermometer."""

    model: words.TemperatureModel | None = Field(None, description="Model name of the temperature sensor.")
    measurement_unit: words.TemperatureUnit | None = Field(None, description="Unit of the measured values.")


class Accelerometer(Measurement):
    """An accelerometer."""

    model: words.AccelerometerModel | None = Field(None, description="Model name of the accelerometer.")
    measurement_unit: words.AccelerometerUnit | None = Field(None, description="Unit of the measured values.")


class Barometer(Measurement):
    """A barometer."""

    model: words.BarometerModel | None = Field(None, description="Model name of the barometer.")
    measurement_unit: words.BarometerUnit | None = Field(None, description="Unit of the measured values (pascal).")


class AirQuality(Measurement):
    """An air quality sensor."""

    model: words.AirQualityModel | None = Field(None, description="Model name of the air quality sensor.")
    measurement_unit: words.AirQualityUnit | None = Field(
        None, description="Unit of the measured values (micrograms a cubic metre)."
    )


class FrequencyRange(Model):
    """Frequencies that can be set."""

    min: NotNegative | None = Field(None, description="Lowest sampling frequency (Hz).")
    max: NotNegative | None = Field(None, description="Highest sampling frequency (Hz).")


class RangedMeasurement(_Measured):
    """A sensor whose sampling frequency can be set within a range."""

    model: Text | None = Field(None, description="Model name of the sensor.")
    measurement_unit: Text | None = Field(None, description="Unit of the measured values.")
    sampling_frequency: FrequencyRange | None = Field(None, description="Range of the sampling frequency (Hz).")


class NodeTemperature(Temperature):
    """A thermometer on a node."""

    instances: Instances | None = Field(None, description="Number of identical sensors.")


class CameraRequest(Model):
    """The camera a component needs."""

    model: words.CameraModel | None = Field(None, description="Model name of the camera sensor.")
    camera_type: words.CameraType | None = Field(None, description="Type of the camera sensor.")
    minimum_framerate: Integer | None = Field(None, ge=0, description="Frames a second that are needed at least.")
    resolution: words.Resolution | None = Field(
        None, description="Resolution that is needed, width x height in pixels."
    )


class Camera(Model):
    """A camera on a node."""

    instances: Instances | None = Field(None, description="Number of identical cameras (nodes with several).")
    model: words.CameraModel | None = Field(None, description="Model name of the camera sensor.")
    camera_type: Text | None = Field(
        None, description="Type of the camera sensor, e.g. rgb, nir, thermal or monocular."
    )
    framerate: Integer | None = Field(None, ge=0, description="Frames a second.")
    supported_resolutions: list[words.Resolution] = Field(
        [], max_length=16, description="Resolutions, width x height in pixels."
    )


class SensorRequest(Model):
    """A sensor that a component needs on its node."""

    model_config = _one_of(REQUEST_KINDS)

    camera: CameraRequest | None = Field(None, description="A camera.")
    temperature: Temperature | None = Field(None, description="A temperature sensor.")
    accelerometer: Accelerometer | None = Field(None, description="An accelerometer.")
    barometer: Barometer | None = Field(None, description="A barometer.")
    air_quality: AirQuality | None = Field(None, description="An air quality sensor.")
    endpoint_variable: Text | None = Field(
        None,
        description="Environment variable in which the application finds the endpoint of the sensor's measurements.",
    )
    protocol: words.SensorProtocol | None = Field(None, description="Protocol of the sensor service.")
    instances: NotNegative | None = Field(None, description="Number of sensors that are needed.")


class SensorOffer(Model):
    """A sensor on a node, presented as a service."""

    model_config = _one_of(OFFER_KINDS)

    camera: Camera | None = Field(None, description="A camera.")
    temperature: NodeTemperature | None = Field(None, description="A temperature sensor.")
    accelerometer: Accelerometer | None = Field(None, description="An accelerometer.")
    humidity: RangedMeasurement | None = Field(None, description="A sensor of relative humidity.")
    sound: RangedMeasurement | None = Field(None, description="A sound sensor.")
    co2: RangedMeasurement | None = Field(None, description="A CO2 sensor.")
    barometer: Barometer | None = Field(None, description="A barometer.")
    air_quality: AirQuality | None = Field(None, description="An air quality sensor.")
    instances: NotNegative | None = Field(None, description="Number of sensors.")
    protocol: words.SensorProtocol | None = Field(None, description="Protocol of the sensor service.")
    endpoint: Text | None = Field(
        None, description="Endpoint to read from; the application gets it in an environment variable of its container."
    )


def kinds_of(sensor: SensorRequest | SensorOffer) -> list[str]:
    """Lists the kinds of sensor an entry names, e.g. ``["camera"]``."""
    return [kind for kind in OFFER_KINDS if getattr(sensor, kind, None) is not None]
