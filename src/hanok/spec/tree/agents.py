"""Agents: a model, what it is told, what it may use, what it remembers, and where it stops."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from hanok.spec.tree.tools import ToolUse
from hanok.spec.tree.values import Number, Tree, Whole, unsaid

AGENT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
PROMPT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
PROMPT_REF = PROMPT_NAME.removesuffix("$") + r"(@[A-Za-z0-9][A-Za-z0-9_.-]{0,63})?$"
FUNCTION = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"
AgentName = Annotated[str, StringConstraints(pattern=AGENT_NAME)]
PromptRef = Annotated[str, StringConstraints(pattern=PROMPT_REF)]
"""A prompt's name, and which of its versions: a label, or the beginning of a hash; by default `@latest`."""
Pattern = Literal["react", "plan-execute", "supervisor", "graph"]


class Prompt(Tree):
    """What an agent is told: exactly one of `text` and `file`. Each text that was ever declared is a version of it."""

    name: Annotated[str, StringConstraints(pattern=PROMPT_NAME)] = Field(description="What agents name it by. Unique.")
    text: str | None = Field(default=None, min_length=1, max_length=200_000, description="The prompt itself.")
    file: str | None = Field(default=None, min_length=1, description="Or a file that holds it, relative to this one.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.text is None) == (self.file is None):
            raise PydanticCustomError("prompt_source", "must have exactly one of `text` and `file`")
        return self


class AgentLimits(Tree):
    """Where a run ends whatever it has reached: it keeps what it has, and says which limit it was."""

    steps: Whole = Field(default=25, ge=1, le=10_000, description="Model calls of one run, without its sub-agents'.")
    tool_calls: Whole = Field(default=50, ge=0, le=100_000, description="Tool calls of one run.")
    iterations: Whole = Field(default=5, ge=1, le=1000, description="For plan-execute: rounds of executing a plan.")
    retries: Whole = Field(default=2, ge=0, le=100, description="For plan-execute: times that one step is tried anew.")
    wall_time_s: Number = Field(
        default=600.0, gt=0, le=30 * 86_400, description="Seconds of work, without those spent waiting for people."
    )
    tokens: Whole | None = Field(default=None, ge=1, description="Tokens, with those of its sub-agents.")
    usd: Number | None = Field(default=None, gt=0, description="US dollars, with those of its sub-agents and tools.")
    depth: Whole = Field(default=4, ge=1, le=16, description="Sub-agents below one another.")


class LongTerm(Tree):
    """What is remembered beyond one thread."""

    scope: Literal["user", "agent"] = Field(
        default="user", description="Whose memory: each user's with this agent, or one of all of the agent's callers."
    )
    k: Whole = Field(default=5, ge=0, le=50, description="Memories that are recalled at the start of a run.")
    ttl_s: Number | None = Field(
        default=None, gt=0, description="Seconds after which one is forgotten; never otherwise."
    )
    embed: str | None = Field(default=None, description="A model of type `embedding`; by default the first declared.")
    limit: Whole = Field(default=1000, ge=1, le=100_000, description="The most memories of one owner; the oldest go.")


class Memory(Tree):
    """What an agent remembers."""

    ttl_s: Number | None = Field(
        default=None, gt=0, description="Seconds after its last use that a thread is kept; by default as `runs` says."
    )
    context_tokens: Whole = Field(
        default=24_000, ge=500, description="Longest history handed to the model; what goes beyond is summed up."
    )
    keep_messages: Whole = Field(default=8, ge=2, description="Latest messages that are never summed up.")
    summary_model: str | None = Field(default=None, description="Who sums up; by default the agent's model.")
    long_term: LongTerm | None = Field(
        default=None, description="What is remembered beyond one thread; nothing unless given."
    )


class Scale(Tree):
    """How many pods of a cluster lead its runs; on one machine they are tasks of one process.

    Gateways lead the runs of all agents: there are as many as the agent that wants most. Of an agent that kagent leads,
    the pods are its own.
    """

    min: Whole = Field(default=1, ge=1, le=1000, description="Fewest.")
    max: Whole = Field(default=1, ge=1, le=1000, description="Most pods.")
    target_cpu: Whole = Field(
        default=70,
        ge=1,
        le=100,
        description="Between `min` and `max`: so many that they use this share of the CPU they request, in percent.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise PydanticCustomError("scale_order", "`min` must be at most `max`")
        return self


class Agent(Tree):
    """An agent."""

    name: AgentName = Field(description="What it is asked by: `agent/NAME` as a model. Unique.")
    description: str = Field(default="", max_length=2000, description="What it does, for people and other agents.")
    model: str | None = Field(default=None, description="A chat model, or an auto; by default the first declared.")
    system_prompt: str | None = Field(default=None, max_length=200_000, description="What it is told.")
    prompt: PromptRef | None = Field(default=None, description="Or a declared prompt, as `research@production`.")
    temperature: Number | None = Field(default=None, ge=0, le=2, description="Of its model's answers.")
    max_tokens: Whole | None = Field(default=None, ge=1, description="Longest answer of one model call, in tokens.")
    pattern: Pattern = Field(
        default="react",
        description="`react`: tools in a loop; `plan-execute`: plan, execute, evaluate; `supervisor`: gives work to "
        "its team; `graph`: your own.",
    )
    graph: Annotated[str, StringConstraints(pattern=FUNCTION)] | None = Field(
        default=None, description="For `graph`: `module:function` that returns a `StateGraph`."
    )
    tools: list[ToolUse] = Field(default=[], description="Names of declared tools, or tools declared here.")
    knowledge: Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)] = (
        Field(default=[], description="Knowledge bases it may search, each a tool `search_NAME`.")
    )
    team: list[AgentName] = Field(default=[], description="Agents it may give work to, each a tool of their name.")
    approvals: list[str] = Field(
        default=[], description="Patterns of tools whose calls a person must approve, as `delete_*`."
    )
    questions: bool = Field(default=False, description="Whether it may ask its user questions (tool `ask_user`).")
    memory: Memory = Field(default=unsaid(Memory), description="What it remembers.")
    limits: AgentLimits = Field(default=unsaid(AgentLimits), description="Where a run ends.")
    scale: Scale = Field(default=unsaid(Scale), description="Replicas in a cluster.")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.system_prompt is not None and self.prompt is not None:
            raise PydanticCustomError("agent_prompt", "must have at most one of `system_prompt` and `prompt`")
        if (self.pattern == "graph") != (self.graph is not None):
            raise PydanticCustomError("agent_graph", "`graph` and `pattern: graph` go together")
        if self.pattern == "supervisor" and not self.team:
            raise PydanticCustomError("agent_team", "a supervisor needs a `team`")
        return self


class Runs(Tree):
    """Where runs of agents are kept, and how many there may be."""

    database: SecretStr | None = Field(
        default=None,
        description="`postgresql://user@host/db` (extra `postgres`), or `redis://host:6379/0` for Redis or Valkey"
        " (extra `redis`); by default SQLite in the state folder.",
    )
    concurrent: Whole = Field(default=100, ge=1, le=10_000, description="Runs at once in one process; others queue.")
    queue: Whole = Field(default=10_000, ge=1, description="The most runs that wait; more are refused.")
    lease_s: Number = Field(
        default=15.0, ge=1, le=3600, description="Seconds without a sign of life after which another process goes on."
    )
    unknown_agent_s: Number = Field(
        default=600.0,
        ge=1,
        le=604_800,
        description="Seconds that a run waits for a process that knows its agent; then it fails.",
    )
    takeovers: Whole = Field(
        default=3,
        ge=1,
        le=100,
        description="How often a run whose process died is taken over without having come further; then it fails.",
    )
    retention_days: Number = Field(
        default=30.0, gt=0, description="How long runs and threads are kept after their end."
    )
    checkpoints: Whole = Field(default=50, ge=1, description="Checkpoints kept of one thread, the latest.")
