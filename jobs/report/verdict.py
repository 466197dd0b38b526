"""Can last night's scores be trusted? One answer, from what is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from feature_store.schema import EVENTS, FEATURES, QUARANTINE
from jobs.report.facts import read_facts

if TYPE_CHECKING:
    from datetime import date

    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.report.facts import LabelScores, NightFacts

Level = Literal["good", "look", "bad"]

PSI_TO_LOOK_AT = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer at the top of a page."""

    level: Level
    title: str
    reasons: tuple[str, ...]


def judge(facts: NightFacts) -> Verdict:
    """Return the verdict on a night."""
    if facts.published is None:
        return Verdict(level="bad", title=_not_published(facts), reasons=_why_not(facts))
    doubts = _doubts(facts, facts.published)
    p = facts.published
    by = (
        f"{p.rows:,} scores of run {p.run_id} by {p.model_name} version {p.model_version}, "
        f"published {p.published_at:%Y-%m-%d %H:%M} UTC by {p.who} ({p.why})."
    )
    if doubts:
        return Verdict(level="look", title="Published; look at this", reasons=(*doubts, by))
    proven = published_checks(p)
    passed = f"All {proven} checks passed." if proven else ""
    return Verdict(level="good", title="Published", reasons=tuple(filter(None, (by, passed))))


def published_checks(publication: Publication) -> int:
    """Return how many checks passed of exactly what was published; 0 where nothing says so."""
    return sum(proof["checks"] for proof in json.loads(publication.checks or "[]"))


def _not_published(facts: NightFacts) -> str:
    if facts.failed_checks or facts.failure or _is_stopped_at_ingest(facts):
        return "Failed: nothing is published"
    return "Not published"


def _why_not(facts: NightFacts) -> tuple[str, ...]:
    reasons = [_failed_sentence(facts)] if facts.failed_checks else []
    if _is_stopped_at_ingest(facts):
        bad = facts.commits[QUARANTINE].rows
        reasons.append(f"Too many bad rows: {bad:,} were quarantined, and none became events.")
    if facts.failure and not facts.failed_checks:
        reasons.append(facts.failure)
    elif facts.refusal:
        reasons.append(f"The source was refused: {facts.refusal}")
    if not reasons:
        have = "Features are ready." if FEATURES in facts.commits else "No features are there yet."
        name = facts.definition.name
        reasons.append(f"{have} Run: nightscore run --pipeline {name} --ds {facts.ds}")
    return tuple(reasons)


def _doubts(facts: NightFacts, published: Publication) -> tuple[str, ...]:
    doubts = []
    if facts.failure:
        doubts.append(
            f"The latest attempt failed; these scores are from before it: {facts.failure}"
        )
    elif facts.failed_checks:
        doubts.append(f"A later attempt failed, and replaced nothing. {_failed_sentence(facts)}")
    elif facts.refusal:
        doubts.append(
            "The day was delivered again and refused; these scores are of what was delivered "
            f"before: {facts.refusal}"
        )
    doubts += [f"Made with {note}" for note in published.notes.splitlines()]
    if any(p.run_id == published.run_id for p in facts.publications[:-1]):
        doubts.append(
            f"Run {published.run_id} was published again by {published.who} ({published.why})."
        )
    if facts.is_stale:
        doubts.append("The features were replaced since: running the night again would differ.")
    for found, drift in _drifted(facts):
        doubts.append(
            f"{_scores_of(facts, found, 'The scores')} lie elsewhere than in the days before: PSI "
            f"{drift[0]:.2f}; {drift[1]:.2f} is to be expected by chance."
        )
    return tuple(doubts)


def _drifted(facts: NightFacts) -> list[tuple[LabelScores, tuple[float, float]]]:
    """Return the scores that lie elsewhere than before, with their drift."""
    each = [(found, found.drift) for found in facts.scores]
    return [(found, d) for found, d in each if d is not None and d[0] > PSI_TO_LOOK_AT + d[1]]


def _scores_of(facts: NightFacts, found: LabelScores, scores: str) -> str:
    """Return what to call the scores of a label: of a single one everybody knows which."""
    return scores if len(facts.scores) == 1 else f"{scores} of {found.label}"


def _failed_sentence(facts: NightFacts) -> str:
    listed = "; ".join(
        f"{c.check} of {c.stage}: {c.observed or 'failed'}, expected {c.expected}"
        for c in facts.failed_checks[:3]
    )
    more = f"; and {len(facts.failed_checks) - 3} more" if len(facts.failed_checks) > 3 else ""
    return f"{len(facts.failed_checks)} of {len(facts.checks)} checks failed: {listed}{more}."


def _is_stopped_at_ingest(facts: NightFacts) -> bool:
    """Whether the quarantine holds a newer reading of the source than the events."""
    quarantine, events = facts.commits.get(QUARANTINE), facts.commits.get(EVENTS)
    if quarantine is None or not quarantine.rows:
        return False
    return events is None or events.inputs != quarantine.inputs


def why_train(context: Context, day: date) -> str:
    """Return why a published night asks for a new model; nothing if it does not."""
    facts = read_facts(context, day)
    return "; ".join(
        f"the scores of {day} lie elsewhere than in the days before"
        f"{'' if len(facts.scores) == 1 else f', those of {found.label}'}: PSI {drift[0]:.2f}, "
        f"{drift[1]:.2f} by chance"
        for found, drift in _drifted(facts)
    )
