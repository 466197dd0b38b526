"""What the commands have in common: who asks, for which pipeline and day, and a Spark session."""

from __future__ import annotations

import getpass
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date
from typing import TYPE_CHECKING

from feature_store import definitions
from feature_store.errors import WriteConflict, WriteFailed
from feature_store.home import Home
from jobs.cli.pulse import pulse
from jobs.config import check_day, parse_ds
from jobs.night.runs import Kind, Run, recorded
from jobs.night.size import has_large_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition
    from jobs.cli.progress import Progress
    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef

log = logging.getLogger(__name__)


def who() -> str:
    """Return who is asking: NIGHTSCORE_USER, else the user of this machine."""
    named = os.environ.get("NIGHTSCORE_USER")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid-{os.getuid()}"


def pipeline_day(pipeline: str, ds: str) -> tuple[Definition, date]:
    """Return the definition and the day that were asked for.

    Raises:
        UsageError: there is no such pipeline, or the day is malformed or not one of its days.
    """
    definition = definitions.load(pipeline)
    return definition, check_day(definition, parse_ds(ds))


def training_range(
    definition: Definition, first: str, last: str, eval_to: str
) -> tuple[date, date, date]:
    """Return the first and last training day, and the last evaluation day, that were asked for.

    Raises:
        UsageError: one is malformed or not one of the pipeline's days.
    """
    asked = (("--from", first), ("--to", last), ("--eval-to", eval_to))
    start, end, until = (check_day(definition, parse_ds(ds, name), name) for name, ds in asked)
    return start, end, until


def find_model(pipeline: str, model: str, progress: Progress) -> ModelRef:
    """Return the model that was asked for: an alias, or a version number.

    Raises:
        NoChampion: it is the champion, and there is none.
    """
    from jobs.registry import model_registry

    with progress.step("find model"):
        return model_registry.get(Home.from_env(), pipeline, model)


def recorded_run(
    definition: Definition, kind: Kind, days: Sequence[date], why: str = ""
) -> AbstractContextManager[Run]:
    """Return the record of a run, kept when the block ends."""
    return recorded(Home.from_env(), definition.name, kind, days, who=who(), why=why)


@contextmanager
def open_context(
    definition: Definition,
    progress: Progress,
    what: str,
    *,
    is_quick: bool = False,
    is_lazy: bool = False,
) -> Iterator[Context]:
    """Yield the pipeline in a Spark application of its own, stopped afterwards.

    Args:
        definition: the pipeline.
        progress: told when Spark has started.
        what: what the application is for, for its name.
        is_quick: whether it looks at a day or two, and should start as fast as it can, unless the
            pipeline's days are large.
        is_lazy: whether it changes nothing, and Spark starts only if something asks for it.
    """
    from jobs.context import Context

    home = Home.from_env()
    if not is_lazy:
        home.require_writable()  # a night that cannot be kept is not begun
    with ExitStack() as stack:

        def start() -> SparkSession:
            with progress.step("start spark"):
                from jobs.machine.spark import spark_session

                session = spark_session(
                    f"nightscore {what} {definition.name}",
                    is_quick=is_quick and not has_large_days(context),
                )
                spark = stack.enter_context(session)
                _interrupt_plainly()
            stack.enter_context(pulse(spark, progress))
            return spark

        context = Context.opened_later(definition, home, start)
        session = context.warehouse.session
        if not is_lazy:
            session.start()
        try:
            yield context
            if not is_lazy:
                _save_lineage(context)
        except KeyboardInterrupt:
            if session.is_started:
                # Tasks that lose their session log pages.
                session.start().sparkContext.setLogLevel("OFF")
            raise


def _save_lineage(context: Context) -> None:
    """Write the lineage down; what was asked for is done by now, and does not fail of it."""
    try:
        context.warehouse.save_lineage()
    except (WriteConflict, WriteFailed) as error:
        log.warning("%s. The costs of this run are lost; no data is", error)


def _interrupt_plainly() -> None:
    """Let ctrl-C raise KeyboardInterrupt at once.

    PySpark's own handler first asks the JVM to cancel, over the connection that the interrupted
    call is using: that ends in an error of py4j. Stopping the session cancels as well.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
