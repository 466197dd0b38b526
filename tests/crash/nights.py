"""The toy pipeline at work in a process of its own, to be killed: `nights.py HOME [night]`."""

from __future__ import annotations

import sys

from feature_store.home import Home
from jobs.backfill.backfill import Backfill, Options
from jobs.backfill.plan import PlanRequest, make_plan
from jobs.context import Context
from jobs.machine.spark import spark_session
from jobs.night.night import NightRequest, run_night
from jobs.registry import model_registry
from tests.toy import clicky_definition, toy_days


def main() -> None:
    """Backfill eight days, two by two, telling each as it ends; or run one night."""
    home = Home.of(sys.argv[1])
    with spark_session("nightscore crash test", is_quick=True) as spark:
        context = Context.open(clicky_definition(), home, spark)
        champion = model_registry.champion(home, "toy")
        if sys.argv[2:] == ["night"]:
            night = NightRequest(ds=toy_days(8)[6], model=champion, who="crash")
            print("ready", flush=True)
            sys.stdin.readline()
            print(run_night(context, night, lambda *_: None).run_id, flush=True)
            return
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
