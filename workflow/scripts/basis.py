"""data.h5 -> basis.h5: time mean of each point, and modes of the training flows."""

from pathlib import Path

from sparsevq.config import BasisConfig, Symmetries
from sparsevq.runtime.job import job

# The data set is complete after it and `describe_data`, in whatever order they come.
with job(snakemake, concludes=True):
    from sparsevq.basis.layout import make_basis

    make_basis(
        Path(snakemake.input.data),
        Path(snakemake.output.basis),
        BasisConfig(**snakemake.params.basis),
        Symmetries(**snakemake.params.symmetries),
    )
