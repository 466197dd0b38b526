"""What became of a model, for people and for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobs.cli.output import print_line

if TYPE_CHECKING:
    from jobs.training.evaluate import Evaluation, Evaluations
    from jobs.training.gate import GateDecision
    from jobs.training.judge import Verdict
    from jobs.training.train import TrainResult
    from models.ranking import Ranking


def as_dict(pipeline: str, result: Verdict | TrainResult) -> dict[str, Any]:
    """Return what became of a model, JSON-ready."""
    return {
        "pipeline": pipeline,
        "model": result.model.model,
        "version": result.model.version,
        "digest": result.model.digest,
        "promoted": result.promoted,
        "reused": result.is_reused,
        "passed": result.decision.passed,
        "reasons": list(result.decision.reasons),
        "notes": list(result.decision.notes),
        **evaluated(result.evaluations, result.champion),
    }


def evaluated(evaluations: Evaluations, champion: Evaluations | None = None) -> dict[str, Any]:
    """Return what was measured; of several labels, of each by its name."""
    champion = champion or {}
    each = {
        name: {
            "metrics": _metrics(found),
            "segments": [asdict(s) for s in found.segments if not math.isnan(s.auc)],
            "champion_metrics": _metrics(champion[name]) if name in champion else None,
        }
        for name, found in evaluations.items()
    }
    return {"labels": each} if len(each) > 1 else next(iter(each.values()))


def _metrics(evaluation: Evaluation) -> dict[str, float | None]:
    found = evaluation.metrics()
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def print_text(pipeline: str, result: Verdict | TrainResult, entity: str = "") -> None:
    """Print what became of a model, and what it was judged by."""
    print_line(f"{pipeline}: {result.model.title}: {_fate(result)}")
    print_found(result.evaluations, result.decision, entity)


def print_found(evaluations: Evaluations, decision: GateDecision, entity: str = "") -> None:
    """Print how good scores are, by label, and what the gate says of it.

    Args:
        evaluations: by label.
        decision: the gate's.
        entity: the key within which the order of rows is measured, where there is one.
    """
    for name, found in evaluations.items():
        label = "" if len(evaluations) == 1 else f"{name}: "
        print_line(
            f"{label}AUC {found.auc}, logloss {found.logloss:.4f} (base rate alone "
            f"{found.baseline_logloss:.4f}), ECE {found.ece:.4f} on {found.rows:,} later rows"
        )
        if found.ranking is not None:
            print_line(f"{label}{_ranking_text(entity, found.ranking)}")
    for sentence in (*decision.reasons, *decision.notes):
        print_line(f"- {sentence}")


def _ranking_text(entity: str, found: Ranking) -> str:
    return (
        f"Within {entity}: AUC {found.auc:.4f}, NDCG@{found.k} {found.ndcg:.4f}, recall@{found.k} "
        f"{found.recall:.4f}, of {found.entities:,} with a positive row"
    )


def _fate(result: Verdict | TrainResult) -> str:
    aliases = " and ".join(result.model.aliases) or "a version"
    verdict = "passed the gate" if result.decision.passed else "did not pass the gate"
    if result.is_reused:
        return f"{verdict}; made before, and now {aliases}"
    return "promoted to champion" if result.promoted else f"{verdict}; registered as {aliases}"
