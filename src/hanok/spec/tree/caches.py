"""Which answers are kept, where, and for whom."""

from typing import Literal

from pydantic import Field, SecretStr

from hanok.spec.tree.values import Number, Tree, Whole


class Semantic(Tree):
    """Answers a question with what was answered to one that means the same. May be wrong: opt in."""

    embedder: str = Field(description="The model of type embedding that makes questions' vectors.")
    threshold: Number = Field(
        default=0.92, ge=0.5, le=1, description="How near a question must be: the cosine of the two vectors at least."
    )
    entries: Whole = Field(default=1000, ge=1, le=100_000, description="Questions remembered, in memory.")


Share = Literal["tenant", "platform"]


class ModelCache(Tree):
    """A model's cache of answers. `true` alone keeps answers as `cache` at the top says, `false` keeps none."""

    use: bool = Field(default=True, description="Keep this model's answers.")
    ttl_s: Number | None = Field(
        default=None, gt=0, le=31_536_000, description="Seconds an answer is kept; by default as at the top."
    )
    share: Share | None = Field(default=None, description="Who is given an answer; by default as at the top.")
    semantic: Semantic | None = Field(default=None, description="Compare questions by their meaning.")


class Cache(Tree):
    """Answers that are kept and given again to the same call. Off until a model, or `all_models`, says otherwise."""

    all_models: bool = Field(
        default=False, description="Keep the answers of all models that do not say `cache: false`."
    )
    store: Literal["memory", "redis"] = Field(
        default="memory", description="Where answers are kept: in each process, or on a server that all share."
    )
    redis: SecretStr | None = Field(
        default=None, description="`redis://…` of the server (extra `redis`); by default that of `ledger.redis`."
    )
    ttl_s: Number = Field(default=3600.0, gt=0, le=31_536_000, description="Seconds an answer is kept.")
    max_mib: Number = Field(default=64.0, gt=0, description="MiB of answers kept in memory; the oldest go first.")
    max_answer_kib: Whole = Field(default=1024, ge=1, le=65_536, description="Largest answer kept, in KiB.")
    share: Share = Field(
        default="tenant",
        description="`tenant` gives answers to the same team, or key without a team; `platform` to all.",
    )
