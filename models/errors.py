"""What can go wrong with a model; messages name the thing, the value, the rule, the next step."""

from __future__ import annotations

from collections.abc import Iterable


class ModelError(Exception):
    """A model cannot be built, trained, saved, loaded or scored; the message is for a person."""

    exit_code = 1


class ConfigInvalid(ModelError):
    """A setting of a model or of a training run breaks its rule; nothing was started."""

    exit_code = 2

    def __init__(self, where: str, field: str, value: object, rule: str) -> None:
        super().__init__(f"{where}: {field}={value!r}: {rule}. Change {field} and run again")
        self.field = field


class UnknownModel(ModelError):
    """A model was asked for by a name that the registry does not hold."""

    exit_code = 2

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"model {name!r} does not exist. Choose one of: {', '.join(sorted(known))}; or name "
            "one of your own as path.py:NAME"
        )


class ModelInvalid(ModelError):
    """A model from outside the package cannot be used; nothing was started."""

    exit_code = 2

    def __init__(self, reference: str, why: str) -> None:
        super().__init__(f"model {reference}: {why}. Mend it and run again")


class InputInvalid(ModelError):
    """Arrays to score or to train on have the wrong shape, dtype or content."""


class RowCountMismatch(ModelError):
    """The reader delivered another number of rows than the Parquet footers promise."""

    def __init__(self, what: str, delivered: int, promised: int) -> None:
        super().__init__(
            f"{what}: {delivered} rows delivered, the Parquet footers promise {promised}; "
            "every row must be read exactly once. Check that no file was changed during the read, "
            "then run the training again"
        )


class RecipeInvalid(ModelError):
    """The recipe of a fit cannot be used; nothing was started."""

    exit_code = 2

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"recipe {path}: {why}")


class FrozenSetChanged(ModelError):
    """A file of a frozen set is missing, or is not the one that was frozen; nothing was fitted."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"frozen file {path}: {why}; a set is never changed, and nothing was fitted. Restore "
            "the file, or freeze the set again"
        )


class CheckpointInvalid(ModelError):
    """A checkpoint is damaged, or of another training; nothing was trained."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"checkpoint {path}: {why}. To begin anew, remove it or give --force")


class Stopped(ModelError):
    """A training was asked to stop (SIGTERM), and did."""

    exit_code = 143

    def __init__(self, where: str) -> None:
        super().__init__(f"stopped by SIGTERM{where}. Run the same command again to go on")


class AlreadyFitting(ModelError):
    """Another process fits in the same folder."""

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"{folder}: another process is fitting here. Wait until it ends, or send it SIGTERM: "
            "it leaves a checkpoint, from which the same command goes on"
        )


class OutOfMemory(ModelError):
    """A training needs more memory than there is; no model was produced."""

    def __init__(self, device: str, batch_size: int, tables: str, why: str) -> None:
        super().__init__(
            f"out of memory on {device}, with batch_size={batch_size} and {tables}: {why}. Lower "
            "batch_size (the activations), embedding_dim or, by a higher min_count, the rows "
            "(the tables), memory_bytes (the rows kept), or take a larger machine"
        )


class ProcessLost(ModelError):
    """Another process of the same training ended; this one ends with it."""

    def __init__(self, rank: int, why: str) -> None:
        super().__init__(
            f"process {rank} of the training lost another one, and ended: {why}. What that one "
            "said is the reason; run the same command again to go on from the last checkpoint"
        )


class LeaderFailed(ModelError):
    """Another process of the same training stopped it; the message is that one's."""


class VocabularyError(ModelError):
    """A vocabulary cannot be built or used."""


class NonFiniteLoss(ModelError):
    """The training loss became NaN or infinite; no model was produced."""

    def __init__(self, model: str, epoch: int, step: int, loss: float) -> None:
        super().__init__(
            f"{model}: loss={loss} at epoch {epoch} step {step}; it must be finite. "
            "Lower learning_rate, and look for labels or numeric features of absurd size"
        )


class BundleInvalid(ModelError):
    """A bundle is incomplete, has strange files, or does not score as it did when it was saved."""


class BundleTampered(BundleInvalid):
    """A file of a bundle is not the one its manifest names; nothing of the bundle was loaded."""

    def __init__(self, path: object, found: str, expected: str) -> None:
        super().__init__(
            f"bundle file {path}: sha256 {found[:12]}… is not the expected {expected[:12]}…; "
            "nothing was loaded. Restore the bundle from where it was trained, or train again"
        )


class PrecisionRefused(ModelError):
    """A lower precision changes the scores by more than its bound."""


class CompilerMissing(UserWarning):
    """No C++ compiler: the portable export is saved and scored, more slowly than a compiled one."""

    def __init__(self, why: str, remedy: str, cost: str) -> None:
        super().__init__(
            f"no C++ compiler ({why}): the model is saved without compiled code and scored from "
            f"its portable export, {cost}. Where models are trained: {remedy}. None is needed "
            "where they are scored"
        )
