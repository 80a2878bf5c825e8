"""Who may use what."""

from pydantic import Field

from hanok.spec.tree.values import Name, Number, Tree


class Scope(Tree):
    """What may be used. Names, or patterns such as `small-*`; by default everything."""

    models: list[str] = Field(default=["*"], description="Models.")
    knowledge: list[str] = Field(default=["*"], description="Knowledge collections.")
    agents: list[str] = Field(default=["*"], description="Agents.")


class Team(Scope):
    """Keys that belong together: what they may use, and their turn in queues."""

    name: Name = Field(description="The team's name. Unique.")
    weight: Number = Field(default=1.0, gt=0, le=1000, description="Its share of a model's queue, beside other teams.")


class User(Scope):
    """A person or a service that keys act for."""

    name: Name = Field(description="The user's name. Unique.")
    team: str | None = Field(default=None, description="The team that the user's keys belong to.")
