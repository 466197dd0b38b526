"""What a night's report is made of, read from the tables; the page itself computes nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from feature_store.errors import NightscoreError
from feature_store.events.quarantine import SUPERSEDED
from feature_store.quality.drift import merged, psi, psi_by_chance
from feature_store.schema import (
    DS,
    EVENTS,
    FEATURES,
    QUALITY,
    QUARANTINE,
    RUN_ID,
    SCORES,
    TILES,
    beside,
)
from feature_store.tables.content import digest_of
from feature_store.tables.inputs import Inputs
from feature_store.tables.warehouse import runs_predicate
from jobs.night.ledger import current, history
from jobs.night.refused import refusals
from jobs.report.labelled import measured
from jobs.report.nights import Labelled, load
from models.errors import ModelError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition
    from feature_store.tables.commits import DayCommit
    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.registry.model_registry import ModelRef
    from jobs.report.nights import NightRecord

log = logging.getLogger(__name__)

DAYS_BEFORE = 7
FINE_BINS = 200
BINS = 20
ODDS_BINS = 128
"""Parts of the log-odds from -16 to 16, a quarter each: .001 and .002 are as far apart as .4 and
.57, so that a pipeline of rare events drifts as visibly as one of coin flips."""
_ODDS_END, _ODDS_WIDTH = 16.0, 0.25
_LEAST = 1.2e-7
"""Log-odds of -15.9: what lies below is counted there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRow:
    """One recorded result of a check."""

    stage: str
    run_id: str
    check: str
    column: str
    passed: bool
    observed: str
    expected: str
    bad_rows: int
    rows: int
    severity: str = "block"
    """Of results that were recorded before checks could warn: they all stopped the night."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayScores:
    """The scores of one run of one day, as a histogram over 0..1."""

    ds: date
    run_id: str
    mean: float
    counts: tuple[int, ...]
    """Rows in each of FINE_BINS equal parts."""
    odds: tuple[int, ...]
    """Rows in each of ODDS_BINS parts of the log-odds."""

    @property
    def rows(self) -> int:
        """How many scores there are."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return about the score that `share` of the rows lie below, to half a fine bin."""
        below, wanted = 0, share * self.rows
        for place, count in enumerate(self.counts):
            below += count
            if below >= wanted:
                return (place + 0.5) / FINE_BINS
        return 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelScores:
    """The scores of one label: of the day, and of those before it."""

    label: str
    day: DayScores | None
    before: Sequence[DayScores]
    """Up to seven published days before, oldest first."""

    @property
    def drift(self) -> tuple[float, float] | None:
        """PSI of the scores against the days before, and what it would be by chance."""
        if self.day is None or not self.before:
            return None
        fine = [sum(column) for column in zip(*(d.odds for d in self.before), strict=True)]
        reference, day = merged(fine, self.day.odds, BINS)
        chance = psi_by_chance(sum(fine), self.day.rows, len(reference))
        return psi(reference, day), chance


@dataclass(frozen=True, kw_only=True, slots=True)
class NightFacts:
    """Everything that a page says."""

    definition: Definition
    ds: date
    failure: str
    """What the latest attempt ended with, where it failed and is known; else empty."""
    ledger: Sequence[Publication]
    """Every publication of the pipeline, oldest first per day, from one look."""
    publications: Sequence[Publication]
    """Of the day, oldest first."""
    commits: Mapping[str, DayCommit]
    """By table; scores are those of `run_id`."""
    run_id: str
    """The run that the page is about: the published one, else the one that was staged last."""
    reasons: Mapping[str, int]
    """Quarantined rows by reason."""
    checks: Sequence[CheckRow]
    scores: Sequence[LabelScores]
    """Of each label, in the definition's order."""
    labelled: Labelled
    """How good the published scores were, of the labels that are known."""
    model: ModelRef | None
    model_problem: str
    refusal: str = ""
    """Why the newest delivery of the day's source was not used, where that is so."""
    past: Sequence[NightRecord] = ()
    """What is kept of the nights before, oldest first."""

    @property
    def published(self) -> Publication | None:
        """What is published of the day now."""
        return self.publications[-1] if self.publications else None

    @property
    def failed_checks(self) -> list[CheckRow]:
        """The checks that failed when they last ran."""
        return [check for check in self.checks if not check.passed]

    @property
    def blocking_checks(self) -> list[CheckRow]:
        """Those of them that stop a night."""
        return [check for check in self.failed_checks if check.severity == "block"]

    @property
    def warning_checks(self) -> list[CheckRow]:
        """Those of them that a night goes on after."""
        return [check for check in self.failed_checks if check.severity == "warn"]

    @property
    def bad_rows(self) -> int:
        """Rows in quarantine that count as bad: a source that corrects itself does no wrong."""
        return sum(count for reason, count in self.reasons.items() if reason != SUPERSEDED)

    @property
    def read_rows(self) -> int:
        """Rows of the source, the bad ones included."""
        return sum(self.commits[t].rows for t in (EVENTS, QUARANTINE) if t in self.commits)

    @property
    def is_stale(self) -> bool:
        """Whether the features were replaced since the published scores were made of them."""
        features = self.commits.get(FEATURES)
        if self.published is None or features is None:
            return False
        pins = Inputs.from_json(self.published.inputs).pins.get(FEATURES, ())
        made_of = next((pin for pin in pins if pin.ds == self.ds), None)
        if made_of is None or features.foreign:
            return True
        if not features.content:  # nobody looked at the rows of that version yet
            return made_of.version != features.version
        return made_of.digest != digest_of(features.content)


