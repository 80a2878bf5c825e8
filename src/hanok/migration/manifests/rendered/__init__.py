"""A tree that `hanok render` wrote, read back: its own platform.yaml, and the `cluster` block that its objects tell of.

What was rendered is read here alone, and taken away from all other readers: to them an engine of Hanok's would be a
stranger's. What is not read follows from the platform, and `hanok render` writes it again.
"""

from __future__ import annotations

from dataclasses import replace

from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.rendered.around import read_around
from hanok.migration.manifests.rendered.data import read_data
from hanok.migration.manifests.rendered.models import read_models
from hanok.migration.manifests.rendered.nodes import read_nodes
from hanok.migration.manifests.rendered.platform import configs, read_platform
from hanok.migration.manifests.rendered.teams import read_jobs, read_teams
from hanok.migration.manifests.rendered.tree import RenderedTree, is_rendered, without_defaults
from hanok.migration.manifests.told import Block, Draft, Told
from hanok.migration.secrets import URL_STAND_IN
from hanok.preflight import Case

AGAIN = "follows from the platform: `hanok render` writes it again"


def read_rendered(case: Case, draft: Draft, told: Told, keys: Keys) -> Case:
    """Read what Hanok rendered, where its platform file is there; the case without that, for all others."""
    found = list(configs(case.cluster))
    if not found:
        return case
    config, *others = found
    for other in others:
        told.left(other.manifest, other.path, "another platform of Hanok's: the first was taken")
    own = [each for each in case.cluster.manifests if is_rendered(each, case.cluster)]
    tree = RenderedTree(case=replace(case, cluster=replace(case.cluster, manifests=own, fragments=())))
    read_platform(tree, config, draft, told, keys)
    read_models(tree, draft, told)
    if len(own) > 1:
        _read_cluster(tree, draft, told, keys)
    for each in own:
        if not told.has_taken(each):
            told.take(each)
            told.carried(each, (), "", AGAIN)
    foreign = [each for each in case.cluster.manifests if not is_rendered(each, case.cluster)]
    return replace(case, cluster=replace(case.cluster, manifests=foreign))


def _read_cluster(tree: RenderedTree, draft: Draft, told: Told, keys: Keys) -> None:
    cluster: Block = {}
    for read in (read_nodes, read_around, read_data, read_jobs, read_teams):
        cluster |= read(tree, told)
    _drop_usual_prefix(cluster, str(draft.rest.get("name", "hanok")))
    if "ALERTS_URL" in str(cluster):
        keys.variables.refer("ALERTS_URL", URL_STAND_IN)
    if cluster := without_defaults(cluster):
        draft.rest["cluster"] = cluster


def _drop_usual_prefix(cluster: Block, name: str) -> None:
    """The prefix of secrets that follows from the cluster's and the platform's names."""
    secrets = cluster.get("secrets", {})
    if secrets.get("prefix") == f"{cluster.get('environment', 'production')}/{name}/":
        del secrets["prefix"]
