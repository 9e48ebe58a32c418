"""Statistics of a data set by split: do training and test trajectories come from the same distribution?"""

from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp

from sparsevq.data.field_data import SPLITS, FieldData, Split
from sparsevq.evaluation.table_files import markdown, write_csv, write_text

Floats = npt.NDArray[np.float64]

BLOCK = 2**25
"""Bytes of fields that are read together."""
SAMPLE = 100_000
"""Values of each channel and split that percentiles are taken from."""
PERCENTILES = (1, 50, 99)
FIRST: Split = "train"
OTHERS: tuple[Split, ...] = ("val", "test", "ood")
ALL = (FIRST, *OTHERS)
COMPARED = ("mean", "std", "space_step", "time_step")
"""Statistics of a trajectory that are compared between splits."""
SIGNIFICANT = 0.05
ROUNDED = 5
"""Decimals, in standard deviations of the channel, in which two trajectories must differ to be compared."""


def split_statistics(data: FieldData, seed: int = 0) -> pd.DataFrame:
    """Statistics of channels and parameters by split, and how much the other splits differ from the training split.

    Trajectories, not points or frames, are the independent units: the points of one flow depend on each other, so a
    test over points would call any two sets different. Each channel and trajectory therefore gives one mean, one
    standard deviation and so on, and the two-sample Kolmogorov-Smirnov test compares their distributions over the
    trajectories of two splits (exact p-values). With few trajectories it can only see coarse differences; of many
    comparisons, one in twenty has p < 0.05 by chance. Time blocks of one trajectory depend on each other too, so that
    their p-values come out too small.

    One pass over the data in blocks of `BLOCK` bytes, so that fields may be mapped and larger than memory.

    Parameters
    ----------
    data
        The data set.
    seed
        Of the random sample that percentiles are taken from.

    Returns
    -------
    A row for each split and quantity. Columns: `split`; `kind` (``channel`` or ``parameter``); `name` (of a parameter
    that is text ``name = value``, once for each value, and its mean is the share that has it); `unit`; `trajectories`;
    `frames` (of each); `mean`, `std`, `min`, `p1`, `p50`, `p99`, `max`, in the quantity's unit, over points (weighted
    by area), frames and trajectories; `space_step`, `time_step` as in `trajectory_statistics`; and for the splits other
    than `train` the p-values ``ks_p_<statistic>`` against it (of parameters, which have one value for each
    trajectory, ``ks_p_mean``). Empty where there is nothing to state.

    References
    ----------
    Hodges, J. L. (1958), The significance probability of the Smirnov two-sample test, Arkiv för Matematik 3, 469-486.
    """
    rows = [*_channel_rows(data, *trajectory_statistics(data, seed)), *_parameter_rows(data)]
    return pd.DataFrame(rows).sort_values(
        "split", key=lambda names: names.map(SPLITS.index), kind="stable", ignore_index=True
    )


