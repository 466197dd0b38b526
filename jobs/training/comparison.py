"""The champion, evaluated on the rows that judge a challenger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from feature_store.definition import labels_agree
from feature_store.errors import NoChampion
from jobs.registry import model_registry
from jobs.training.evaluate import Evaluations, evaluate_bundle
from jobs.training.recipe import signature_of
from models.errors import BundleInvalid
from models.fit.recipe import VALID

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from feature_store.home import Home
    from jobs.registry.model_registry import ModelRef
    from jobs.training.held_out import HeldOutRows
    from models.scoring.bundle import Bundle


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What a challenger is compared with."""

    champion: ModelRef | None
    evaluations: Evaluations | None
    sentence: str = "There is no champion to compare with."
    """Why there are no evaluations."""
    is_broken: bool = False
    """Whether the champion's bundle could not be loaded."""
    notes: tuple[str, ...] = ()


def compare(
    home: Home, definition: Definition, held_out: HeldOutRows, first_day: str
) -> Comparison:
    """Return the champion's evaluation on these rows, or why there is none.

    Args:
        home: where the champion is.
        definition: the pipeline.
        held_out: the evaluation rows.
        first_day: their first day, YYYY-MM-DD.
    """
    from models.scoring import bundle

    try:
        champion = model_registry.champion(home, definition.name)
        loaded = bundle.load(champion.path, champion.digest)
    except NoChampion:
        return Comparison(champion=None, evaluations=None)
    except BundleInvalid as error:
        sentence = f"The champion cannot be loaded to compare with: {error}."
        return Comparison(champion=None, evaluations=None, sentence=sentence, is_broken=True)
    title = f"The champion ({champion.title})"
    if (
        loaded.encoding_digest != definition.digest("encoding")
        or loaded.signature != signature_of(definition)
        or not labels_agree(definition.labels, loaded.data)
    ):
        sentence = f"{title} takes other features or another label: it was not compared."
        return Comparison(champion=champion, evaluations=None, sentence=sentence)
    evaluations = evaluate_bundle(loaded, held_out, definition.gate)
    note = f"{title} was trained on evaluation days, which favours it in the comparison."
    notes = (note,) if _trained_until(loaded) >= first_day else ()
    return Comparison(champion=champion, evaluations=evaluations, notes=notes)


def _trained_until(loaded: Bundle) -> str:
    """Return the last day a bundle was trained on, as text; empty where it does not say."""
    days = loaded.data.get("days", {}).get(VALID, [])
    return str(days[-1][1]) if days else ""
