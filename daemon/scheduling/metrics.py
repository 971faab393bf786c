"""Tells Prometheus counters and histograms that grow as things happen, in base units."""

from __future__ import annotations

from functools import partial

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
        gauge = partial(Gauge, registry=registry)
        self.jobs = gauge("ffspool_jobs", "Jobs by state", ["state"])
        self.variations = gauge("ffspool_variations", "Variations by state", ["state"])
        self.oldest = gauge("ffspool_queue_oldest_age_seconds", "Age of the oldest queued variation; 0: none")
        self.disk = gauge("ffspool_disk_bytes", "The spool's file system", ["kind"])
        self.queue = gauge("ffspool_queue_state", "1 for the state the queue is in", ["state"])
        self.slots = gauge("ffspool_slots", "Encodes that may run at once, and that do", ["kind"])
        self.sandbox = gauge("ffspool_sandbox_active", "1 if decoders and encoders are shut in")
        self.failing = Gauge(
            "ffspool_webhooks_failing",
            "Messages that could not be sent so far, and will be tried again",
            registry=registry,
        )
        self.failing_age = gauge("ffspool_webhook_oldest_failing_age_seconds", "Age of the oldest of these; 0: none")
        self.undelivered = gauge("ffspool_deliveries_failing", "Outputs not delivered so far, and tried again")
        self.undelivered_age = gauge("ffspool_delivery_oldest_failing_age_seconds", "Age of the oldest; 0: none")
        self.checkpoint_age = Gauge(
            "ffspool_database_checkpoint_age_seconds",
            "Since the log was last written back; 0: nothing is",
            registry=registry,
        )
        self.build = gauge("ffspool_build_info", "Always 1", ["version", "encoder", "schema"])
        self.subscribers = gauge("ffspool_event_subscribers", "Clients that listen to events")
        self.lag = gauge("ffspool_event_lag", "Events the slowest listener is behind")
        self._grow(registry)

    def _grow(self, registry: CollectorRegistry) -> None:
        """Begins those that are told of as things happen."""
        self._ended = Counter(
            "ffspool_variations_ended", "Ends of variations", ["state", "preset", "reason"], registry=registry
        )
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
        self._attempts = Counter(
            "ffspool_webhook_attempts", "Tries to send a message to a receiver", ["result"], registry=registry
        )
        for result in ("delivered", "failed"):  # told from the first, so that a rate knows of the first failure
            self._attempts.labels(result)
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

    def ended(self, state: str, preset: str, reason: str) -> None:
        """Counts a variation that ended; `reason` is of a few classes."""
        self._ended.labels(state, preset, reason).inc()

    def sent(self, *, taken: bool) -> None:
        """Counts a try to send a webhook's message, which its receiver has `taken` or not."""
        self._attempts.labels("delivered" if taken else "failed").inc()

    def stopped(self, stopped: Stopped) -> None:
        """Counts a process that was ended because we were asked to."""
        self._stop.labels(stopped.stage).observe(stopped.seconds)

    def render(self) -> tuple[bytes, str]:
        """Returns the metrics as text, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
