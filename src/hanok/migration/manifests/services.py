"""Which Service leads to which pods: every Service's selector is asked once."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.preflight import Case, Manifest
from hanok.preflight.manifests import labels_at
from hanok.preflight.workloads import Workload


class Services:
    """The Services of a cluster by the pods behind them, in the order of the files."""

    def __init__(self, case: Case) -> None:
        self._before: dict[Workload, list[Manifest]] = {}
        for service in case.cluster.of("Service", group=""):
            for workload in case.inventory.pods(service.namespace, labels_at(service.body, "spec", "selector")):
                self._before.setdefault(workload, []).append(service)

    def before(self, workload: Workload) -> Sequence[Manifest]:
        """The Services that lead to these pods."""
        return self._before.get(workload, ())
