"""The plan of a cluster: what a platform file means there, decided once, before any object is written.

Components ask the plan, never each other. Pure: `load.py` reads what it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hanok.errors import SpecError
from hanok.gpu import Anatomy, Catalog
from hanok.gpu.catalog import Instance
from hanok.gpu.hosts import all_instances
from hanok.kubernetes.engines import EnginePlan, plan_engines
from hanok.kubernetes.lock import Lock
from hanok.kubernetes.notes import Value
from hanok.kubernetes.places import GATEWAY, MILVUS
from hanok.kubernetes.pools import Pool, plan_pools
from hanok.kubernetes.secrets import refuse_secrets, secret_variables
from hanok.kubernetes.servers import DATABASE, PASSAGES, REDIS, Server, gives_way, is_named
from hanok.kubernetes.vectors import index_gpus, index_pool
from hanok.spec.tree import Cluster, Loaded, Platform, Target
from hanok.spec.tree.cluster import Store
from hanok.spec.written import Variable, Written


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterPlan:
    """`texts` are files that the platform file names, by their path in it. `version` is Hanok's."""

    loaded: Loaded
    written: Written
    cluster: Cluster
    target: Target
    engines: Sequence[EnginePlan]
    lock: Lock
    catalog: Catalog
    version: str
    texts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def platform(self) -> Platform:
        return self.loaded.platform

    @property
    def on_aws(self) -> bool:
        return self.target != "kubernetes"

    @cached_property
    def image(self) -> str:
        """Hanok's own image."""
        return self.cluster.hanok.image or f"hanok:{self.version}"

    @property
    def needs_gpus(self) -> bool:
        return bool(self.engines) or self.index_gpus > 0

    @property
    def index_gpus(self) -> int:
        """GPUs that Milvus wants for indexes."""
        return index_gpus(self.platform, self.cluster.milvus) if self.milvus else 0

    @property
    def postgres(self) -> bool:
        """Whether the cluster must make a PostgreSQL: the file names none, and several gateways share one ledger."""
        return not self.names(DATABASE)

    @property
    def redis(self) -> bool:
        """Whether the cluster must make a Redis: the file names none, and several gateways share budgets."""
        return not self.names(REDIS)

    @property
    def milvus(self) -> bool:
        """Whether the cluster must make a Milvus: there is something to keep, and the file names no other server."""
        return self.keeps_passages and (not self.names(PASSAGES) or self.platform.milvus.uri == MILVUS)

    def names(self, place: Server) -> bool:
        """Whether the file names a server at one of `OF_SERVERS` that the cluster is to ask."""
        return is_named(self.written, self.cluster, place)

    @cached_property
    def index_pool(self) -> Pool | None:
        """Machines for Milvus' indexes on GPUs, where any is asked for and the cluster's nodes are ours."""
        wanted = self.on_aws and self.index_gpus
        return index_pool(self.platform, self.cluster.milvus, self.catalog) if wanted else None

    @property
    def keeps_passages(self) -> bool:
        declared = self.platform
        return bool(declared.knowledge) or "vector_stores" in declared.model_fields_set

    @cached_property
    def instances(self) -> Mapping[str, Instance]:
        """Every instance type that the catalogue knows."""
        return all_instances(self.catalog)

    @cached_property
    def gateway(self) -> str:
        """Hanok's door inside of the cluster, without `/v1`."""
        return GATEWAY

    @cached_property
    def secret_variables(self) -> set[str]:
        """Names of variables that stand where secrets do. Their defaults are for one machine."""
        return secret_variables(self.platform, self.written)

    @cached_property
    def variables(self) -> list[Variable]:
        """Variables that come from the secret store, each once, by name.

        Those without a plain value in `cluster.hanok.variables`: of secrets all, of others those without a default.
        """
        plain, found = self.cluster.hanok.variables, dict[str, Variable]()
        left = gives_way(self.written, self.cluster)
        for each in self.written.variables():
            if each.place[:1] == ("cluster",) or each.name in plain or each.place in left:
                continue
            if each.default is None or each.name in self.secret_variables:
                found.setdefault(each.name, each)
        return [found[name] for name in sorted(found)]

    @property
    def secret_store(self) -> Store:
        """Where secrets come from."""
        return self.cluster.secrets.store or ("aws-secrets-manager" if self.on_aws else "kubernetes")

    @property
    def secret_prefix(self) -> str:
        """Before every name in the secret store; the Parameter Store wants names of several steps from its root on.

        Keys of one Secret need none.
        """
        if self.secret_store == "kubernetes":
            return ""
        root = "/" if self.secret_store == "aws-parameter-store" else ""
        return self.cluster.secrets.prefix or f"{root}{self.cluster.environment}/{self.platform.name}/"

    def value(self, name: str, what: str = "", *, made: str = "", later: str = "") -> Value:
        """A value to put into the secret store, for a variable."""
        return Value(name=f"{self.secret_prefix}{name}", what=what, made=made, later=later)

    @cached_property
    def pools(self) -> list[Pool]:
        """Machines with GPUs."""
        return plan_pools(self.engines, self.cluster.nodes) + ([self.index_pool] if self.index_pool else [])

    def pool_of(self, engine: EnginePlan) -> Pool:
        """The machines that an engine stands on."""
        return next(each for each in self.pools if engine in each.engines)

    def of_model(self, index: int) -> Iterator[EnginePlan]:
        """The engines of one model, by its place in the file."""
        return (each for each in self.engines if each.index == index)


def make_plan(
    loaded: Loaded,
    written: Written,
    *,
    target: Target | None,
    lock: Lock,
    catalog: Catalog,
    anatomy: Callable[[str], Anatomy],
    version: str,
    texts: Mapping[str, str],
) -> ClusterPlan:
    """The plan. Raises `SpecError` with everything that cannot be rendered, by its line."""
    cluster = loaded.platform.cluster or Cluster()
    problems = list(refuse_secrets(loaded.platform, written))
    if problems:
        raise SpecError(problems)
    return ClusterPlan(
        loaded=loaded,
        written=written,
        cluster=cluster,
        target=target or cluster.target,
        engines=plan_engines(
            loaded.platform.models, written, catalog, anatomy, sliced=cluster.nodes.sharing.mode == "mig"
        ),
        lock=lock,
        catalog=catalog,
        version=version,
        texts=texts,
    )