def read_facts(
    context: Context,
    ds: date,
    failure: str = "",
    *,
    ledger: Sequence[Publication] | None = None,
    kept: Mapping[date, NightRecord] | None = None,
    labelled: Labelled | None = None,
) -> NightFacts:
    """Return what is known of a night, published or not, from one look at each table.

    Args:
        context: the pipeline.
        ds: the night.
        failure: what its latest attempt ended with, where it just failed.
        ledger: every publication, for whoever looked already.
        kept: the records of nights, likewise.
        labelled: what is known of its labels, likewise.
    """
    with context.warehouse.held():
        looked = history(context) if ledger is None else ledger
        records = load(context) if kept is None else kept
        return _read_facts(context, ds, failure, looked, records, labelled)


def _read_facts(
    context: Context,
    ds: date,
    failure: str,
    ledger: Sequence[Publication],
    kept: Mapping[date, NightRecord],
    labelled: Labelled | None,
) -> NightFacts:
    publications = [p for p in ledger if p.ds == ds]
    checks = _checks(context, ds)
    run_id = publications[-1].run_id if publications else _staged_run(checks)
    commits = _commits(context, ds, run_id)
    runs = {p.ds: p.run_id for p in ledger if p.ds < ds}
    runs = dict(sorted(runs.items())[-DAYS_BEFORE:])
    if SCORES in commits:
        runs[ds] = run_id
    model, problem = _model(context, publications[-1] if publications else None)
    return NightFacts(
        definition=context.definition,
        ds=ds,
        failure=failure,
        ledger=ledger,
        publications=publications,
        commits=commits,
        run_id=run_id,
        reasons=_reasons(context, ds, commits),
        checks=checks,
        scores=_scores(context, ds, runs),
        labelled=labelled or _labelled(context, ds, publications),
        past=[kept[day] for day in sorted(kept) if day < ds],
        model=model,
        model_problem=problem,
        refusal="; ".join(refusal.why for refusal in refusals(context, [(context.events, ds)])),
    )


def ledger_facts(
    context: Context,
    ds: date,
    ledger: Sequence[Publication],
    kept: Mapping[date, NightRecord],
    labelled: Labelled,
) -> NightFacts:
    """Return what the ledger and the labels say of a published night: no other table is read."""
    publications = [p for p in ledger if p.ds == ds]
    model, problem = _model(context, publications[-1] if publications else None)
    return NightFacts(
        definition=context.definition,
        ds=ds,
        failure="",
        ledger=ledger,
        publications=publications,
        commits={},
        run_id=publications[-1].run_id if publications else "",
        reasons={},
        checks=(),
        scores=(),
        labelled=labelled,
        model=model,
        model_problem=problem,
        past=[kept[day] for day in sorted(kept) if day < ds],
    )


def labelled_metrics(context: Context, ds: date) -> dict[str, dict[str, Any]]:
    """Return how good the published scores of a day were, by label, of labels that are known.

    Keys of each: rows, base_rate, auc, auc_low, auc_high, logloss, ece, sampled (whether of a
    sample). AUC is NaN where all labels are the same.
    """
    published = current(context, [ds]).get(ds)
    if published is None:
        return {}
    told = ("rows", "base_rate", "auc", "auc_low", "auc_high", "logloss", "ece")
    found = measured(context, {ds: published.run_id})[ds].by_label
    return {
        name: {**{key: getattr(one.quality, key) for key in told}, "sampled": one.sampled}
        for name, one in found.items()
    }


def _labelled(context: Context, ds: date, publications: Sequence[Publication]) -> Labelled:
    if not publications:
        return Labelled()
    columns = context.definition.gate.segments
    return measured(context, {ds: publications[-1].run_id}, columns)[ds]


