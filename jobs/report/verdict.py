"""Can last night's scores be trusted? One answer, from everything that is known.

Green means: published, and nothing known speaks against it. What is not known yet is said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from feature_store.schema import EVENTS, FEATURES, QUARANTINE
from jobs.report.bands import (
    MIN_NIGHTS,
    Fault,
    Limits,
    faults,
    gate_limits,
    learned,
    segment_faults,
    together,
)
from jobs.report.facts import DAYS_BEFORE, read_facts
from jobs.report.nights import Level, Reason
from jobs.report.realised import Z

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.report.facts import CheckRow, LabelScores, NightFacts
    from jobs.report.nights import NightRecord
    from jobs.report.realised import Quality

PSI_TO_LOOK_AT = 0.25

# The order in which a person should hear of things: what makes scores useless comes first.
NOTHING_PUBLISHED = 100
ATTEMPT_FAILED = 95
REALISED = {"order": 90, "base rate": 85, "calibration": 80, "AUC": 75, "segment": 72, "band": 45}
NIGHTS_BEFORE = 70
WARNED = 65
DRIFT = 60
IN_QUARANTINE = 55
MADE_WITH = 50
STALE = 40
PUBLISHED_AGAIN = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer at the top of a page."""

    level: Level
    title: str
    because: tuple[Reason, ...]
    """The heaviest first."""
    unknown: tuple[str, ...] = ()
    """What is not known yet, in words."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons without their links."""
        return tuple(reason.text for reason in self.because)


def judge(facts: NightFacts) -> Verdict:
    """Return the verdict on a night."""
    if facts.published is None:
        return _not_published(facts)
    p = facts.published
    by = (
        f"{p.rows:,} scores of run {p.run_id} by {p.model_name} version {p.model_version}, "
        f"published {p.published_at:%Y-%m-%d %H:%M} UTC by {p.who} ({p.why})."
    )
    said = (Reason(text=by, weight=0, href="#publications"),)
    unknown = _unknown(facts, p)
    doubts = sorted(_doubts(facts, p), key=lambda reason: -reason.weight)
    if not doubts:
        return Verdict(
            level="good",
            title="Published",
            because=(*said, *_what_speaks_for_it(facts, p)),
            unknown=unknown,
        )
    is_only_old = all(doubt.weight == STALE for doubt in doubts)
    return Verdict(
        level="stale" if is_only_old else "look",
        title="Published; its features changed since" if is_only_old else "Published; look at this",
        because=(*doubts, *said),
        unknown=unknown,
    )


def published_checks(publication: Publication) -> int:
    """Return how many checks passed of exactly what was published; 0 where nothing says so."""
    return sum(proof["checks"] for proof in json.loads(publication.checks or "[]"))


def realised_faults(facts: NightFacts) -> dict[str, list[Fault]]:
    """Return what the labels say against the scores of a night, by label, the gravest first.

    Labels of which some come later say nothing yet: the early ones may be the unlike ones.
    """
    if not facts.labelled.is_whole:
        return {}
    return {
        label: [
            *faults(found.quality, limits(facts, label)),
            *segment_faults(found.segments),
        ]
        for label, found in facts.labelled.by_label.items()
    }


def limits(facts: NightFacts, label: str) -> Limits:
    """Return what the scores of a label are held against: the gate's limits, and learned bands."""
    gate, metrics = facts.definition.gate, facts.model.metrics if facts.model else {}
    prefix = "" if len(facts.definition.label_names) == 1 else f"{label}/"
    return replace(
        gate_limits(gate, label),
        evaluated_auc=metrics.get(f"{prefix}eval_auc", float("nan")),
        bands=learned([quality for _, quality in _labelled_nights(facts.past, label)]),
    )


def _not_published(facts: NightFacts) -> Verdict:
    reasons: list[tuple[str, str]] = []
    level: Level = "not run"
    if facts.blocking_checks:
        level = "blocked"
        reasons.append((_failed_sentence(facts, facts.blocking_checks), "#checks"))
    if _is_stopped_at_ingest(facts):
        level = "blocked"
        bad = facts.commits[QUARANTINE].rows
        text = f"Too many bad rows: {bad:,} were quarantined, and none became events."
        reasons.append((text, "#rows"))
    if facts.failure and not facts.blocking_checks:
        level = "blocked" if level == "blocked" or facts.refusal else "failed"
        reasons.append((facts.failure, "#rows"))
    elif facts.refusal:
        level = "blocked"
        reasons.append((f"The source was refused: {facts.refusal}", "#rows"))
    if not reasons:
        have = "Features are ready." if FEATURES in facts.commits else "No features are there yet."
        name = facts.definition.name
        text = f"{have} Run: nightscore run --pipeline {name} --ds {facts.ds}"
        reasons.append((text, "#rows"))
    titles: dict[Level, str] = {
        "blocked": "Blocked: nothing is published",
        "failed": "Failed: nothing is published",
        "not run": "Not published",
    }
    return Verdict(
        level=level,
        title=titles[level],
        because=tuple(Reason(text=t, weight=NOTHING_PUBLISHED, href=href) for t, href in reasons),
    )


