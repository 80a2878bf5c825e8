"""Where callers come in."""

from typing import Literal

from pydantic import Field

from hanok.spec.tree.values import Tree


class Entry(Tree):
    """The Gateway that leads callers to Hanok's door; its host is that of `gateway.url`."""

    expose: Literal["internal", "public", "none"] = Field(
        default="internal", description="A load balancer in the private network, a public one, or none."
    )
    certificate: str | None = Field(
        default=None, description="ARN of the load balancer's certificate; by default cert-manager makes one."
    )
    issuer: str | None = Field(
        default=None, description="cert-manager's ClusterIssuer that signs; without it and `certificate`, no TLS."
    )
