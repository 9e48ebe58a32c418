"""What sparsevq is compared with: forecasts from the same sensors, of the same frames."""
