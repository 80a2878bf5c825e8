"""What values of platform.yaml are made of: names, URLs, numbers, tags, and `Tree`, the shape of every block."""

from typing import Annotated, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError


def _usable(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port == 0:
        raise PydanticCustomError("url_unusable", "must be a URL with a host, and a port from 1 to 65535 if any")
    return url


def _no_truth(value: object) -> object:
    """Python takes `true` for 1; a person who writes `port: true` did not mean 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "must be a number")
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$"), AfterValidator(_usable)]
PageUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+(/[^\s#]*)?$"), AfterValidator(_usable)]
"""As `HttpUrl`, and may ask something: `?page=1`."""
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Whole = Annotated[int, BeforeValidator(_no_truth)]
Number = Annotated[float, BeforeValidator(_no_truth)]


class Tree(BaseModel):
    """A block of platform.yaml: frozen, strict about its keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, defer_build=True
    )


Block = TypeVar("Block", bound=Tree)


def unsaid(block: type[Block]) -> Block:
    """A block that a file does not have: its defaults, unchecked, so that no validator is built for them."""
    return block.model_construct()


def as_list(value: object) -> object:
    """One block stands for a list of one."""
    return [cast("object", value)] if isinstance(value, dict) else value
