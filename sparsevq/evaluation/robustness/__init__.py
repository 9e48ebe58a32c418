"""How forecasts change when the sensors, their errors, the horizon or the flows are others than in training."""