def trajectory_statistics(data: FieldData, seed: int = 0) -> tuple[dict[str, Floats], list[npt.NDArray[np.float32]]]:
    """Statistics of each trajectory and channel over valid points, in one pass over the data.

    Returns
    -------
    statistics
        Name -> ``(T, C)``; means are weighted by the area of the points.

        ``mean``, ``std``, ``min``, ``max``
            Over points and frames.
        ``space_step``
            Root mean square of the difference between neighbouring points: along each axis of a grid (across the seam
            of a periodic one too), of scattered points to the nearest. A wave of wavenumber k contributes its energy
            times 4 sin²(k d / 2), d the spacing: so it is the energy at high wavenumbers that it measures.
        ``time_step``
            Root mean square of the difference between a frame and the next.
    samples
        For each trajectory ``(n, C)`` values at random points and frames, drawn by area; their number is in proportion
        to the trajectory's share of the split.
    """
    trajectories, frames, *_, channels = data.fields.shape
    names = ("mean", "std", "min", "max", "space_step", "time_step")
    found = {name: np.full((trajectories, channels), np.nan) for name in names}
    samples = []
    shares = _sample_sizes(data)
    generator = np.random.default_rng(seed)
    neighbours = _neighbours(data)
    at_once = max(1, BLOCK // (4 * data.num_points * channels))
    for index in range(trajectories):
        valid = data.flat_mask[index]
        inside_domain = np.flatnonzero(valid)
        weights = data.weights[valid] / data.weights[valid].sum()
        drawn = np.sort(generator.integers(0, frames, shares[index]))
        places = generator.choice(len(weights), shares[index], p=weights)
        total, squares, space, time = np.zeros((4, channels))
        low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
        shift, last, sample = None, None, []
        for start in range(0, frames, at_once):
            block = np.asarray(data.flat_fields[index, start : start + at_once])  # (f, N, C)
            values = block.take(inside_domain, axis=1)  # (f, n, C)
            if shift is None:  # sums of squares of values far from 0 lose digits
                shift = (weights @ values[0]).astype(np.float32)
            apart = values - shift
            total += np.einsum("n,fnc->c", weights, apart, dtype=np.float64)
            squares += np.einsum("n,fnc,fnc->c", weights, apart, apart, dtype=np.float64)
            # Over frames first: a reduction to a few channels at once is many times as slow.
            low, high = np.minimum(low, values.min(0).min(0)), np.maximum(high, values.max(0).max(0))
            space += _squared_differences(block, valid, data.weights, neighbours)
            steps = np.diff(values if last is None else np.concatenate([last[None], values]), axis=0)
            time += np.einsum("n,fnc,fnc->c", weights, steps, steps, dtype=np.float64)
            last = values[-1].copy()
            inside = (drawn >= start) & (drawn < start + len(block))
            sample.append(values[drawn[inside] - start, places[inside]])
        found["mean"][index] = shift + total / frames
        found["std"][index] = np.sqrt(np.maximum(squares / frames - (total / frames) ** 2, 0))
        found["min"][index], found["max"][index] = low, high
        found["space_step"][index] = np.sqrt(space / frames)
        found["time_step"][index] = np.sqrt(time / (frames - 1)) if frames > 1 else np.nan
        samples.append(np.concatenate(sample))
    return found, samples


Pairs = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def _neighbours(data: FieldData) -> Pairs:
    """Flat indices of both points of each pair of neighbours, along one axis after the other."""
    points = np.arange(data.num_points)
    if data.scattered and len(points) > 1:
        return [(points, cKDTree(data.physical_coordinates).query(data.physical_coordinates, k=2)[1][:, 1])]
    grid = points.reshape(data.grid)
    pairs = []
    for axis, closed in enumerate(data.closed):
        following = np.roll(grid, -1, axis)
        inner = slice(None) if closed and grid.shape[axis] > 2 else slice(0, -1)
        chosen = (slice(None),) * axis + (inner,)
        pairs.append((grid[chosen].ravel(), following[chosen].ravel()))
    return pairs


def _squared_differences(
    block: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], weights: Floats, neighbours: Pairs
) -> Floats:
    """``(C,)``: sum over the frames of ``(f, N, C)`` of the mean over pairs and axes; both points must be valid."""
    sums, area = np.zeros(block.shape[-1]), 0.0
    for one, other in neighbours:
        both = valid[one] & valid[other]
        one, other = one[both], other[both]
        of_pairs = (weights[one] + weights[other]) / 2
        for frame in block:  # all frames at once would copy the block for each axis
            apart = frame.take(one, axis=0) - frame.take(other, axis=0)
            sums += of_pairs @ np.square(apart, dtype=np.float64)
        area += of_pairs.sum()
    return sums / area if area else np.full(len(sums), np.nan)


def _sample_sizes(data: FieldData) -> npt.NDArray[np.int64]:
    """``(T,)``: how many values each trajectory gives to the sample of its split, by its valid area."""
    areas = data.flat_mask @ data.weights
    sizes = np.zeros(len(areas), dtype=np.int64)
    for split in ALL:
        inside = data.trajectories(split)
        if len(inside):
            sizes[inside] = np.ceil(SAMPLE * areas[inside] / areas[inside].sum())
    return sizes


# ------------------------------------------------------------------------------------------------ rows of the table


def _channel_rows(
    data: FieldData, found: dict[str, Floats], samples: list[npt.NDArray[np.float32]]
) -> Iterator[dict[str, object]]:
    areas = data.flat_mask @ data.weights
    # What differs by rounding alone, such as a mean that is conserved, is the same.
    scale = np.maximum(found["std"].max(axis=0), np.finfo(np.float32).tiny)
    compared = {name: np.round(found[name] / scale, ROUNDED) for name in COMPARED}
    for split in ALL:
        inside = data.trajectories(split)
        if not len(inside):
            continue
        weights = areas[inside] / areas[inside].sum()
        mean = weights @ found["mean"][inside]
        variance = weights @ (found["std"][inside] ** 2 + (found["mean"][inside] - mean) ** 2)
        points = np.percentile(np.concatenate([samples[index] for index in inside]), PERCENTILES, axis=0)
        for channel, name in enumerate(data.channels):
            yield {
                "split": split,
                "kind": "channel",
                "name": name,
                "unit": data.units[channel],
                "trajectories": len(inside),
                "frames": data.fields.shape[1],
                "mean": mean[channel],
                "std": np.sqrt(variance[channel]),
                "min": found["min"][inside, channel].min(),
                **{f"p{point}": values[channel] for point, values in zip(PERCENTILES, points, strict=True)},
                "max": found["max"][inside, channel].max(),
                **{name: np.sqrt(weights @ found[name][inside, channel] ** 2) for name in ("space_step", "time_step")},
                **{f"ks_p_{name}": _p_value(data, values[:, channel], split) for name, values in compared.items()},
            }