def _doubts(facts: NightFacts, published: Publication) -> list[Reason]:
    return [
        *_later_attempts(facts),
        *_realised(facts),
        *_nights_before(facts, published),
        *_warned(facts),
        *_drift(facts),
        *_quarantined(facts),
        *_about_publication(facts, published),
    ]


def _later_attempts(facts: NightFacts) -> list[Reason]:
    if facts.failure:
        text = f"The latest attempt failed; these scores are from before it: {facts.failure}"
        return [Reason(text=text, weight=ATTEMPT_FAILED, href="#publications")]
    if facts.blocking_checks:
        failed = _failed_sentence(facts, facts.blocking_checks)
        text = f"A later attempt failed, and replaced nothing. {failed}"
        return [Reason(text=text, weight=ATTEMPT_FAILED, href="#checks")]
    if facts.refusal:
        text = (
            "The day was delivered again and refused; these scores are of what was delivered "
            f"before: {facts.refusal}"
        )
        return [Reason(text=text, weight=ATTEMPT_FAILED, href="#rows")]
    return []


def _realised(facts: NightFacts) -> list[Reason]:
    return [
        Reason(
            text=f"{_where(facts, label)}{fault.sentence}",
            weight=REALISED[fault.kind],
            href="#realised",
        )
        for label, found in realised_faults(facts).items()
        for fault in found
    ]


def _nights_before(facts: NightFacts, published: Publication) -> list[Reason]:
    """Return what the last labelled nights of the same model say of a night without labels."""
    if facts.labelled.is_whole:
        return []
    same = [night for night in facts.past if night.model_version == published.model_version]
    found = []
    for label in facts.definition.label_names:
        last = _labelled_nights(same, label)[-DAYS_BEFORE:]
        found += _of_nights_before(facts, label, last)
    return found


def _of_nights_before(
    facts: NightFacts, label: str, last: Sequence[tuple[NightRecord, Quality]]
) -> list[Reason]:
    held = limits(facts, label)
    graves = [[f for f in faults(quality, held) if f.is_grave] for _, quality in last]
    bad = [(night, grave[0]) for (night, _), grave in zip(last, graves, strict=True) if grave]
    # One bad night long ago says less than the last one, or than two of them.
    if bad and (graves[-1] or len(bad) > 1):
        night, worst = bad[-1]
        text = (
            f"{_where(facts, label)}{len(bad)} of the last {len(last)} labelled nights of this "
            f"model {'was' if len(bad) == 1 else 'were'} bad, {night.ds} the latest: "
            f"{worst.sentence}"
        )
        return [Reason(text=text, weight=NIGHTS_BEFORE, href=f"{night.ds}.html#realised")]
    several = together([quality for _, quality in last])
    if several is not None and several.excess_beyond_doubt > 0:
        text = (
            f"{_where(facts, label)}The last {several.nights} labelled nights of this model "
            f"together are worse than the base rate of each, by {several.excess:.3f} of logloss on "
            f"{several.rows:,} rows."
        )
        return [Reason(text=text, weight=NIGHTS_BEFORE, href="index.html#trend")]
    return []


def _warned(facts: NightFacts) -> list[Reason]:
    if not facts.warning_checks:
        return []
    text = f"Not stopped by, and worth a look: {_failed_sentence(facts, facts.warning_checks)}"
    return [Reason(text=text, weight=WARNED, href="#checks")]


def _drift(facts: NightFacts) -> list[Reason]:
    found = []
    for scores, drift in _drifted(facts):
        text = (
            f"{_scores_of(facts, scores, 'The scores')} lie elsewhere than in the days before: PSI "
            f"{drift[0]:.2f}; {drift[1]:.2f} is to be expected by chance."
        )
        found.append(Reason(text=text, weight=DRIFT, href="#scores"))
    return found


def _quarantined(facts: NightFacts) -> list[Reason]:
    """Return whether far more rows than usual are bad, or nearly so many that the night stops."""
    bad, rows = facts.bad_rows, facts.read_rows
    stream = facts.definition.stream
    if not bad or stream is None:
        return []
    if bad > stream.max_bad_share * rows / 2:
        text = (
            f"{bad:,} of {rows:,} rows are in quarantine, {bad / rows:.2%}; at "
            f"{stream.max_bad_share:.2%} (max_bad_share) the night stops."
        )
        return [Reason(text=text, weight=IN_QUARANTINE, href="#rows")]
    shares = [n.bad_rows / n.read_rows for n in facts.past[-4 * DAYS_BEFORE :] if n.read_rows]
    if len(shares) < DAYS_BEFORE:
        return []
    expected = 2 * median(shares) * rows
    if bad <= expected + Z * expected**0.5 + Z * Z:  # Poisson's law, and what it lacks for few
        return []
    text = (
        f"{bad:,} of {rows:,} rows are in quarantine, {bad / rows:.2%}; {median(shares):.2%} is "
        f"usual, by the {len(shares)} nights before."
    )
    return [Reason(text=text, weight=IN_QUARANTINE, href="#rows")]


