"""What a test expects of a run, in a chain; a miss tells the whole story of the run."""

from __future__ import annotations

from typing import Any, Self

from hanok.testing.finished import FinishedRun


def expect(run: FinishedRun) -> Expectation:
    """Say what is expected of a run: `expect(run).done().called("web_search").within(usd=0.01)`."""
    return Expectation(run)


class Expectation:
    """Each method raises `AssertionError` where the run is otherwise, and gives itself back where it is not."""

    def __init__(self, run: FinishedRun) -> None:
        self._run = run

    def done(self) -> Self:
        """It came to its end."""
        return self._in("done")

    def failed(self, text: str = "") -> Self:
        """It failed, with this text in its error."""
        return self._in("failed")._that(text in (self._run.error or ""), f"its error to hold {text!r}")

    def limited(self, by: str | None = None) -> Self:
        """It reached a limit: that one, if named (`steps`, `tool_calls`, `usd`, …)."""
        return self._in("limited")._that(
            by in (None, self._run.reason), f"{by} to be the limit, not {self._run.reason}"
        )

    def cancelled(self) -> Self:
        """Somebody ended it."""
        return self._in("cancelled")

    def waits(self, kind: str | None = None) -> Self:
        """It waits for a person: for an `approval`, or the answer to a `question`."""
        kinds = [each.kind for each in self._run.wanted]
        return self._in("waiting")._that(kind is None or kind in kinds, f"it to wait for an {kind}, not for {kinds}")

    def called(self, name: str, /, **arguments: Any) -> Self:
        """It called this tool, with at least these arguments."""
        with_ = f" with {arguments}" if arguments else ""
        return self._that(bool(self._run.called(name, **arguments)), f"a call of {name}{with_}")

    def called_times(self, name: str, times: int) -> Self:
        """It called this tool so often."""
        found = len(self._run.called(name))
        return self._that(found == times, f"{times} calls of {name}, not {found}")

    def did_not_call(self, name: str, /) -> Self:
        """It never called this tool."""
        return self._that(name not in self._run.tools_used, f"no call of {name}")

    def asked(self, agent: str, /) -> Self:
        """It gave work to this agent, itself or by others."""
        return self._that(agent in [each.agent for each in self._run.every()][1:], f"work for {agent}")

    def said(self, *texts: str) -> Self:
        """Its answer holds these texts."""
        missing = [text for text in texts if text not in self._run.answer]
        return self._that(not missing, f"{missing} in its answer")

    def within(
        self,
        *,
        steps: int | None = None,
        tool_calls: int | None = None,
        tokens: int | None = None,
        usd: float | None = None,
        seconds: float | None = None,
    ) -> Self:
        """It used no more than this."""
        used = self._run.used
        found = {"steps": used.steps, "tool_calls": used.tool_calls, "tokens": used.tokens}
        found |= {"usd": self._run.usd, "seconds": used.seconds}
        most = {"steps": steps, "tool_calls": tool_calls, "tokens": tokens, "usd": usd, "seconds": seconds}
        for name, bound in most.items():
            self._that(bound is None or found[name] <= bound, f"at most {bound} {name}, not {found[name]}")
        return self

    def _in(self, state: str) -> Self:
        return self._that(self._run.state == state, f"the run to be {state}, not {self._run.state}")

    def _that(self, holds: bool, expected: str) -> Self:
        if not holds:
            raise AssertionError(f"expected {expected}\n{self._run.story()}")
        return self
