"""A backfill of the toy pipeline in a process of its own, to be killed: `nights.py HOME`."""

from __future__ import annotations

import sys

from feature_store.home import Home
from jobs import model_registry
from jobs.backfill import Backfill, Options
from jobs.context import Context
from jobs.plan import PlanRequest, make_plan
from jobs.spark import spark_session
from tests.toy import clicky_definition, toy_days


def main() -> None:
    """Backfill eight days, two by two, telling each day as it ends."""
    home = Home.of(sys.argv[1])
    with spark_session("nightscore crash test") as spark:
        context = Context.open(clicky_definition(), home, spark, "1")
        champion = model_registry.champion(home, "toy")
        request = PlanRequest(days=tuple(toy_days(8)), model=champion, who="crash", why="test")
        plan = make_plan(context, request)
        print("plan", len(plan.to_do), flush=True)
        Backfill(
            context,
            plan,
            Options(chunk_days=2),
            lambda outcome, *_: print(outcome.ds, outcome.outcome, flush=True),
            lambda _: None,
        ).run()


if __name__ == "__main__":
    main()
