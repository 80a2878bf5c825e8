"""How long a prompt takes until its first token, learned from the calls' own first tokens.

Prefilling u tokens after c cached ones costs a fixed part, a part by tokens, and a part by what each token attends to:

    seconds = fixed + linear · u + attention · u · (c + u / 2)

The three are fitted by least squares over observations that count less the older they are. Nothing else about the
engine need be known: not its model, its cards, or its settings.
"""

from __future__ import annotations

SCALE = 1000.0
"""Tokens are counted in thousands, which keeps the equations' figures alike in size."""
FIRST_GUESS_S = 0.1
"""Seconds a thousand tokens, before anything was observed. It makes no difference to who is picked."""
FORGET = 0.995
"""How much an observation counts when the next one comes: about the last 200 count."""
TRUST = 0.05
"""How many observations of 1,000 tokens the first guess weighs."""
SOLVE_EVERY = 8
OUTLIER = 4.0
"""An observation that is off by more than this factor counts as if it were off by it: stalls teach slowly."""
LEAST_S = 1e-4

Three = tuple[float, float, float]


class PrefillCost:
    """The learned cost of prefilling, in seconds."""

    __slots__ = ("_attention", "_fixed", "_linear", "_matrix", "_right", "_seen")

    def __init__(self) -> None:
        self._fixed, self._linear, self._attention = 0.0, FIRST_GUESS_S, 0.0
        # The normal equations of least squares: the upper half of a symmetric 3 × 3 matrix, and the right-hand side.
        self._matrix = [0.0] * 6
        self._right = [0.0] * 3
        self._seen = 0

    @property
    def seen(self) -> int:
        """How many observations there were."""
        return self._seen

    @property
    def parameters(self) -> Three:
        """Fixed, linear (by 1,000 tokens) and attention (by 1,000 × 1,000 tokens), in seconds."""
        return self._fixed, self._linear, self._attention

    def seconds(self, tokens: float, cached: float) -> float:
        """How long it takes to prefill a prompt of so many tokens of which so many are cached."""
        new = (tokens - cached) / SCALE
        return self._fixed + new * (self._linear + self._attention * (cached / SCALE + new / 2))

    def expect(self, features: Three) -> float:
        """How long it takes to prefill one or more prompts together."""
        calls, new, pairs = features
        return calls * self._fixed + new * self._linear + pairs * self._attention

    def observe(self, features: Three, seconds: float) -> None:
        """Learn that what `features_of` says of one or more prompts took so long together."""
        calls, new, pairs = features
        if seconds < 0.0 or new <= 0.0:
            return
        if self._seen >= SOLVE_EVERY:
            guess = max(LEAST_S, self.expect(features))
            seconds = min(max(seconds, guess / OUTLIER), guess * OUTLIER)
        self._add(calls, new, pairs, seconds)
        self._seen += 1
        if self._seen <= SOLVE_EVERY or self._seen % SOLVE_EVERY == 0:
            self._solve()

    def _add(self, calls: float, new: float, pairs: float, seconds: float) -> None:
        weight = 1.0 / (1.0 + new)  # the error grows with the size: without this the largest prompts would decide alone
        left = (calls * calls, calls * new, calls * pairs, new * new, new * pairs, pairs * pairs)
        self._matrix = [FORGET * old + weight * each for old, each in zip(self._matrix, left, strict=True)]
        right = (calls * seconds, new * seconds, pairs * seconds)
        self._right = [FORGET * old + weight * each for old, each in zip(self._right, right, strict=True)]

    def _solve(self) -> None:
        """Fit all three; leave out what would come out negative."""
        for used in ((0, 1, 2), (1, 2), (0, 1), (1,)):
            found = _solve(self._matrix, self._right, used)
            if found is not None and min(found) >= 0.0:
                self._fixed, self._linear, self._attention = found
                return


def features_of(tokens: float, cached: float) -> Three:
    """What the cost of a prompt depends on: 1 call, its new tokens, and what they attend to (in thousands)."""
    new = (tokens - cached) / SCALE
    return 1.0, new, new * (cached / SCALE + new / 2)


def _solve(matrix: list[float], right: list[float], used: tuple[int, ...]) -> Three | None:
    """Gaussian elimination over the unknowns used, the others 0. None when the equations do not say."""
    a00, a01, a02, a11, a12, a22 = matrix
    full = ((a00, a01, a02), (a01, a11 + TRUST, a12), (a02, a12, a22))
    target = (right[0], right[1] + TRUST * FIRST_GUESS_S, right[2])
    rows = [[*(full[row][column] for column in used), target[row]] for row in used]
    for place in range(len(used)):
        pivot = rows[place][place]
        if pivot < 1e-9:
            return None
        for other in range(len(used)):
            if other != place:
                factor = rows[other][place] / pivot
                rows[other] = [mine - factor * its for mine, its in zip(rows[other], rows[place], strict=True)]
    found = [0.0, 0.0, 0.0]
    for place, unknown in enumerate(used):
        found[unknown] = rows[place][-1] / rows[place][place]
    return found[0], found[1], found[2]
