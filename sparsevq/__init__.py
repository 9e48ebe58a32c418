"""Spatiotemporal forecasts from sparse sensors with vector-quantized transformers."""

from typing import TYPE_CHECKING, Any

from sparsevq.version import VERSION

if TYPE_CHECKING:
    from sparsevq.forecasting.forecaster import Forecaster

__all__ = ["Forecaster", "__version__"]
__version__ = VERSION


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import: only who forecasts waits for it.
    if name == "Forecaster":
        from sparsevq.forecasting.forecaster import Forecaster

        return Forecaster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
