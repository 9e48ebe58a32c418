"""What stands under the figures and tables of the report."""

FIGURES = {
    "strip": (
        "Truth, forecast and error of one held-out trajectory, from the sensors marked, and those of the best "
        "baseline. It is the case whose mean error is the median of all: neither the best nor the worst. The "
        "forecast is the mean of the ensemble. Of a field in space the picture shows the plane in which it varies "
        "most, and all sensors, seen along the axis that is left out."
    ),
    "animation": "Truth, forecast and error of the same trajectory, frame by frame from the observed one.",
    "lead_time": (
        "Errors of the forecast and of the baselines against lead time; bands: the middle 80 % of the cases. An "
        "anomaly correlation above 0.8 (dashed) is a useful forecast; a VRMSE of 1 (dashed) is what the mean of "
        "the field has."
    ),
    "calibration": (
        "Spread of the ensemble against its error (and that of the baselines), and the rank of the truth among "
        "the members. A calibrated ensemble has equal spread and error, and a flat rank histogram."
    ),
    "spectra": (
        "Energy spectra of the forecast fields and of the truth. Where the forecast's falls below the truth's, "
        "small scales are missing: the mean of an ensemble is smoother than any of its members. On a sphere the "
        "spectra are zonal: along the circles of latitude, averaged over them by area. Scattered points and "
        "unevenly spaced grids have none."
    ),
    "chain": (
        "The chain of errors, all on the same frames. First two links that no training made: the linear estimate "
        "from the same sensors (optimal interpolation), and the rate-distortion bound, what the bits of the codes "
        "could do at best. Then what the teacher reconstructs from the complete latents, what the sparse sensors "
        "give, what is left of either after quantization, and the forecast, from the sparse prompt and from the "
        "teacher's. The largest step is where the next gain lies."
    ),
    "codebook": "Use of the codebook: how often the codes of each level occur, and their perplexity.",
    "training": (
        "Training and validation losses of the stages that take optimizer steps, and what the others ended with."
    ),
}
"""File of a run's figure, without its ending -> caption; in the report's order."""

OUTSIDE = "This is the test set from outside the training range."
ROBUSTNESS = (
    "Error and CRPS of forecasts over the number of sensors, errors of the readings, sensors missing and moved, and "
    "lead time. Solid: fitted to what is read; dashed: as trained, not told. Bands: 95 % intervals over trajectories. "
    "Dotted: sparsevq with its own sensors."
)
"""Under the figure of the table `robustness_forecast`."""

SEEDS = "Mean over seeds of the errors against lead time; bands: the smallest and the largest of the seeds."
CONTACT_SHEET = (
    "Some trajectories of each split, at frames spread evenly in time; the title says how many of all. All "
    "pictures of a channel have one colour scale; points without a value, such as those inside an obstacle, are "
    "grey."
)

TABLES = {
    "summary": (
        "Errors on the held-out trajectories, which were used neither for training nor for model selection: means "
        "over lead times from 1 on, and at some of them, in physical units; after ± the standard deviation over "
        "seeds. First the ratios to the best baseline, of the error and of the CRPS (every baseline is an "
        "ensemble, too), with a 95 % confidence interval by resampling trajectories. Bold: the best, where the "
        "interval of its difference to the next best does not hold 0. Correlation time: the first lead, in "
        "frames, at which the anomaly correlation is below 0.8."
    ),
    "placements": (
        "Errors with the sensors at the places that each placement chose: of the linear estimate, of the "
        "reconstructions and of the forecast, as means over the frames that are forecast, and the ratio to random "
        "places with the same seeds."
    ),
    "ablations": (
        "The run beside those that differ from it in one thing: bits of a frame's codes, errors and CRPS as means over "
        "lead times from 1 on, and their difference to the run's own on the same cases, with a 95 % confidence "
        "interval by resampling trajectories (bold: it does not hold 0); spread over skill; relative L2 error of the "
        "teacher's, the sparse and the quantized reconstructions; how many numbers the models keep, weights and "
        "examples alike, and how long the jobs took that made them, shared ones too."
    ),
    "calibration": (
        "Spread over skill, as a mean over all leads and at some, and how often the truth lies in the ensemble's "
        "50 % and 90 % intervals. Calibrated: 1, 50 % and 90 %."
    ),
    "chain": FIGURES["chain"],
    "codebook": "Codes of each level that occur, and their perplexity (effective number of codes).",
    "baselines": (
        "What each method took: numbers that it has learned and forecasts with, wall time of its training (of what is "
        "solved for: of its fit, with its forecasts; of sparsevq: of the jobs of its four parts), optimizer steps, "
        "device. An oracle has no training of its own."
    ),
    "robustness": (
        "Error of the reconstruction from other sensors than the run's own, on frames of the test split: some of "
        "them missing, further ones, others, with noise (in units of the anomalies' standard deviation) that the "
        "encoder is told of or not, and any number at random places. Beside it the error of the linear estimate "
        "(optimal interpolation) from the same readings, which needs no training."
    ),
    "robustness_forecast": (
        "Errors of forecasts under other conditions than in training, without training anything again: other numbers "
        "of sensors, errors of the readings, sensors missing or moved, longer forecasts, and flows from outside the "
        "training range where the data set has any. Fitted anew: what is solved for in closed form, the estimate and "
        "the regressions of sparsevq and all of the baselines, is solved for the sensors that are read, and for the "
        "size of their errors; as trained: for the run's own sensors, which nobody was told are others. In parentheses "
        "95 % intervals by resampling trajectories."
    ),
    "split_statistics": (
        "Statistics by split, in physical units, means by area: of each channel over all points and frames, of "
        "each parameter over the trajectories. Space step and time step are the root mean squares of the "
        "differences between neighbouring points and between successive frames. p-values are of the two-sample "
        "Kolmogorov-Smirnov test that one statistic of each trajectory is distributed as in the training split; "
        "of many, one in twenty is below 0.05 by chance, and the split ood is meant to differ."
    ),
}
"""File of a table, without its ending -> caption."""

TITLES = {
    "placements": "Placements of the sensors",
    "ablations": "Ablations",
    "calibration": "Calibration of the ensembles",
    "chain": "Where the error comes from",
    "codebook": "Use of the codebook",
    "robustness": "Other sensors, and noise",
    "baselines": "What each method took",
    "robustness_forecast": "Forecasts from other sensors, with noise, and further",
}
"""Tables over all runs that stand below the results."""
