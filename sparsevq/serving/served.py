"""What MLflow runs to make the model: it keeps this file with the model, and the package beside it."""

from mlflow.models import set_model

from sparsevq.serving.pyfunc import ServedRun

set_model(ServedRun())
