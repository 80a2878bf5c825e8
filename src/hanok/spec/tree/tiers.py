"""Names whose model Hanok picks."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hanok.spec.tree.values import Name, Number, Tree, Whole, unsaid

TierName = Literal["simple", "moderate", "complex"]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        message = "must be a regular expression: {why}"
        raise PydanticCustomError("pattern_unusable", message, {"why": str(error)}) from None
    return pattern


def _as_tier(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class TierCue(Tree):
    """Words that decide a request's tier by themselves. Any of them will do; capitals do not matter."""

    tier: Annotated[TierName, BeforeValidator(_as_tier)] = Field(description="The tier of requests that say this.")
    words: list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        default=[], description="Words or phrases; they need not stand alone: `계약` fits `계약서를`."
    )
    pattern: Annotated[str, StringConstraints(min_length=1), AfterValidator(_compiles)] | None = Field(
        default=None, description="A regular expression of Python, looked for anywhere."
    )


class TierRules(Tree):
    """How the rules decide: by cues, else by points (docs/tiers.md lists them) and these thresholds."""

    cues: list[TierCue] = Field(default=[], description="Looked at first, in this order; the first that fits decides.")
    moderate_from: Whole = Field(default=2, description="Points from which a request is MODERATE.")
    complex_from: Whole = Field(default=5, description="Points from which a request is COMPLEX.")


class TierExamples(Tree):
    """Requests of each tier, added to the built-in ones."""

    simple: list[str] = Field(default=[], max_length=100, description="Requests that are SIMPLE.")
    moderate: list[str] = Field(default=[], max_length=100, description="Requests that are MODERATE.")
    complex: list[str] = Field(default=[], max_length=100, description="Requests that are COMPLEX.")


class Auto(Tree):
    """A name that callers ask for in place of a model; Hanok picks the model by the request's tier."""

    name: Name = Field(default="auto", description="The name callers use. Unique among models, too.")
    simple: str = Field(description="The model for classification, extraction and short questions.")
    moderate: str = Field(description="The model for summaries, translation and conversation.")
    complex: str = Field(description="The model for analysis, reasoning and code.")
    compared_to: str | None = Field(
        default=None, description="The model whose price shows what was saved; by default the `complex` one."
    )
    classifier: Literal["rules", "examples", "model"] = Field(
        default="rules",
        description="Who decides: `rules` on the request's text and form; the nearest of labelled `examples`; a small "
        "`model`. The rules decide whenever the others cannot.",
    )
    classifier_model: str | None = Field(
        default=None, description="The embedding model of `examples`, or the chat model of `model`. Its calls cost too."
    )
    timeout_s: Number = Field(
        default=2.0, gt=0, le=60, description="Seconds the classifier may take; then the rules decide."
    )
    rules: TierRules = Field(default=unsaid(TierRules), description="How the rules decide.")
    examples: TierExamples = Field(default=unsaid(TierExamples), description="Your own examples, for `examples`.")
    sticky: bool = Field(
        default=True, description="Within a session, do not fall below the tier that an earlier call was given."
    )

    def model_of(self, tier: TierName) -> str:
        """The model of that tier."""
        return {"simple": self.simple, "moderate": self.moderate, "complex": self.complex}[tier]

    def models(self) -> tuple[str, ...]:
        """Every model named here, once."""
        named = (self.simple, self.moderate, self.complex, self.compared_to, self.classifier_model)
        return tuple(dict.fromkeys(name for name in named if name is not None))
