"""What Prometheus reads: the bots by status, their orders and executions, the components, our own answer times.

Figures of bots are read from their views at each scrape, so no second count can disagree with the screens.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.messages import ComponentHealth
from actors.views import BotView

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meters:
    """Counts of this process, and the text of a scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "trellis_api_request_seconds",
            "Time from a request to its answer",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def count_request(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count a request under its route (not its address: that would be a time series per bot)."""
        self._requests.labels(method, route, str(status)).observe(took_s)

    def text(
        self, views: Sequence[BotView], components: Sequence[ComponentHealth], more: Iterable[Metric] = ()
    ) -> bytes:
        """Write everything in Prometheus' text format; `more` are families of other rooms."""
        scrape = CollectorRegistry()
        scrape.register(_Families(_bot_families(views), _component_families(components), more))
        return generate_latest(self._registry) + generate_latest(scrape)


class _Families(Collector):
    """Families that were worked out before the scrape."""

    def __init__(self, *groups: Iterable[Metric]) -> None:
        self._families = [family for group in groups for family in group]

    def collect(self) -> list[Metric]:
        return self._families


def _bot_families(views: Sequence[BotView]) -> Iterator[Metric]:
    bots = GaugeMetricFamily("trellis_bots", "Bots by status", labels=["status"])
    for status, count in sorted(Counter(view.status for view in views).items()):
        bots.add_metric([status], count)
    yield bots
    orders = GaugeMetricFamily("trellis_bot_open_orders", "Orders that may rest at the venue", labels=["bot"])
    executions = CounterMetricFamily("trellis_bot_executions", "Executions of a bot", labels=["bot"])
    trips = CounterMetricFamily("trellis_bot_round_trips", "Round trips of a bot", labels=["bot"])
    total = GaugeMetricFamily(
        "trellis_bot_total_profit", "Total profit of a bot in its quote coin", labels=["bot", "symbol"]
    )
    age = GaugeMetricFamily("trellis_bot_view_age_seconds", "Age of a bot's last word", labels=["bot"])
    lag = GaugeMetricFamily("trellis_bot_journal_lag", "Messages a bot has not written yet", labels=["bot"])
    answering = GaugeMetricFamily("trellis_bot_up", "Whether a bot's process answers", labels=["bot"])
    now_ms = time.time_ns() // 1_000_000
    for view in views:
        orders.add_metric([view.id], sum(level.order is not None for level in view.levels))
        age.add_metric([view.id], max(0, now_ms - view.as_of_ms) / 1000)
        answering.add_metric([view.id], float(view.live))
        if view.journal_lag is not None:
            lag.add_metric([view.id], view.journal_lag)
        if view.profit is not None:
            executions.add_metric([view.id], view.profit.trades)
            trips.add_metric([view.id], view.profit.trips)
            total.add_metric([view.id, view.config.symbol], float(view.profit.total))
    yield from (orders, executions, trips, total, age, lag, answering)


def _component_families(components: Sequence[ComponentHealth]) -> Iterator[Metric]:
    up = GaugeMetricFamily("trellis_component_up", "Whether a component does its work", labels=["component"])
    age = GaugeMetricFamily(
        "trellis_component_age_seconds", "Time since a component's last sign of life", labels=["component"]
    )
    for component in components:
        up.add_metric([component.name], float(component.ok))
        if component.age_ms is not None:
            age.add_metric([component.name], component.age_ms / 1000)
    yield from (up, age)
