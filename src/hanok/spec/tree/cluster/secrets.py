"""Where a cluster's secrets come from. None is ever written into the tree."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanok.spec.tree.values import HttpUrl, Tree


class Secrets(Tree):
    """External Secrets: from a store into the cluster."""

    store: Literal["aws-secrets-manager", "aws-parameter-store", "vault", "existing"] = Field(
        default="aws-secrets-manager", description="The store; `existing`: a ClusterSecretStore that is there."
    )
    name: str = Field(default="platform", min_length=1, description="The ClusterSecretStore's name.")
    prefix: str = Field(
        default="", description="Before each variable's name in the store; by default `ENVIRONMENT/PLATFORM/`."
    )
    url: HttpUrl | None = Field(default=None, description="Where Vault is.")
    refresh_s: int = Field(default=3600, ge=10, description="Seconds between looks at the store.")
