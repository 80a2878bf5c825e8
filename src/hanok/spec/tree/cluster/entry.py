"""Where callers come in."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hanok.spec.tree.values import HttpUrl, Tree


class Acme(Tree):
    """An authority that signs for who proves to hold a name, as Let's Encrypt: its issuer is rendered."""

    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")] = Field(
        description="Who is told when a certificate was not renewed."
    )
    zone: Annotated[str, StringConstraints(pattern=r"^Z[0-9A-Z]+$")] | None = Field(
        default=None,
        description="Route 53 hosted zone of the name, where it is proved (DNS-01); by default it is proved over port "
        "80 (HTTP-01), which the internet must reach.",
    )
    server: HttpUrl = Field(
        default="https://acme-v02.api.letsencrypt.org/directory", description="The authority's directory."
    )


class Entry(Tree):
    """The Gateway that leads callers to Hanok's door; its host is that of `gateway.url`."""

    expose: Literal["internal", "public", "none"] = Field(
        default="internal", description="A load balancer in the private network, a public one, or none."
    )
    certificate: str | None = Field(
        default=None, description="ARN of the load balancer's certificate; by default cert-manager makes one."
    )
    issuer: str | None = Field(
        default=None,
        min_length=1,
        description="cert-manager's ClusterIssuer that signs; without it, `acme` and `certificate`, no TLS.",
    )
    acme: Acme | None = Field(
        default=None,
        description="Render that ClusterIssuer, too, by default as `acme`: for Let's Encrypt and its like.",
    )

    @property
    def signer(self) -> str | None:
        """The ClusterIssuer that signs, whoever makes it."""
        return self.issuer or ("acme" if self.acme else None)
