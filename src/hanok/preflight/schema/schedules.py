"""When CronJobs run: schedules in cron's five fields, as the controller's parser reads them.

Source: github.com/robfig/cron v3, `ParseStandard`: minutes, hours, days, months, days of the week; names of months and
days; `*`, `?`, lists, ranges and steps; `@daily` and its like, `@every 1h`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import text_at
from hanok.preflight.schema.load import load_time_zones

WRONG_SCHEDULE = Rule(
    "HK130", "error", "a schedule that no job would run by", "write five fields, as `30 2 * * *`: at 2:30 each day"
)

_NO_NAMES: Mapping[str, int] = {}
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_FIELDS = (
    ("minute", 0, 59, _NO_NAMES), ("hour", 0, 23, _NO_NAMES), ("day of the month", 1, 31, _NO_NAMES),
    ("month", 1, 12, _MONTHS), ("day of the week", 0, 6, _DAYS),
)  # fmt: skip
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_EVERY = re.compile(r"@every (?:\d+\.?\d*(?:ns|us|µs|ms|s|m|h))+")
_RANGE = re.compile(r"(?P<first>\*|\?|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")


def check_schedules(case: Case) -> Iterator[Finding]:
    """Schedule and time zone of every CronJob."""
    for manifest in case.cluster.of("CronJob", group="batch"):
        schedule, zone = text_at(manifest.body, "spec", "schedule"), text_at(manifest.body, "spec", "timeZone")
        if schedule and "${" not in schedule and (why := wrong_schedule(schedule)):
            yield WRONG_SCHEDULE.on(manifest, "spec", "schedule", message=f"spec.schedule: {schedule!r} {why}")
        if zone and "${" not in zone and (why := _wrong_zone(zone)):
            hint = "write a name of the IANA database, as `Asia/Seoul`"
            yield WRONG_SCHEDULE.on(manifest, "spec", "timeZone", message=f"spec.timeZone: {zone!r} {why}", hint=hint)


def wrong_schedule(schedule: str) -> str | None:
    """What is wrong with a schedule; None where nothing is."""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        return "names a time zone: that stands under `timeZone`"
    if schedule.startswith("@"):
        known = schedule in _DESCRIPTORS or _EVERY.fullmatch(schedule)
        return None if known else "is no schedule that has a name"
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"has {len(fields)} {'field' if len(fields) == 1 else 'fields'}, and needs 5"
    for text, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            if not _fits(part, low, high, names):
                return f"has {part!r} as its {name}, which goes from {low} to {high}"
    return None


def _fits(part: str, low: int, high: int, names: Mapping[str, int]) -> bool:
    found = _RANGE.fullmatch(part)
    if found is None or (found["step"] and int(found["step"]) == 0):
        return False
    if found["first"] in ("*", "?"):
        return found["last"] is None
    first = _number(found["first"], names)
    last = first if found["last"] is None else _number(found["last"], names)
    return first is not None and last is not None and low <= first <= last <= high


def _number(text: str, names: Mapping[str, int]) -> int | None:
    return int(text) if text.isdigit() and text.isascii() else names.get(text.lower())


def _wrong_zone(zone: str) -> str | None:
    known = load_time_zones()
    if zone.lower() == "local":
        return "is not a time zone of its own"
    return "is not a known time zone" if known and zone not in known else None


CHECKS = (check_schedules,)
