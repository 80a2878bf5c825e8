"""The cluster that a platform is rendered for: where it is, and how much of everything there is to be.

Nothing in here changes what runs on one machine. Every block has a default, so that `hanok render` works without any.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hanok.spec.tree.cluster.data import MilvusServer, PostgresServer, RedisServer
from hanok.spec.tree.cluster.entry import Acme, Entry
from hanok.spec.tree.cluster.jobs import JobMachine, Jobs
from hanok.spec.tree.cluster.kagent import Kagent
from hanok.spec.tree.cluster.nodes import Nodes, Sharing
from hanok.spec.tree.cluster.observe import Observe, Told
from hanok.spec.tree.cluster.own import Own
from hanok.spec.tree.cluster.secrets import Secrets, Store
from hanok.spec.tree.cluster.serving import LiteLLMProxy, Serving
from hanok.spec.tree.cluster.spaces import Space
from hanok.spec.tree.cluster.storage import Lustre, Storage
from hanok.spec.tree.values import Tree

__all__ = [
    "Acme",
    "Cluster",
    "Entry",
    "JobMachine",
    "Jobs",
    "Kagent",
    "LiteLLMProxy",
    "Lustre",
    "MilvusServer",
    "Nodes",
    "Observe",
    "Own",
    "PostgresServer",
    "RedisServer",
    "Repository",
    "Secrets",
    "Serving",
    "Sharing",
    "Space",
    "Storage",
    "Store",
    "Target",
    "Told",
]
Target = Literal["eks", "eks-auto", "kubernetes"]


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise PydanticCustomError("path_outside", "must lie in the repository, without `..`")
    return path


Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/@+-]+$")]
"""What stands in commands and addresses as it is."""
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A DNS label, as Kubernetes takes it for names."""


class Repository(Tree):
    """The repository that the tree is kept in, where the cluster looks for it."""

    url: str | None = Field(default=None, min_length=1, description="Its address; needed by `--format argocd`.")
    branch: Word = Field(default="main", description="Its branch.")
    path: Annotated[Word, AfterValidator(_inside)] = Field(
        default=".", description="The folder of the rendered tree in it, relative to its root."
    )

    @property
    def root(self) -> str:
        """That folder in short; empty where it is the whole."""
        return "/".join(each for each in self.path.split("/") if each not in ("", "."))


class Cluster(Tree):
    """The cluster that `hanok render` writes for."""

    name: Label = Field(default="hanok", description="The cluster's name, as the cloud knows it.")
    environment: Label = Field(default="production", description="Names the folder `clusters/ENVIRONMENT`.")
    target: Target = Field(
        default="eks",
        description="`eks`: Karpenter makes the nodes; `eks-auto`: EKS Auto Mode does; `kubernetes`: they are there.",
    )
    kubernetes: Annotated[str, StringConstraints(pattern=r"^1\.[0-9]{2}$")] = Field(
        default="1.36", description="Its version of Kubernetes."
    )
    region: str = Field(default="us-east-1", min_length=1, description="Its region.")
    zones: list[str] = Field(default=[], description="Zones to use; by default all that its subnets are in.")
    account: Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")] | None = Field(
        default=None, description="The cloud account that roles belong to, where pods get their rights by roles."
    )
    repository: Repository = Field(default_factory=Repository, description="Where the tree is kept.")
    hanok: Own = Field(default_factory=Own, description="Hanok's own parts: the gateway, agents and ingestion.")
    entry: Entry = Field(default_factory=Entry, description="Where callers come in.")
    nodes: Nodes = Field(default_factory=Nodes, description="Machines.")
    storage: Storage = Field(default_factory=Storage, description="File systems that machines share.")
    serving: Serving = Field(default_factory=Serving, description="Engines on GPUs, and the way to them.")
    milvus: MilvusServer = Field(
        default_factory=MilvusServer,
        description="Milvus, where `milvus.uri` names no server or this machine's; written here, in any case.",
    )
    postgres: PostgresServer = Field(
        default_factory=PostgresServer,
        description="PostgreSQL, where `ledger.database` names no server or this machine's; written here, in any case.",
    )
    redis: RedisServer = Field(
        default_factory=RedisServer,
        description="Redis, where `ledger.redis` names no server or this machine's; written here, in any case.",
    )
    observe: Observe = Field(default_factory=Observe, description="Metrics, dashboards, traces, experiments.")
    jobs: Jobs = Field(default_factory=Jobs, description="Queues and training.")
    kagent: Kagent = Field(default_factory=Kagent, description="Agents as resources of kagent.")
    secrets: Secrets = Field(default_factory=Secrets, description="Where the cluster's secrets come from.")
    teams: list[Space] = Field(default=[], description="What teams have in the cluster; by default the same each.")