def _parameter_rows(data: FieldData) -> Iterator[dict[str, object]]:
    for name, unit, values in _numbers(data):
        for split in ALL:
            inside = values[data.trajectories(split)]
            inside = inside[np.isfinite(inside)]
            if not len(inside):
                continue
            points = np.percentile(inside, PERCENTILES)
            yield {
                "split": split,
                "kind": "parameter",
                "name": name,
                "unit": unit,
                "trajectories": len(inside),
                "mean": inside.mean(),
                "std": inside.std(),
                "min": inside.min(),
                **{f"p{point}": value for point, value in zip(PERCENTILES, points, strict=True)},
                "max": inside.max(),
                "ks_p_mean": _p_value(data, values, split),
            }


def _numbers(data: FieldData) -> Iterator[tuple[str, str, Floats]]:
    """Parameters as numbers; of those that are text, whether a trajectory has a value."""
    for name, values in data.parameters.items():
        if values.dtype.kind not in "UO":
            yield name, data.parameter_units.get(name, ""), values.astype(np.float64)
            continue
        words = np.unique(values)
        if len(words) <= len(values) / 2:  # names that no two trajectories share tell nothing
            for word in words:
                yield f"{name} = {word}", "", (values == word).astype(np.float64)


def _p_value(data: FieldData, values: Floats, split: Split) -> float:
    """Of the hypothesis that the trajectories of a split are drawn as those of the training split."""
    if split == FIRST:
        return np.nan
    ours, theirs = (values[data.trajectories(name)] for name in (FIRST, split))
    ours, theirs = ours[np.isfinite(ours)], theirs[np.isfinite(theirs)]
    if not (len(ours) and len(theirs)):
        return np.nan
    return float(ks_2samp(ours, theirs).pvalue)


# ------------------------------------------------------------------------------------------------ files


def write_split_statistics(table: pd.DataFrame, name: str, csv_path: str | Path, markdown_path: str | Path) -> None:
    """Write the table of `split_statistics` for programs and for people; each file appears whole or not at all."""
    write_csv(csv_path, table)
    numbers = ("mean", "std", "min", *(f"p{point}" for point in PERCENTILES), "max")
    channels, parameters = table[table["kind"] == "channel"], table[table["kind"] == "parameter"]
    parts = [f"### {name}: channels by split\n"]
    parts.append(_texts(channels, ("trajectories", "frames", *numbers, "space_step", "time_step")))
    if len(parameters):
        parts.append(f"### {name}: parameters by split\n")
        parts.append(_texts(parameters, ("trajectories", *numbers)))
    if len(others := table[table["split"] != FIRST]):
        parts.append(f"### {name}: is it the training split's distribution?\n")
        parts.append(
            "p-values of the two-sample Kolmogorov-Smirnov test against `train`, over one value for each trajectory.\n"
        )
        parts.append(_texts(others, tuple(f"ks_p_{name}" for name in COMPARED)))
        parts += [f"{line}.\n" for line in conclusions(table)]
    write_text(markdown_path, "\n".join(parts))


def _texts(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """Some columns as Markdown, the rows of each quantity together."""
    table = table.sort_values("name", key=lambda names: pd.Series(pd.factorize(names)[0]), kind="stable")
    units = table["unit"].map(lambda unit: f" ({unit})" if unit else "")
    texts = table[list(columns)].astype(float).map(_cell)
    texts.columns = [column.removeprefix("ks_p_").replace("_", " ") for column in columns]
    return markdown(texts.set_index([(table["name"] + units).rename("quantity"), table["split"]]))


def _cell(value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"


def conclusions(table: pd.DataFrame) -> list[str]:
    """A sentence for each split that was compared; of several p-values the smallest counts, times their number."""
    lines = []
    sizes = table[table["kind"] == "channel"].groupby("split")["trajectories"].first()
    for split in OTHERS:
        smallest, count = smallest_p(table, split)
        if not count:
            continue
        corrected = min(1.0, smallest * count)
        verdict = "differs from" if corrected < SIGNIFICANT else "cannot be told from"
        line = (
            f"{split} {verdict} {FIRST}: the smallest of {count} p-values is {smallest:.2g}, times their number "
            f"{corrected:.2g} (Bonferroni)"
        )
        # No two samples are further apart than those that do not overlap.
        least = 2 / comb(int(sizes[FIRST] + sizes[split]), int(sizes[split]))
        if least * count > SIGNIFICANT:
            line += f"; with {sizes[split]} trajectories it could not be below {SIGNIFICANT}"
        lines.append(line)
    return lines


def smallest_p(table: pd.DataFrame, split: str) -> tuple[float, int]:
    """The smallest of the p-values of a split against the training split, and how many there are."""
    values = table.loc[table["split"] == split, [f"ks_p_{name}" for name in COMPARED]].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    return (float(values.min()) if len(values) else np.nan), len(values)
