"""Airflow's DAGs: schedule, tasks and arrows; the work is in `jobs`. A file in `_` makes no DAG."""
