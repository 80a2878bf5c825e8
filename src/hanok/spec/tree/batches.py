"""Files and batches, and the hours in which batches run."""

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from hanok.spec.tree.values import Number, Tree, Whole

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _as_time(value: object) -> object:
    """A time of the day as text; YAML reads `22:00` without quotes as 22 sixties."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise PydanticCustomError("time_type", 'must be a time from 00:00 to 23:59, as "22:00"')
    return value


def _as_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("zone_unknown", "must be a time zone of this machine, as Europe/Berlin") from None
    return value


def _as_window(value: object) -> object:
    return None if value == "always" else value


Time = Annotated[str, BeforeValidator(_as_time)]


class BatchWindow(Tree):
    """The hours of the day in which batches run."""

    start: Time = Field(alias="from", description='When it opens, as `"22:00"`.')
    end: Time = Field(alias="to", description='When it closes, as `"06:00"`; may be after midnight.')
    timezone: Annotated[str, AfterValidator(_as_zone)] = Field(
        default="UTC", description="Whose time that is, as `Europe/Berlin`."
    )

    @property
    def opens(self) -> int:
        """Minutes after midnight."""
        return _minutes(self.start)

    @property
    def closes(self) -> int:
        """Minutes after midnight."""
        return _minutes(self.end)


def _minutes(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])


class Batches(Tree):
    """Files, and batches of calls that have time."""

    concurrency: Whole = Field(default=8, ge=1, le=1024, description="Lines asked at once, in all.")
    per_model: Whole | None = Field(default=None, ge=1, description="Lines asked at once of one model.")
    window: Annotated[BatchWindow | None, BeforeValidator(_as_window)] = Field(
        default=None, description="The hours in which lines are asked; by default `always`."
    )
    retries: Whole = Field(
        default=3, ge=0, le=100, description="Further attempts at a line that fails; what is only full is waited for."
    )
    keep_days: Number = Field(
        default=30.0, gt=0, le=3650, description="Days that files and ended batches are kept, unless a caller says."
    )
    file_limit_mib: Number = Field(default=512.0, gt=0, description="Largest file, in MiB.")
    tenant_limit_gib: Number = Field(default=16.0, gt=0, description="What one team's files, or one key's, may take.")
