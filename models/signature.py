"""Which columns a model takes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from models.errors import ConfigInvalid


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Which columns a model takes, in order: `keys (B, K)`, `values (B, N)`; it gives `(B, T)`.

    Legend: K categorical fields, N numeric features (may be 0), T labels.
    """

    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        for group in ("categorical", "numeric", "labels"):
            names = getattr(self, group)
            if not isinstance(names, tuple) or not all(isinstance(n, str) and n for n in names):
                raise ConfigInvalid("signature", group, names, "must be a tuple of non-empty names")
            if len(set(names)) != len(names):
                raise ConfigInvalid("signature", group, names, "a name may stand only once")
        if not self.categorical:
            raise ConfigInvalid("signature", "categorical", (), "needs at least one field")
        if not self.labels:
            raise ConfigInvalid("signature", "labels", (), "needs at least one label")

    @property
    def fields(self) -> tuple[str, ...]:
        """What has a vector, in the order of a head's input: categories, then numbers."""
        return self.categorical + self.numeric

    def to_json(self) -> str:
        """Return the signature as JSON text, the same for equal signatures."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Return the signature that `to_json` wrote.

        Raises:
            ConfigInvalid: the text is not such a signature.
        """
        try:
            raw = json.loads(text)
            groups = {name: tuple(raw.pop(name)) for name in ("categorical", "numeric", "labels")}
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ConfigInvalid(
                "signature", "json", text[:80], f"cannot be read: {error}"
            ) from error
        if raw:
            raise ConfigInvalid("signature", "json", sorted(raw), "has unknown entries")
        return cls(**groups)
