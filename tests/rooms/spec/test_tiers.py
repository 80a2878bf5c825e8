"""Tiers in platform.yaml: what is read, what is refused, and where it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanok.errors import SpecError
from hanok.spec import Platform
from hanok.spec.load import parse

MODELS = """models:
- {name: s, serve: {engine: echo}}
- {name: m, serve: {engine: echo}}
- {name: c, serve: {engine: echo}}
- {name: e, type: embedding, serve: {engine: sentence-encoder}}
"""
THREE = "simple: s, moderate: m, complex: c"


def read(text: str) -> Platform:
    return parse(MODELS + text, Path("platform.yaml"), {}).platform


def test_three_models_are_enough() -> None:
    (auto,) = read(f"tiers: [{{{THREE}}}]").tiers
    assert (auto.name, auto.classifier, auto.sticky, auto.compared_to) == ("auto", "rules", True, None)
    assert auto.models() == ("s", "m", "c")


def test_scopes_may_name_the_name_whose_model_is_picked() -> None:
    assert read(f"tiers: [{{{THREE}}}]\nteams: [{{name: t, models: [auto]}}]").teams[0].models == ["auto"]


def test_tiers_may_be_written_in_capitals_and_patterns_are_kept() -> None:
    (auto,) = read(f"tiers: [{{{THREE}, rules: {{cues: [{{tier: COMPLEX, pattern: '^a+$'}}]}}}}]").tiers
    assert (auto.rules.cues[0].tier, auto.rules.cues[0].pattern) == ("complex", "^a+$")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tiers: [{simple: s, moderate: m}]", "6:9 tiers[0].complex: 'complex' is missing here"),
        ("tiers: [{simple: s, moderate: m, complex: x}]", "tiers[0].complex: no model is called 'x'"),
        ("tiers: [{simple: e, moderate: m, complex: c}]", "tiers[0].simple: 'e' is a model for embedding"),
        (f"tiers: [{{{THREE}, name: m}}]", "tiers[0].name: the name 'm' is taken by models[1]"),
        (f"tiers: [{{{THREE}}}, {{{THREE}}}]", "tiers[1].name: the name 'auto' is taken by tiers[0]"),
        (
            f"tiers: [{{{THREE}}}, {{name: b, simple: auto, moderate: m, complex: c}}]",
            "tiers[1].simple: 'auto' is itself a name whose model is picked",
        ),
        (f"tiers: [{{{THREE}, classifier: model}}]", "tiers[0].classifier: the classifier `model` needs a model for"),
        (
            f"tiers: [{{{THREE}, classifier: examples, classifier_model: s}}]",
            "tiers[0].classifier_model: 's' is a model for chat",
        ),
        (f"tiers: [{{{THREE}, classifier: guess}}]", "tiers[0].classifier: must be 'rules' or 'examples' or 'model'"),
        (f"tiers: [{{{THREE}, rules: {{moderate_from: 9}}}}]", "complex_from: must be at least `moderate_from`"),
        (f"tiers: [{{{THREE}, rules: {{cues: [{{tier: simple}}]}}}}]", "cues[0]: says no `words` and no `pattern`"),
        (
            f"tiers: [{{{THREE}, rules: {{cues: [{{tier: simple, pattern: '('}}]}}}}]",
            "cues[0].pattern: must be a regular expression",
        ),
        (f"tiers: [{{{THREE}}}]\nbudgets: [{{of: model, name: auto, usd: 1}}]", "no model is called 'auto'"),
    ],
)
def test_what_does_not_hold_together_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    shown = str(caught.value).replace("platform.yaml:", "")
    assert told in shown, shown
