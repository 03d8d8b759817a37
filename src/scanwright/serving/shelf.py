"""The models that are served."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from scanwright.core import Plan, Prediction, ScanwrightError, Volume
from scanwright.core.errors import InputError
from scanwright.serving.refusal import Refusal, note_fault


@runtime_checkable
class Model(Protocol):
    """What the service needs of a model. ``trust`` may stand beside these: its operating points."""

    @property
    def name(self) -> str:
        """Name that it was packed under."""
        ...

    @property
    def version(self) -> str:
        """Version."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the model file."""
        ...

    @property
    def plan(self) -> Plan:
        """How it was made."""
        ...

    @property
    def card(self) -> str:
        """Model card, Markdown."""
        ...

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """Figures by part, as in ``metrics.json``."""
        ...

    def predict(self, volume: Volume, *, case: str, heatmap: bool = True) -> Prediction:
        """Answer one case."""
        ...


Loader = Callable[[], Model]


class Slot:
    """One model: loaded once, used by one request at a time.

    Args:
        name: Name that it is served under.
        source: The model, or what loads it.
    """

    def __init__(self, name: str, source: Model | Loader) -> None:
        self.name = name
        self._loader: Loader | None = None if hasattr(source, "predict") else source  # type: ignore[assignment]
        self._model: Model | None = source if self._loader is None else None  # type: ignore[assignment]
        self.fault: Refusal | None = None
        self._loading, self._using = threading.Lock(), threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether it is loaded."""
        return self._model is not None

    def get(self) -> Model:
        """The model, loaded if need be.

        Returns:
            The model.

        Raises:
            Refusal: 503 if it cannot be loaded.
        """
        with self._loading:
            if self._model is None and self._loader is not None:
                try:
                    self._model, self.fault = self._loader(), None
                except Exception as error:  # noqa: BLE001 - the service goes on with its other models
                    self.fault = self._unusable(error)
                    raise self.fault from None
            if self._model is None:
                raise Refusal(503, f"The model {self.name} is not loaded.", "", "", retry_s=5, code="model")
            return self._model

    def _unusable(self, error: Exception) -> Refusal:
        if isinstance(error, ScanwrightError):
            return Refusal(503, error.fact, error.rule, error.fix, retry_s=60, code="model")
        number = note_fault(error)
        return Refusal(
            503,
            f"The model {self.name} cannot be loaded.",
            f"The log has it under {number}.",
            "Pack it again.",
            retry_s=60,
            code="model",
        )

    def predict(
        self, volume: Volume, *, case: str, heatmap: bool, columns: Mapping[str, str | float | None] | None = None
    ) -> Prediction:
        """Answer one case, after those that came before; columns go to models that learnt them alone."""
        model = self.get()
        with self._using:
            if columns is None:
                return model.predict(volume, case=case, heatmap=heatmap)
            return model.predict(volume, case=case, heatmap=heatmap, columns=columns)  # type: ignore[call-arg]

    def identity(self) -> dict[str, str]:
        """Name, version and hash."""
        model = self.get()
        return {"name": self.name, "version": str(model.version), "sha256": str(model.sha256)}


class Shelf:
    """All models, by name.

    Args:
        models: Name to model, or to what loads it. The first is the default.

    Raises:
        InputError: There is none.
    """

    def __init__(self, models: Mapping[str, Model | Loader]) -> None:
        if not models:
            raise InputError("No model was given.", "A service needs at least one.", "Name a file: model.scanwright.")
        self.slots = {name: Slot(name, source) for name, source in models.items()}

    def pick(self, name: str | None) -> Slot:
        """Choose a model.

        Args:
            name: Name; the first model if None or empty.

        Returns:
            Its slot.

        Raises:
            Refusal: 404 for an unknown name.
        """
        if not name:
            return next(iter(self.slots.values()))
        if name in self.slots:
            return self.slots[name]
        near = difflib.get_close_matches(name, self.slots, n=1)
        raise Refusal(
            404,
            "No model of that name is served.",
            "Served: " + ", ".join(self.slots) + ".",
            f"Did you mean {near[0]}?" if near else "GET /v1/models lists them.",
        )

    def warm(self) -> None:
        """Load every model; those that cannot be loaded keep their fault."""
        for slot in self.slots.values():
            try:
                slot.get()
            except Refusal:
                continue
