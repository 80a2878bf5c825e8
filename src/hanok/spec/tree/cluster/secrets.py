"""Where a cluster's secrets come from. None is ever written into the tree."""

from typing import Literal

from pydantic import Field

from hanok.spec.tree.values import HttpUrl, Tree

Store = Literal["aws-secrets-manager", "aws-parameter-store", "vault", "kubernetes", "existing"]


class Secrets(Tree):
    """External Secrets: from a store into the cluster."""

    store: Store | None = Field(
        default=None,
        description="The store; by default AWS' Secrets Manager on AWS, and elsewhere `kubernetes`: one Secret that "
        "you make. `existing`: a ClusterSecretStore that is there.",
    )
    name: str = Field(default="platform", min_length=1, description="The ClusterSecretStore's name.")
    prefix: str = Field(
        default="",
        description="Before each variable's name in the store; by default `ENVIRONMENT/PLATFORM/`, with `kubernetes` "
        "nothing.",
    )
    url: HttpUrl | None = Field(default=None, description="Where Vault is.")
    refresh_s: int = Field(default=3600, ge=10, description="Seconds between looks at the store.")
