"""Images: what a reference names, and which component it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from hanok.preflight.workloads import Container

_REFERENCE = re.compile(r"(?P<name>[^@:\s]+(?::\d+/[^@:\s]+)?)(?::(?P<tag>[^@\s]+))?(?:@(?P<digest>\S+))?")
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?=$|[-_+.])")
_COMPONENTS = (
    ("litellm", re.compile(r"(^|/)litellm(-database|-non_root|_stable)?$")),
    ("langfuse-worker", re.compile(r"(^|/)langfuse[/-]langfuse-worker$|(^|/)langfuse-worker$")),
    ("langfuse", re.compile(r"(^|/)langfuse/langfuse$|(^|/)langfuse$")),
    ("dcgm", re.compile(r"(^|/)dcgm-exporter$")),
)


@dataclass(frozen=True, kw_only=True)
class Image:
    """A reference, taken apart. `name` has the registry, where one is written; `tag` and `digest` may be empty."""

    text: str
    name: str
    tag: str
    digest: str

    @property
    def registry(self) -> str:
        """The host that it comes from; empty for Docker Hub."""
        first, slash, _ = self.name.partition("/")
        return first if slash and ("." in first or ":" in first or first == "localhost") else ""

    @property
    def repository(self) -> str:
        """The name without the registry."""
        return self.name.removeprefix(f"{self.registry}/") if self.registry else self.name

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers that the tag begins with, also after `main-`; empty where it has none."""
        found = _VERSION.match(self.tag.removeprefix("main-"))
        return tuple(int(each) for each in found.groups() if each) if found else ()


@cache
def read_image(text: str) -> Image | None:
    """The image that is meant; None for what is no reference."""
    found = _REFERENCE.fullmatch(text.strip())
    if found is None:
        return None
    return Image(text=text.strip(), name=found["name"], tag=found["tag"] or "", digest=found["digest"] or "")


def component(container: Container) -> str:
    """The component that the image makes certain; empty where it makes none."""
    return _component(container.image)


@cache
def _component(text: str) -> str:
    image = read_image(text)
    if image is None:
        return ""
    return next((name for name, pattern in _COMPONENTS if pattern.search(image.name)), "")
