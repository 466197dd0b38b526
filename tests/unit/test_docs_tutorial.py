"""What can be said of the tutorial in a second; that it runs is said by tests/spark."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.version import ROOT
from tests.tutorial import HEADING, PAGE, Block, blocks, is_printed, script

PARTS = blocks(PAGE.read_text())
FILES = {block.path: block.text for block in PARTS if block.kind == "write"}
STREAM, DEFINITION = "feature_store/streams/parcels.py", "feature_store/definitions/parcels.py"
LOAD = """
import sys
from pathlib import Path
from feature_store import definitions, streams
for package in (streams, definitions):
    package.__path__.append(str(Path(sys.argv[1], *package.__name__.split("."))))
definition = definitions.load("parcels")
print(definition.name, definition.stream.name, *definition.categorical_names())
"""


def test_the_two_files_that_it_has_one_write_load(tmp_path: Path) -> None:
    for place in (STREAM, DEFINITION):
        path = tmp_path / place
        path.parent.mkdir(parents=True)
        path.write_text(FILES[place])
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["parcels", "parcels", "courier", "district", "courier_district"]


def test_the_files_that_it_makes_are_the_same_whenever_they_are_made(tmp_path: Path) -> None:
    (make,) = (path for path in FILES if path.endswith("make.py"))
    (tmp_path / "make.py").write_text(FILES[make])

    def made(folder: str, first: str, last: str) -> dict[str, str]:
        command = [sys.executable, "make.py", folder, first, last]
        subprocess.run(command, cwd=tmp_path, check=True)
        return {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}

    both = made("both", "2025-03-01", "2025-03-02")
    assert both == made("one", "2025-03-01", "2025-03-01") | made("one", "2025-03-02", "2025-03-02")
    assert [len(text.splitlines()) for text in both.values()] == [201, 201]


def test_it_runs_what_it_tells_of_and_every_command_of_it_prints_something_shown() -> None:
    ran = re.findall(r"^nightscore (\w+)", "".join(b.text for b in PARTS if b.kind == "run"), re.M)
    told = ["init", "pipelines", "prepare", "train", "plan", "run", "scores", "status"]
    assert list(dict.fromkeys(ran)) == told
    for block, after in zip(PARTS, [*PARTS[1:], None], strict=True):
        if block.kind == "run" and "nightscore " in block.text:
            assert after is not None
            assert after.kind == "print", f"line {block.line}: what does it print?"


def test_blocks_are_taken_in_order_with_their_lines_and_paths() -> None:
    page = (
        f"```sh\nnot mine\n```\n{HEADING}\nSay:\n\n```sh\necho a\n\necho b\n```\n"
        "```text\na\n…\n```\nWrite\n`a/b.py`:\n\n```python\nx = 1\n```\n### More\n"
        "## Next\n```yaml\n"
    )
    assert blocks(page) == [
        Block(kind="run", line=8, text="echo a\n\necho b\n"),
        Block(kind="print", line=13, text="a\n…\n"),
        Block(kind="write", line=20, text="x = 1\n", path="a/b.py"),
    ]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("# Another\n", "no heading"),
        (f"{HEADING}\n```yaml\na: 1\n```\n", "line 3: a block of 'yaml'"),
        (f"{HEADING}\n```\na\n```\n", "line 3: a block of 'no language'"),
        (f"{HEADING}\nWrite this:\n```python\nx = 1\n```\n", "does not end with the path"),
        (f"{HEADING}\n```text\na\n```\n", "no shell stands before"),
        (f"{HEADING}\n```sh\necho a\n", "has no end"),
    ],
)
def test_a_block_that_no_test_could_run_is_refused(page: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        blocks(page)


def test_the_script_is_one_shell_that_stops_where_something_fails(tmp_path: Path) -> None:
    def run(*parts: Block) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script(parts, tmp_path)],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip

    (tmp_path / "5").write_text("print(1)\n")
    before = Block(kind="run", line=2, text="export A=3\ncd /\ncd - > /dev/null\necho 1\n")
    write = Block(kind="write", line=5, text="print(1)\n", path="one.py")
    after = Block(kind="run", line=8, text='cat one.py | head -1\necho "$A"\n')
    fails = Block(kind="run", line=11, text="false | cat\necho never\n")
    assert run(before, write, after).returncode == 0
    assert (tmp_path / "2").read_text() == "1\n"
    assert (tmp_path / "8").read_text() == "print(1)\n3\n"
    assert run(before, fails, after).returncode == 1
    assert (tmp_path / "at").read_text() == "11\n"
    assert (tmp_path / "11").read_text() == ""


@pytest.mark.parametrize(
    ("expected", "printed", "is_so"),
    [
        ("a 1\n", "a     1   \n", True),
        ("a 1\n", "a 2\n", False),
        ("a …\n", "a\n", False),
        ("a…\n", "a\n", True),
        ("a …, c\n", "a b, b, c\n", True),
        ("a …\n", "a b\nc\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a\n…\n", "b\n", False),
        ("a.c\n", "abc\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_what_is_printed_is_told_from_what_is_not(expected: str, printed: str, is_so: bool) -> None:
    assert is_printed(expected, printed) is is_so
