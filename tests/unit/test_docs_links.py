"""What the docs point at is there, and a picture says in words what it shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def text_of(page: Path) -> str:
    """A page without its fenced blocks, in which nothing is a link or a heading."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a heading is called in an address, as GitHub calls it."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_what_is_there(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+://|mailto:", target):
            continue
        place, _, anchor = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_picture_says_what_it_shows(page: Path) -> None:
    for said, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", text_of(page)):
        assert len(said.split()) >= 3, target
        if target.endswith(".svg"):
            root = ET.parse(page.parent / target).getroot()  # noqa: S314 - it is our own
            inside = {part.tag.rpartition("}")[2]: part.text for part in root}
            assert inside["title"], target
            assert inside["desc"], target


@pytest.mark.parametrize(
    "picture", sorted((ROOT / "docs/images").glob("*.svg")), ids=lambda p: p.stem
)
def test_a_drawing_takes_nothing_from_elsewhere_and_suits_both_themes(picture: Path) -> None:
    text = picture.read_text()
    assert len(text) < 12_000
    assert not re.search(r"<script|<image|href=|@import|url\((?!#)", text)
    assert "prefers-color-scheme: dark" in text