def _about_publication(facts: NightFacts, published: Publication) -> list[Reason]:
    found = [
        Reason(text=f"Made with {note}", weight=MADE_WITH, href="#model")
        for note in published.notes.splitlines()
    ]
    if facts.is_stale:
        text = "The features were replaced since: running the night again would differ."
        found.append(Reason(text=text, weight=STALE, href="#model"))
    if any(p.run_id == published.run_id for p in facts.publications[:-1]):
        text = f"Run {published.run_id} was published again by {published.who} ({published.why})."
        found.append(Reason(text=text, weight=PUBLISHED_AGAIN, href="#publications"))
    return found


def _what_speaks_for_it(facts: NightFacts, published: Publication) -> list[Reason]:
    found = []
    proven = published_checks(published)
    if proven:
        text = f"All {proven} checks passed."
        found.append(Reason(text=text, weight=0, href="#checks"))
    if facts.labelled.is_whole:
        for label, one in facts.labelled.by_label.items():
            q = one.quality
            text = (
                f"{_where(facts, label)}Labels are known, and nothing in them speaks against the "
                f"scores: logloss {q.logloss:.3f} (base rate {q.base_logloss:.3f}), calibration "
                f"error {q.ece:.3f}."
            )
            found.append(Reason(text=text, weight=0, href="#realised"))
    return found


def _unknown(facts: NightFacts, published: Publication) -> tuple[str, ...]:
    found = []
    labels = facts.definition.label_names
    lacking = [name for name in labels if name not in facts.labelled.by_label]
    if lacking and len(labels) > 1:
        found.append(f"How good the scores of {', '.join(lacking)} are: no label is there yet.")
    elif lacking:
        found.append("How good these scores are: no label of this night is there yet.")
    if facts.labelled.later:
        at = facts.labelled.next_known
        when = f", the first at {at:%Y-%m-%d %H:%M} UTC" if at else ""
        found.append(f"{facts.labelled.later:,} labels of this night become known later{when}.")
    if lacking or facts.labelled.later:
        found += _unlabelled_before(facts, published)
    few = [name for name in labels if not limits(facts, name).bands]
    if few:
        nights = max(len(_labelled_nights(facts.past, name)) for name in few)
        found.append(
            f"What is usual: {nights} nights before have labels, and a band is learned from "
            f"{MIN_NIGHTS} on. Until then only the limits of the gate hold."
        )
    if not any(scores.before for scores in facts.scores):
        found.append("Whether the scores drift: there are none of days before to compare with.")
    if facts.model is None and facts.model_problem:
        found.append(f"How good the model was when it was trained: {facts.model_problem}")
    return tuple(found)


def _unlabelled_before(facts: NightFacts, published: Publication) -> list[str]:
    """Return which of the last published nights have no labels either."""
    before = sorted({p.ds for p in facts.ledger if p.ds < facts.ds})[-DAYS_BEFORE:]
    known = {night.ds for night in facts.past if night.labelled.is_whole}
    without = [day for day in before if day not in known]
    if not before:
        return ["How good this model's scores were: no night before it is published."]
    if len(without) == len(before):
        span = f"{before[0]}" if len(before) == 1 else f"{before[0]} to {before[-1]}"
        return [f"Labels of the last {len(before)} published nights ({span}) are not there."]
    if without:
        days = ", ".join(day.isoformat() for day in without)
        return [f"Of the last {len(before)} published nights these have no labels yet: {days}."]
    same = [n for n in facts.past if n.model_version == published.model_version]
    if not any(night.labelled.is_whole for night in same):
        return [f"No night of {published.model_name} version {published.model_version} has labels."]
    return []


def _labelled_nights(
    nights: Sequence[NightRecord], label: str
) -> list[tuple[NightRecord, Quality]]:
    """Return the nights whose labels are known whole, with how good their scores were."""
    return [
        (night, night.labelled.by_label[label].quality)
        for night in nights
        if night.run_id and night.labelled.is_whole and label in night.labelled.by_label
    ]


def _drifted(facts: NightFacts) -> list[tuple[LabelScores, tuple[float, float]]]:
    """Return the scores that lie elsewhere than before, with their drift."""
    each = [(found, found.drift) for found in facts.scores]
    return [(found, d) for found, d in each if d is not None and d[0] > PSI_TO_LOOK_AT + d[1]]


def _scores_of(facts: NightFacts, found: LabelScores, scores: str) -> str:
    """Return what to call the scores of a label: of a single one everybody knows which."""
    return scores if len(facts.scores) == 1 else f"{scores} of {found.label}"


def _where(facts: NightFacts, label: str) -> str:
    """Return how a sentence about a label begins; of a single one everybody knows which."""
    return "" if len(facts.definition.label_names) == 1 else f"Label {label}: "


def _failed_sentence(facts: NightFacts, failed: Sequence[CheckRow]) -> str:
    listed = "; ".join(
        f"{c.check} of {c.stage}: {c.observed or 'failed'}, expected {c.expected}"
        for c in failed[:3]
    )
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    return f"{len(failed)} of {len(facts.checks)} checks failed: {listed}{more}."


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
