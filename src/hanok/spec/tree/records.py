"""What is written down of calls: the ledger's books, and spans."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from hanok.spec.tree.values import HttpUrl, Number, Tree, Whole, as_list


class Books(Tree):
    """Where charges, keys and budgets are kept."""

    database: SecretStr | None = Field(
        default=None,
        description="`postgresql://…` for PostgreSQL (extra `postgres`); by default SQLite in the `state` folder.",
    )
    redis: SecretStr | None = Field(
        default=None,
        description="`redis://…` where several processes or machines agree on budgets and limits (extra `redis`).",
    )


class Export(Tree):
    """Where spans go: one OTLP/HTTP address."""

    to: Literal["otlp", "langfuse", "langsmith", "mlflow"] = Field(
        default="otlp", description="What listens there: decides the path and which extra headers are sent."
    )
    url: HttpUrl = Field(description="Base URL, as `http://localhost:4318`; the path of `to` is added to it.")
    headers: dict[str, SecretStr] = Field(default={}, description="Headers for every export, as an API key.")
    public_key: str | None = Field(default=None, description="Langfuse's public key.")
    secret_key: SecretStr | None = Field(default=None, description="Langfuse's secret key, or LangSmith's API key.")
    project: str | None = Field(default=None, description="LangSmith's project, or MLflow's experiment id.")


class Telemetry(Tree):
    """OpenTelemetry spans of every call. Off until `export` names a receiver."""

    export: Annotated[list[Export], BeforeValidator(as_list)] = Field(
        default=[], description="Receivers of spans, by OTLP over HTTP."
    )
    names: Literal["current", "old", "both"] = Field(
        default="both", description="Names of attributes: today's `gen_ai.*`, those that older tools query, or both."
    )
    content: bool = Field(default=False, description="Record prompts and answers in spans, up to 64 KiB each.")
    sample: Number = Field(default=1.0, ge=0, le=1, description="Share of calls traced; a caller's own decision wins.")
    environment: str = Field(default="default", description="`deployment.environment.name` of the spans.")
    batch: Whole = Field(default=512, ge=1, le=10_000, description="Spans in one export at most.")
    every_s: Number = Field(default=2.0, gt=0, description="Seconds between exports.")
    queue: Whole = Field(default=16_384, ge=1, description="Spans that may wait; more are dropped and counted.")
