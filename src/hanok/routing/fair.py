"""A queue in which groups take turns by weight, first come first served within a group.

Each group has a clock that goes on by 1/weight with every turn it gets; the group whose clock is furthest behind is
next. A group that comes back after a pause starts at the time of the last turn given, so that it can neither save up
turns nor be made to pay for its pause. (Stride scheduling: Waldspurger and Weihl, 1995; the same order as start-time
fair queueing for work of equal size.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Group = TypeVar("Group", bound=Hashable)


class FairQueue(Generic[Group, Item]):
    """Items that wait, by group. An item stands in the queue once."""

    def __init__(self) -> None:
        self._waiting: dict[Group, OrderedDict[Item, None]] = {}
        self._clocks: dict[Group, float] = {}
        self._weights: dict[Group, float] = {}
        self._now = 0.0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, item: Item, *, group: Group, weight: float) -> None:
        """Stand at the end of the group's line."""
        if group not in self._waiting:
            self._waiting[group] = OrderedDict()
            self._clocks[group] = max(self._clocks.get(group, 0.0), self._now)
        self._weights[group] = weight
        self._waiting[group][item] = None
        self._length += 1

    def pop(self, fits: Callable[[Item], bool]) -> Item | None:
        """The next item that fits, or None. Its group pays for the turn."""
        order = sorted(self._waiting, key=self._clocks.__getitem__)
        for group in order:
            item = next((each for each in self._waiting[group] if fits(each)), None)
            if item is not None:
                self._now = max(self._now, self._clocks[order[0]])
                self._clocks[group] += 1.0 / self._weights[group]
                self.remove(item, group=group)
                return item
        return None

    def remove(self, item: Item, *, group: Group) -> bool:
        """Leave the queue. False when the item does not stand in it."""
        line = self._waiting.get(group)
        if line is None or item not in line:
            return False
        del line[item]
        self._length -= 1
        if not line:
            del self._waiting[group]
            self._forget()
        return True

    def drain(self) -> list[Item]:
        """Everybody, out."""
        items = [item for line in self._waiting.values() for item in line]
        self._waiting.clear()
        self._length = 0
        self._forget()
        return items

    def _forget(self) -> None:
        """Clocks that are not ahead of the time say nothing, and an empty queue starts afresh."""
        if not self._waiting:
            self._clocks.clear()
            self._weights.clear()
            self._now = 0.0