def _staged_run(checks: Sequence[CheckRow]) -> str:
    return next((check.run_id for check in checks if check.stage == SCORES), "")


def _commits(context: Context, ds: date, run_id: str) -> dict[str, DayCommit]:
    found: dict[str, DayCommit | None] = {}
    if context.definition.stream is not None:  # else the days before tell what is scored
        for table in (EVENTS, QUARANTINE, TILES):
            found[table] = context.warehouse.commit(beside(context.events, table), ds)
    found[FEATURES] = context.warehouse.commit(FEATURES, ds)
    if run_id:
        found[SCORES] = context.warehouse.commit(SCORES, ds, run_id)
    return {table: commit for table, commit in found.items() if commit is not None}


def _checks(context: Context, ds: date) -> list[CheckRow]:
    if context.warehouse.version(QUALITY) is None:
        return []
    recorded = context.warehouse.read(QUALITY, [ds])
    names = [name for name in CheckRow.__dataclass_fields__ if name in recorded.columns]
    rows = [row.asDict() for row in recorded.select(*names).collect()]
    told = [CheckRow(**row | {"severity": row.get("severity") or "block"}) for row in rows]
    return sorted(told, key=lambda c: (c.passed, c.severity, c.stage, c.check))


def _reasons(context: Context, ds: date, commits: Mapping[str, DayCommit]) -> dict[str, int]:
    if QUARANTINE not in commits or not commits[QUARANTINE].rows:
        return {}
    quarantine = beside(context.events, QUARANTINE)
    counted = context.warehouse.read(quarantine, [ds]).groupBy("reason").count().collect()
    return dict(sorted(((r, n) for r, n in counted), key=lambda item: (-item[1], item[0])))


def _scores(context: Context, ds: date, runs: Mapping[date, str]) -> list[LabelScores]:
    """Return the histograms of several days' runs, label by label."""
    columns = zip(context.definition.label_names, context.definition.score_columns, strict=True)
    found = []
    for label, column in columns:
        days = {day.ds: day for day in _day_scores(context, runs, column)}
        own = days.pop(ds, None)
        # Days that were scored before the pipeline had the label have no score of it.
        before = [days[day] for day in sorted(days) if days[day].rows]
        found.append(LabelScores(label=label, day=own, before=before))
    return found


def _day_scores(context: Context, runs: Mapping[date, str], column: str) -> list[DayScores]:
    """Return the histograms of several days' runs with a column of scores, in one Spark job."""
    if not runs or context.warehouse.version(SCORES) is None:
        return []
    scores: DataFrame = context.warehouse.read(SCORES, list(runs))
    if column not in scores.columns:
        return []
    score = F.col(column).cast("double")
    place = F.least(F.floor(score * FINE_BINS), F.lit(FINE_BINS - 1)).cast("int")
    within = F.least(F.greatest(score, F.lit(_LEAST)), F.lit(1 - _LEAST))
    odds = F.floor((F.ln(within / (1 - within)) + _ODDS_END) / _ODDS_WIDTH).cast("int")
    rows = (
        scores.where(runs_predicate(runs.items(), RUN_ID))
        .where(F.col(column).isNotNull())
        .groupBy(DS, place.alias("place"), odds.alias("odds"))
        .agg(F.count(F.lit(1)).alias("n"), F.sum(column).alias("total"))
        .collect()
    )
    return [_histogram(day, run, [r for r in rows if r[DS] == day]) for day, run in runs.items()]


def _histogram(day: date, run_id: str, rows: Sequence[Any]) -> DayScores:
    total, n = sum(row["total"] for row in rows), sum(row["n"] for row in rows)
    counts, odds = [0] * FINE_BINS, [0] * ODDS_BINS
    for row in rows:
        counts[row["place"]] += int(row["n"])
        odds[row["odds"]] += int(row["n"])
    return DayScores(
        ds=day,
        run_id=run_id,
        mean=total / n if n else float("nan"),
        counts=tuple(counts),
        odds=tuple(odds),
    )


def _model(context: Context, published: Publication | None) -> tuple[ModelRef | None, str]:
    """Return the published model as the registry knows it, or why it does not."""
    from jobs.registry import model_registry

    if published is None:
        return None, ""
    try:
        name = context.definition.name
        ref = model_registry.get(context.home, name, published.model_version)
    except (NightscoreError, ModelError) as error:
        return None, str(error)
    if ref.digest != published.model_digest:
        return None, f"version {ref.version} now has another digest, {ref.digest[:12]}"
    return ref, ""
