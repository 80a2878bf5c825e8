"""Numbers of replicas that nobody could keep."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.checks.findings import Finding, quoted
from hanok.spec.tree import STARTED, Platform


def check_scaling(platform: Platform) -> Iterator[Finding]:
    """`scale` of models whose engines others start, or that say of two engines at once how many there should be."""
    for index, model in enumerate(platform.models):
        if model.scale is None:
            continue
        started = [position for position, endpoint in enumerate(model.serve) if endpoint.engine in STARTED]
        if not started and model.deploy is None:
            message = f"nobody could keep the replicas of {quoted(model.name)}: its engine is started by others"
            hint = (
                f"serve it with `engine: {'` or `engine: '.join(STARTED)}`, or say with `deploy` what it needs of GPUs"
            )
            yield Finding(place=("models", index, "scale"), message=message, hint=hint)
        if len(started) > 1:
            message = f"{quoted(model.name)} has {len(started)} engines to start, and `scale` is of one of them"
            hint = "leave one: its replicas are started as they are needed"
            yield Finding(place=("models", index, "serve", started[1]), message=message, hint=hint)
