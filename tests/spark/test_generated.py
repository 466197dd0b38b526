"""Whatever a pipeline is made of: nothing known too late, each day by itself, each by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.generated import Told, definitions, features, told

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

PAST = (3, 5)


def hold(spark: SparkSession, definition: Definition, every: Told, data: st.DataObject) -> None:
    """Assert what is true of each pipeline."""
    found = features(spark, definition, every, PAST)
    day = data.draw(st.sampled_from(PAST), label="day")

    # One day by itself, of what was known before its cut-off and anything else after it.
    hours = 24 * day + definition.cutoff_hours
    otherwise = every.changed_from(hours, data)
    assert otherwise != every
    assert features(spark, definition, otherwise, [day]) == {day: found[day]}

    # Beside another pipeline that shares its streams.
    other = data.draw(definitions(), label="other")
    alike = replace(other, cutoff_hours=definition.cutoff_hours)
    beside = features(spark, definition, every, [day], [alike])
    assert beside == {day: found[day]}


@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(definition=definitions(), every=told(), data=st.data())
def test_a_pipeline_knows_nothing_too_late_and_is_alone(
    spark: SparkSession, definition: Definition, every: Told, data: st.DataObject
) -> None:
    hold(spark, definition, every, data)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(definition=definitions(), every=told(), data=st.data())
def test_many_pipelines_know_nothing_too_late_and_are_alone(
    spark: SparkSession, definition: Definition, every: Told, data: st.DataObject
) -> None:
    hold(spark, definition, every, data)


@pytest.mark.slow
@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(definition=definitions(), every=told(), data=st.data())
def test_what_is_changed_is_seen_by_the_days_after(
    spark: SparkSession, definition: Definition, every: Told, data: st.DataObject
) -> None:
    """Else nothing would be said by what does not change."""
    otherwise = every.changed_from(24 * 3 + definition.cutoff_hours, data)
    assert features(spark, definition, otherwise, [5]) != features(spark, definition, every, [5])
