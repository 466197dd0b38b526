"""Packaging. The exact versions that are tested together are in infra/locks."""

from setuptools import find_packages, setup

setup(
    name="nightscore",
    version="0.1.0",
    description="Nightly batch scoring with a Delta feature store, PyTorch models and backfills",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["feature_store*", "jobs*", "models*"]),
    package_data={
        "feature_store": ["py.typed"],
        "jobs": ["py.typed", "machine/*.properties", "report/templates/*"],
        "models": ["py.typed"],
    },
    install_requires=[
        "jinja2>=3.1",
        "numpy>=1.26,<2",
        "pydantic>=2.10",
        "rich>=13",
        "typer>=0.15",
    ],
    extras_require={
        "jobs": [
            "delta-spark==4.4.0",
            "deltalake>=1.6,<2",
            "great-expectations>=1.24,<2",
            "mlflow>=3.17,<4",
            "pandas>=2.2,<3",
            "petastorm>=0.13.1,<0.14",
            "pyarrow>=14,<15",
            "pyspark>=4.0.5,<4.1",
        ],
        # Enough to load a bundle and score with it: no Spark, no Delta, no Petastorm.
        "models": ["safetensors>=0.4", "torch>=2.11,<2.16"],
        # With these also enough to fit from the files of a frozen set, say on a GPU node. Petastorm
        # asks for Spark and never imports it here: infra/locks/fit.lock leaves it out.
        "training": [
            "fsspec",
            "petastorm>=0.13.1,<0.14",
            "pyarrow>=14,<15",
            "safetensors>=0.4",
            "torch>=2.11,<2.16",
        ],
        # What the benchmarks `features` and `training` compare with; nothing else imports it.
        "bench": ["duckdb==2.0.1", "fuxictr==2.3.9"],
    },
    entry_points={
        "console_scripts": [
            "nightscore = jobs.cli.app:main",
            "nightscore-fit = jobs.training.fit:main",
        ]
    },
)
