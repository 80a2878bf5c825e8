"""Names whose model is picked must name models."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.checks.findings import Finding, quoted, unknown
from hanok.spec.tree import Auto, Platform


def check_tiers(platform: Platform) -> Iterator[Finding]:
    """Names whose model is picked, and the models that they name."""
    taken = {model.name: f"models[{index}]" for index, model in enumerate(platform.models)}
    for index, auto in enumerate(platform.tiers):
        place = ("tiers", index)
        if auto.name in taken:
            message = f"the name {quoted(auto.name)} is taken by {taken[auto.name]}"
            yield Finding(place=(*place, "name"), message=message, hint="give it another name, such as `auto`")
        taken.setdefault(auto.name, f"tiers[{index}]")
        for key in ("simple", "moderate", "complex", "compared_to"):
            if (name := getattr(auto, key)) is not None:
                yield from _unfit_model(platform, name, "chat", (*place, key))
        yield from _unfit_classifier(platform, auto, place)


def _unfit_model(platform: Platform, name: str, kind: str, place: tuple[str | int, ...]) -> Iterator[Finding]:
    model = platform.model(name)
    if model is not None and model.type != kind:
        message = f"{quoted(name)} is a model for {model.type}"
        yield Finding(place=place, message=message, hint=f"name a model for {kind}")
    elif model is None and any(name == auto.name for auto in platform.tiers):
        message = f"{quoted(name)} is itself a name whose model is picked"
        yield Finding(place=place, message=message, hint="name a model here")
    elif model is None:
        yield unknown("model", name, [each.name for each in platform.models if each.type == kind], place)


def _unfit_classifier(platform: Platform, auto: Auto, place: tuple[str | int, ...]) -> Iterator[Finding]:
    rules = auto.rules
    if rules.complex_from < rules.moderate_from:
        message = f"must be at least `moderate_from`, which is {rules.moderate_from}"
        yield Finding(place=(*place, "rules", "complex_from"), message=message)
    for position, cue in enumerate(rules.cues):
        if not cue.words and cue.pattern is None:
            yield Finding(place=(*place, "rules", "cues", position), message="says no `words` and no `pattern`")
    kind = {"examples": "embedding", "model": "chat"}.get(auto.classifier)
    if kind is None:
        return
    if auto.classifier_model is None:
        message = f"the classifier `{auto.classifier}` needs a model for {kind}"
        yield Finding(place=(*place, "classifier"), message=message, hint="name it as `classifier_model`")
    else:
        yield from _unfit_model(platform, auto.classifier_model, kind, (*place, "classifier_model"))
