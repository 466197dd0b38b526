"""The pipeline that the docs write out loads, and is as short as they say it can be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from feature_store.definition import Definition, Product
from feature_store.streams.shop_orders import SHOP_ORDERS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_example_of_the_docs_loads_as_it_stands() -> None:
    _, _, text = (DOCS / "adding-a-pipeline.md").read_text().partition("\n## An example")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (code,) = (block for block in blocks if "DEFINITION = " in block)
    assert len(code.splitlines()) <= 60
    found: dict[str, Any] = {}
    exec(compile(code, "adding-a-pipeline.md", "exec"), found)  # noqa: S102 - it is our own
    definition = found["DEFINITION"]
    assert isinstance(definition, Definition)
    assert isinstance(definition.spine, Product)
    assert definition.keys == ("user_id", "item_id")
    assert definition.all_streams == (SHOP_ORDERS,)
    assert definition.label_days == 10
