"""What is not validated, to be quick, is as if it were."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from hanok.errors import SpecError
from hanok.spec.load import parse
from hanok.spec.reference import BLOCKS
from hanok.spec.tree.tools import HttpTool, is_plain

TOOL = """
models: [{{name: chat, serve: {{engine: echo}}}}]
tools:
  - name: search
    type: http
    url: "https://example.com/{{query}}"
    parameters: {parameters}
"""


def defaults() -> Iterator[tuple[str, BaseModel]]:
    for where, block in BLOCKS:
        for name, field in block.model_fields.items():
            if isinstance(field.default, BaseModel):
                yield f"{where}.{name}", field.default


def test_a_block_that_is_not_written_is_what_checking_would_make_of_it() -> None:
    found = dict(defaults())
    assert len(found) > 20
    for where, default in found.items():
        said = default.model_dump(exclude_unset=True)
        assert default == type(default).model_validate(said), where


@pytest.mark.parametrize("parameters", ["{query: string}", "{query: {type: string}}"])
def test_arguments_with_nothing_but_types_need_no_library_to_be_a_schema(tmp_path: Path, parameters: str) -> None:
    loaded = parse(TOOL.format(parameters=parameters), tmp_path / "platform.yaml", {})
    (tool,) = loaded.platform.tools
    assert isinstance(tool, HttpTool)
    assert is_plain(tool.parameters)


@pytest.mark.parametrize("written", ["{query: {type: text}}", "{query: {type: string, maxLength: -1}}"])
def test_what_says_more_is_looked_at_by_the_library(tmp_path: Path, written: str) -> None:
    pytest.importorskip("jsonschema")
    with pytest.raises(SpecError, match="is no JSON Schema"):
        parse(TOOL.format(parameters=written), tmp_path / "platform.yaml", {})
