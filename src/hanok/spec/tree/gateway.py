"""The HTTP door."""

from typing import Literal

from pydantic import Field, SecretStr

from hanok.spec.tree.values import HttpUrl, Number, Tree, Whole, unsaid


class KeptResponses(Tree):
    """Answers of `/v1/responses`, kept in the state folder so that conversations can go on from them."""

    keep_days: Number = Field(default=30.0, gt=0, le=3650, description="Days after which a response is forgotten.")
    limit_mib: Number = Field(
        default=1024.0, gt=0, description="Largest size of all kept responses, in MiB; beyond it the oldest go."
    )


class A2a(Tree):
    """Agents over the A2A protocol, each at `/a2a/NAME`."""

    cards: Literal["public", "key"] = Field(
        default="public",
        description="Who is shown an agent's card (its name, its description, how it is reached): anyone, or who has a "
        "key that opens it.",
    )
    private: bool = Field(
        default=False,
        description="Whether pushes may go to addresses of private networks; never to those of clouds' metadata.",
    )


class Gateway(Tree):
    """The HTTP door."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; `0.0.0.0` for every interface.")
    port: Whole = Field(default=4242, ge=1, le=65535, description="TCP port to listen on.")
    url: HttpUrl | None = Field(
        default=None,
        description="Where callers reach it, as `https://ai.example.com`, for cards of agents; by default as each "
        "caller names it.",
    )
    body_limit_mib: Number = Field(default=32.0, gt=0, description="Largest request body, in MiB.")
    answer_limit_mib: Number = Field(default=64.0, gt=0, description="Largest unstreamed answer of an engine, in MiB.")
    drain_s: Number = Field(default=30.0, ge=0, description="Seconds that running streams may take to end on shutdown.")
    health_every_s: Number = Field(
        default=5.0, gt=0, description="Seconds between two looks at each endpoint's health."
    )
    workers: Whole = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that answer calls. More than one needs `ledger.redis` for budgets.",
    )
    keep_alive_s: Number = Field(
        default=15.0, gt=0, description="Seconds of silence in a stream after which a comment is sent to keep it open."
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Opens the admin API under `/admin`; best as `${env:NAME}`. Without it there is no admin API.",
    )
    replay_retries: bool = Field(
        default=False,
        description="Answer an SDK's own retry of a call with the answer of its first attempt.",
    )
    a2a: A2a = Field(default=unsaid(A2a), description="Agents over the A2A protocol.")
    reload: bool = Field(default=True, description="Take up changes of this file while running.")
    responses: KeptResponses = Field(
        default=unsaid(KeptResponses), description="How long, and how many, answers of `/v1/responses` are kept."
    )
