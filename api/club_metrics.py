"""The club in Prometheus' words: payouts and how long they take, networks and their nodes, alarms."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from actors.messages import ClubReport
from storage.club_figures import ClubFigures


def families(figures: ClubFigures, reports: Mapping[str, ClubReport]) -> Iterator[Metric]:
    """Give every family of the club."""
    yield _by("trellis_payout_tasks", "Transfers of payouts by state", "state", figures.tasks)
    oldest = {state: age / 1000 for state, age in figures.oldest_ms.items()}
    yield _by("trellis_payout_oldest_seconds", "Age of the oldest open transfer by state", "state", oldest)
    took = {quantile: ms / 1000 for quantile, ms in figures.confirmation_ms.items()}
    yield _by(
        "trellis_payout_confirmation_seconds",
        "From a payout's request to its confirmation, in the last hour",
        "quantile",
        took,
    )
    yield _by(
        "trellis_incoming_transfers", "Incoming transfers by what was made of them", "status", figures.incoming
    )
    yield _by("trellis_alarms", "Standing alarms by kind", "kind", figures.alarms)
    yield GaugeMetricFamily("trellis_freezes", "Freezes in force", value=figures.freezes)
    yield from _network_families(reports)


def _network_families(reports: Mapping[str, ClubReport]) -> Iterator[Metric]:
    block = GaugeMetricFamily("trellis_chain_block", "The last block that was read", labels=["network"])
    age = GaugeMetricFamily("trellis_chain_age_seconds", "Age of the last block that was read", labels=["network"])
    labels = ["network", "node"]
    failures = GaugeMetricFamily("trellis_node_failures", "Failed questions to a node, in a row", labels=labels)
    latency = GaugeMetricFamily("trellis_node_latency_seconds", "Smoothed time of a node's answer", labels=labels)
    for name, report in reports.items():
        kind, _, network = name.partition(":")
        if kind != "watcher" or not report.detail.get("cursor"):
            continue
        block.add_metric([network], report.detail["cursor"]["number"])
        age.add_metric([network], report.detail["read_age_ms"] / 1000)
        for node in report.detail.get("nodes", ()):
            failures.add_metric([network, node["name"]], node["failures"])
            latency.add_metric([network, node["name"]], node["latency_ms"] / 1000)
    yield from (block, age, failures, latency)


def _by(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family
