"""Where the state lies: a local path, a file: URL of one, or a store; nothing in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_store.errors import UsageError
from feature_store.home import Home


@pytest.mark.parametrize(
    "text",
    [
        "file:/data/my home", "file:///data/my%20home", "file://localhost/data/my%20home/",
        "FILE:///data/my%20home", "/data/my home", "/data/./x/../my home/",
    ],
)  # fmt: skip
def test_a_local_folder_is_one_path_however_it_is_written(text: str) -> None:
    home = Home.of(text)
    assert (home.root, home.is_local) == ("/data/my home", True)
    assert home.table("toy", "events") == "/data/my home/tables/toy/events"


@pytest.mark.parametrize("text", ["/", "file:///", "file:/"])
def test_the_root_is_the_root(text: str) -> None:
    assert Home.of(text).root == "/"


def test_a_relative_path_is_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.of("ware house").root == str(tmp_path / "ware house")
    assert Home.of("a:b").root == str(tmp_path / "a:b")


@pytest.mark.parametrize("text", ["s3a://bucket/prefix/", "hdfs://host:8020/x", "abfss://c@a/x"])
def test_a_store_keeps_its_url(text: str) -> None:
    home = Home.of(text)
    assert (home.root, home.is_local) == (text.rstrip("/"), False)
    with pytest.raises(UsageError, match="this needs a local folder"):
        home.local_path("x")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("file:data", "an absolute path"),
        ("file://host/data", "'host' stands where the name of a machine does"),
        ("file://data", "with three slashes"),
        ("s3a:/bucket", "a URL is written s3a://"),
        ("hdfs:/x", "a URL is written hdfs://"),
        ("/data/my%20home", "('/data/my home'?)"),
        ("file:///data/100%2520", "('/data/100 '?)"),
    ],
)
def test_what_names_no_folder_is_refused_with_the_setting_and_the_rule(
    text: str, rule: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Home.of(text)
    assert str(refused.value).startswith(f"NIGHTSCORE_HOME={text!r}: ")
    assert rule in str(refused.value)
