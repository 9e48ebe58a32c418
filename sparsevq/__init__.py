"""Spatiotemporal forecasts from sparse sensors with vector-quantized transformers."""

from typing import TYPE_CHECKING, Any

from sparsevq.version import VERSION

if TYPE_CHECKING:
    from sparsevq.forecasting.forecaster import Forecaster
    from sparsevq.serving.load import load

__all__ = ["Forecaster", "__version__", "load"]
__version__ = VERSION


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import: only who forecasts waits for it.
    if name == "Forecaster":
        from sparsevq.forecasting.forecaster import Forecaster

        return Forecaster
    if name == "load":
        from sparsevq.serving.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
