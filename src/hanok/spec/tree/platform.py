"""The whole of one platform.yaml, and where it came from."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from hanok.errors import Problem, SpecError
from hanok.spec.tree.agents import Agent, Prompt, Runs
from hanok.spec.tree.batches import Batches
from hanok.spec.tree.caches import Cache
from hanok.spec.tree.cluster import Cluster
from hanok.spec.tree.gateway import Gateway
from hanok.spec.tree.knowledge import Knowledge, Milvus, VectorStores
from hanok.spec.tree.models import Model, ModelType
from hanok.spec.tree.money import Budget, Limit
from hanok.spec.tree.people import Team, User
from hanok.spec.tree.records import Books, Telemetry
from hanok.spec.tree.tiers import Auto
from hanok.spec.tree.tools import Tool
from hanok.spec.tree.values import Name, Tree, unsaid


class Platform(Tree):
    """One organisation's platform."""

    name: Name = Field(default="hanok", description="The platform's name.")
    state: str = Field(
        default=".hanok", min_length=1, description="Folder for everything that is kept, relative to this file."
    )
    gateway: Gateway = Field(default=unsaid(Gateway), description="The HTTP door.")
    ledger: Books = Field(default=unsaid(Books), description="Where charges, keys and budgets are kept.")
    telemetry: Telemetry = Field(default=unsaid(Telemetry), description="OpenTelemetry spans.")
    cache: Cache = Field(default=unsaid(Cache), description="Answers that are kept and given again.")
    batches: Batches = Field(default=unsaid(Batches), description="Files, and batches of calls that have time.")
    models: list[Model] = Field(min_length=1, description="The models on offer.")
    tiers: list[Auto] = Field(default=[], description="Names whose model Hanok picks by each request's tier.")
    knowledge: list[Knowledge] = Field(default=[], description="Documents to ask.")
    vector_stores: VectorStores = Field(
        default=unsaid(VectorStores), description="Vector stores that callers make for themselves."
    )
    milvus: Milvus = Field(default=unsaid(Milvus), description="Where passages are kept.")
    prompts: list[Prompt] = Field(default=[], description="What agents are told, in versions.")
    tools: list[Tool] = Field(default=[], description="What agents may use.")
    agents: list[Agent] = Field(default=[], description="Agents.")
    runs: Runs = Field(default=unsaid(Runs), description="Where runs of agents are kept.")
    teams: list[Team] = Field(default=[], description="Teams of keys.")
    users: list[User] = Field(default=[], description="Users that keys act for.")
    budgets: list[Budget] = Field(default=[], description="What may be spent.")
    limits: list[Limit] = Field(default=[], description="How fast calls may come.")
    cluster: Cluster | None = Field(
        default=None, description="The cluster that `hanok render` writes for. Changes nothing on one machine."
    )

    def names(self) -> list[str]:
        """Every name that callers may ask for: models, then those whose model is picked."""
        return [each.name for each in (*self.models, *self.tiers)]

    def first(self, type_: ModelType) -> Model | None:
        """The first declared model of that type."""
        return next((model for model in self.models if model.type == type_), None)

    def agent(self, name: str) -> Agent | None:
        """The agent of that name."""
        return next((agent for agent in self.agents if agent.name == name), None)

    def model(self, name: str) -> Model | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A platform and where it came from: `file` for messages, `folder` for relative paths, `state` made absolute.

    `digest` is the SHA-256 of the file's text. `unset` are the values that stand for variables which are not set here,
    where a file was read leniently.
    """

    platform: Platform
    file: Path
    folder: Path
    state: Path
    digest: str = ""
    unset: tuple[Problem, ...] = ()

    def require(self, path: str = "") -> None:
        """Raise `SpecError` when a value at or beneath `path` needs a variable that is not set."""
        if missing := [each for each in self.unset if not path or f"{each.path}.".startswith(f"{path}.")]:
            raise SpecError(missing)
