"""Spatiotemporal forecasts from sparse sensors with vector-quantized transformers."""

__version__ = "0.1.0"
