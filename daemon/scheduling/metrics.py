"""Tells Prometheus counters and histograms that grow as things happen, in base units."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from daemon.models import Stopped

SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)
STOP_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10)
SPEEDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


class Figures:
    """Holds the metrics of one daemon. No label ever holds an id: what is named is bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.jobs = Gauge("ffspool_jobs", "Jobs by state", ["state"], registry=registry)
        self.variations = Gauge("ffspool_variations", "Variations by state", ["state"], registry=registry)
        self.oldest = Gauge(
            "ffspool_queue_oldest_age_seconds", "Age of the oldest queued variation; 0: none", registry=registry
        )
        self.disk = Gauge("ffspool_disk_bytes", "The spool's file system", ["kind"], registry=registry)
        self.subscribers = Gauge("ffspool_event_subscribers", "Clients that listen to events", registry=registry)
        self.lag = Gauge("ffspool_event_lag", "Events the slowest listener is behind", registry=registry)
        self._encode = Histogram(
            "ffspool_variation_seconds",
            "From its slot to its publication",
            ["preset"],
            buckets=SECONDS,
            registry=registry,
        )
        self._speed = Histogram(
            "ffspool_encode_speed_ratio",
            "Encode speed in times real time",
            ["preset"],
            buckets=SPEEDS,
            registry=registry,
        )
        self._output = Counter("ffspool_output_seconds", "Seconds of media made", ["preset"], registry=registry)
        self._stop = Histogram(
            "ffspool_stop_seconds",
            "From the first signal to the exit",
            ["stage"],
            buckets=STOP_SECONDS,
            registry=registry,
        )

    def completed(self, preset: str, seconds: float, speed: float | None, output_seconds: float | None) -> None:
        """Counts a variation that was published, so many seconds after it got its slot."""
        self._encode.labels(preset).observe(seconds)
        self._output.labels(preset).inc(output_seconds or 0.0)
        if speed is not None:
            self._speed.labels(preset).observe(speed)

    def stopped(self, stopped: Stopped) -> None:
        """Counts a process that was ended because we were asked to."""
        self._stop.labels(stopped.stage).observe(stopped.seconds)

    def render(self) -> tuple[bytes, str]:
        """Returns the metrics as text, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
