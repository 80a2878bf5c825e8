"""The lock: which version of everything a tree was rendered with, and which version of each API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from hanok.spec.tree import Tree


class Pin(Tree):
    """One component's version. A chart is an `oci://` address, or a name in `repository`."""

    version: str = Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._+-]*)?$", description="As its makers write it.")
    chart: str | None = Field(
        default=None,
        pattern=r"^(oci://)?[A-Za-z0-9][A-Za-z0-9._:/-]*$",
        description="`oci://…`, or a chart's name in `repository`.",
    )
    repository: str | None = Field(
        default=None, pattern=r"^(https|http|oci)://\S+$", description="Address of a Helm repository."
    )
    image: str | None = Field(
        default=None, pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*$", description="An image without its tag."
    )
    digest: str | None = Field(
        default=None, pattern=r"^sha256:[0-9a-f]{64}$", description="Of the chart, or of the image."
    )
    api: str = Field(default="", description="The version of its API that is rendered.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Lock:
    """All pins, by component. `source` is the file that says so."""

    pins: Mapping[str, Pin]
    source: str

    def pin(self, name: str) -> Pin:
        """The pin of a component. Raises `KeyError` for what no lock could know."""
        return self.pins[name]

    def image(self, name: str) -> str:
        """The image of a component, with its tag, and its digest where that is known."""
        pin = self.pins[name]
        return f"{pin.image}:{pin.version}" + (f"@{pin.digest}" if pin.digest else "")
