"""The catalogue and models that ship, as the tests of this room use them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanok.gpu import Anatomy, Catalog, Fit, Plan, Split, fit, load_catalog, load_model, plan
from hanok.spec import Deploy


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()[0]


@pytest.fixture(scope="session")
def model() -> Callable[[str], Anatomy]:
    """A built-in model."""
    return lambda name: load_model(name, folder=Path("/nowhere"), fetch=None)


@pytest.fixture
def fitted(catalog: Catalog, model: Callable[[str], Anatomy]) -> Callable[..., Fit]:
    """What a model leaves of one GPU's memory."""

    def fitted(name: str, gpu: str, *, tensor: int = 1, pipeline: int = 1, context: int = 8192, **more: Any) -> Fit:
        memory = catalog.accelerators[gpu].memory_mib
        assert memory is not None
        split = Split(tensor=tensor, pipeline=pipeline)
        return fit(model(name), split, memory_mib=memory, overheads=catalog.overheads, context_tokens=context, **more)

    return fitted


@pytest.fixture
def planned(catalog: Catalog, model: Callable[[str], Anatomy]) -> Callable[..., Plan]:
    """The plan for a built-in model."""
    return lambda name, **wishes: plan(model(name), Deploy.model_validate(wishes), catalog)
