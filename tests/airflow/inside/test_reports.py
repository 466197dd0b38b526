"""What Airflow serves: pages of the home that the jobs mean, however it is written."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.inside.conftest import ROOT


@pytest.fixture(scope="module")
def plugin() -> Any:
    """The plugin, loaded as Airflow does: from its file."""
    place = ROOT / "infra" / "airflow_plugins" / "nightscore_reports.py"
    spec = importlib.util.spec_from_file_location("nightscore_reports", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_is_found_in_a_home_that_is_a_path_or_a_file_url(
    plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "my home" / "reports" / "toy" / "2026-01-01.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html>")
    home = page.parents[2]
    for text in (str(home), home.as_uri(), f"file:{home}"):
        monkeypatch.setenv("NIGHTSCORE_HOME", text)
        assert Path(plugin.report("toy", page.name).path) == page
        for wrong in ("2026-01-02.html", "../x.html"):
            with pytest.raises(plugin.HTTPException, match=f"404: no report toy/{wrong}: "):
                plugin.report("toy", wrong)


@pytest.mark.parametrize("text", ["s3a://bucket/prefix", "file://host/x"])
def test_a_home_that_is_no_folder_is_named(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NIGHTSCORE_HOME", text)
    with pytest.raises(plugin.HTTPException, match=f"404: NIGHTSCORE_HOME='{text}': "):
        plugin.report("toy", "2026-01-01.html")
