"""A guess as two Python modules."""

from __future__ import annotations

from jobs.init.definition_code import definition_module
from jobs.init.names import require_pipeline_name
from jobs.init.parts import Guess
from jobs.init.stream_code import stream_module


def render(guess: Guess, name: str) -> dict[str, str]:
    """Return the text of each module by its path below the folder that holds the code.

    Args:
        guess: what was guessed.
        name: what the pipeline, its stream and both files are called.

    Raises:
        UsageError: nothing may be called so.
    """
    require_pipeline_name(name)
    stream, definition = module_paths(name)
    return {stream: stream_module(guess, name), definition: definition_module(guess, name)}


def module_paths(name: str) -> tuple[str, str]:
    """Return where a pipeline's stream and definition lie, below the folder that holds the code."""
    return f"feature_store/streams/{name}.py", f"feature_store/definitions/{name}.py"
