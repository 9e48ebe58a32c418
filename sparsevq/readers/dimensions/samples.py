"""A group a sample: arrays of one name and shape in many groups, as one array whose first dimension runs over them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import CHANNEL, TIME, TRAJECTORY
from sparsevq.readers.dimensions.meaning import meaning
from sparsevq.readers.finding.natural import in_order
from sparsevq.readers.opening.stored import Contents, StoredArray, from_array, print_once
from sparsevq.readers.opening.views import stacked
from sparsevq.runtime.hdf5 import Array

WILD = re.compile(r"[*?\[]")
LARGEST_SHARED = 2**22
"""Bytes of an array beside the samples' fields up to which those of all samples are compared: coordinates, times."""
LONGEST_TEXT = 100
LEADS = {TIME: "frame"}


def with_samples(contents: Contents, settings: FileConfig, told: set[str]) -> tuple[Contents, FileConfig]:
    """The file with the arrays that match a pattern of `arrays` as one array, and settings that name that.

    Arrays beside them become coordinates where they are the same in all samples; single numbers, and attributes of
    the samples' groups, become parameters. Names that differ in the number of one group are a pattern too.

    Raises
    ------
    SparseVQError
        A pattern matches nothing, or arrays of several shapes; or two patterns match different samples.
    """
    patterns = [name.strip("/") for name in settings.arrays]
    wild = [name for name in patterns if WILD.search(name) and name not in contents.arrays]
    if wild and len(wild) < len(patterns):
        raise SparseVQError(f"arrays: {', '.join(patterns)}: some are patterns, others are not", "name all alike")
    matches = {pattern: _matching(contents, pattern) for pattern in wild} or _numbered(contents, patterns, settings)
    if not matches:
        return contents, settings
    first, *others = matches.items()
    for pattern, found in others:
        if list(found) != list(first[1]):
            raise SparseVQError(
                f"{contents.path}: arrays: {first[0]} and {pattern} match different samples "
                f"({len(first[1])} and {len(found)})",
                "name arrays that all samples have",
            )
    samples = list(first[1])
    lead, settings = _lead(contents, first[1][samples[0]], settings)
    print_once(f"{len(samples)} samples, {samples[0]} to {samples[-1]}: each is a {LEADS.get(lead, lead)}", told)
    fields = {_rest(pattern): _stack(found, _rest(pattern), lead) for pattern, found in matches.items()}
    inside = {array.name for found in matches.values() for array in found.values()}
    beside = _beside(contents, samples, inside, lead) if "/" in first[0] else {}
    depth, among = samples[0].count("/") + 1, set(samples)
    outside = {
        name: array
        for name, array in contents.arrays.items()
        if name not in inside and "/".join(name.split("/")[:depth]) not in among
    }
    arrays = {**outside, **beside, **fields}
    settings = settings.model_copy(update={"arrays": tuple(fields)})
    return replace(contents, arrays=arrays, fields=tuple(fields)), settings


def _numbered(contents: Contents, names: Sequence[str], settings: FileConfig) -> dict[str, dict[str, StoredArray]]:
    """Names that differ in the number of one group only, and for each name all numbers: as patterns; else empty."""
    parts = [name.split("/") for name in names]
    given = settings.dimensions
    whole = TRAJECTORY in given and any(len(given) == len(contents.array(name, "arrays").shape) for name in names)
    if len(names) < 2 or whole or len({len(each) for each in parts}) > 1:
        return {}
    for level in range(len(parts[0]) - 1):
        groups = {each[level] for each in parts}
        skeletons = {re.sub(r"\d+", "0", group) for group in groups}
        found: dict[str, dict[str, StoredArray]] = {}
        for each, name in zip(parts, names, strict=True):
            pattern = "/".join([*each[:level], "*", *each[level + 1 :]])
            found.setdefault(pattern, {})["/".join(each[: level + 1])] = contents.array(name, "arrays")
        counts = {len(samples) for samples in found.values()}
        alike = all(len({array.shape for array in samples.values()}) == 1 for samples in found.values())
        if len(groups) > 1 and len(skeletons) == 1 and counts == {len(groups)} and alike:
            return {pattern: _ordered(samples) for pattern, samples in found.items()}
    return {}


def sample_patterns(contents: Contents, arrays: Sequence[StoredArray]) -> list[str]:
    """Patterns of the largest array, and of others of equal shape beside it, in many numbered groups; none: empty."""
    if not arrays:
        return []
    largest = max(arrays, key=lambda array: array.nbytes)
    parts = largest.name.split("/")
    levels = [level for level in range(len(parts) - 1) if _varies(contents, parts, [level])]
    best: tuple[int, list[int]] = (1, [])
    for wild in [*([level] for level in levels), levels]:
        found = [array for array in contents.arrays.values() if _matches(array.name, _wild(parts, wild))]
        numbered = wild and len({re.sub(r"\d+", "0", array.name.split("/")[wild[-1]]) for array in found}) == 1
        if numbered and len(found) > best[0] and all(array.shape == largest.shape for array in found):
            best = len(found), wild
    if not best[1]:
        return []
    inside = "/".join(parts[: best[1][-1] + 1]) + "/"
    alike = [array.name for array in arrays if array.name.startswith(inside) and array.shape == largest.shape]
    return [_wild(name.split("/"), best[1]) for name in alike]


def _wild(parts: Sequence[str], levels: Sequence[int]) -> str:
    return "/".join("*" if level in levels else part for level, part in enumerate(parts))


def _varies(contents: Contents, parts: Sequence[str], levels: Sequence[int]) -> bool:
    """Whether several arrays differ in one group only."""
    pattern = _wild(parts, levels)
    return sum(_matches(name, pattern) for name in contents.arrays) > 1


def _ordered(samples: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
    """Samples in the order of the numbers in their names."""
    by_path = {Path(name): name for name in samples}
    return {by_path[path]: samples[by_path[path]] for path in in_order(list(by_path))}


def _matching(contents: Contents, pattern: str) -> dict[str, StoredArray]:
    """The arrays that match, by sample: the part of their name up to the last component with a wildcard."""
    parts = pattern.split("/")
    depth = max(index for index, part in enumerate(parts) if WILD.search(part)) + 1
    found = {
        "/".join(name.split("/")[:depth]): array
        for name, array in contents.arrays.items()
        if _matches(name, pattern) and array.is_number
    }
    if not found:
        raise SparseVQError(
            f"{contents.path}: arrays: no array of numbers matches {pattern}",
            f"it holds {', '.join(list(contents.arrays)[:6])}",
        )
    first = next(iter(found.values()))
    for array in found.values():
        if array.shape != first.shape:
            raise SparseVQError(
                f"{contents.path}: arrays: {pattern} matches arrays of several shapes: {first.name} {first.shape}, "
                f"{array.name} {array.shape}",
                "name those of one shape by a narrower pattern, or cut them to one shape",
            )
    return _ordered(found)


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _rest(pattern: str) -> str:
    """The name of the whole: the pattern after its wildcards, or else before."""
    parts = pattern.split("/")
    depth = max(index for index, part in enumerate(parts) if WILD.search(part)) + 1
    return "/".join(parts[depth:]) or re.sub(r"\[.*?\]|[*?]", "", parts[-1]).strip("_- .") or "field"


def _lead(contents: Contents, array: StoredArray, settings: FileConfig) -> tuple[str, FileConfig]:
    """What the samples are, trajectories or frames; and settings whose `dimensions` name that first."""
    given, count = settings.dimensions, len(array.shape)
    if not given:
        timeless = array.dimensions and TIME not in [meaning(contents, name) for name in array.dimensions]
        return (TIME if timeless and settings.join == "time" else TRAJECTORY), settings
    without_channel = len(given) == count + 1 and CHANNEL in given and settings.join != "time"
    if TRAJECTORY not in given and (len(given) == count or without_channel):
        return TRAJECTORY, settings.model_copy(update={"dimensions": (TRAJECTORY, *given)})
    return given[0], settings


def _stack(found: Mapping[str, StoredArray], name: str, lead: str) -> StoredArray:
    sample, first = next(iter(found.items()))
    whole = stacked(list(found.values()), name, lead)
    return replace(whole, dimensions=(lead, *_within(sample, first.dimensions)) if first.dimensions else ())


def _within(sample: str, dimensions: tuple[str, ...]) -> tuple[str, ...]:
    """Names of dimensions without that of the sample's group."""
    return tuple(name.removeprefix(f"{sample}/") for name in dimensions)


def _beside(contents: Contents, samples: list[str], fields: set[str], lead: str) -> dict[str, StoredArray]:
    """What is beside the fields of each sample, by its name within the sample."""
    inside = f"{samples[0]}/"
    named = any(contents.arrays[name].dimensions for name in fields)
    out: dict[str, StoredArray] = {}
    for name, array in contents.arrays.items():
        if not name.startswith(inside) or name in fields or array.nbytes > LARGEST_SHARED:
            continue
        rest = name.removeprefix(inside)
        each = [contents.arrays.get(f"{sample}/{rest}") for sample in samples]
        alike = [other for other in each if other is not None and other.shape == array.shape]
        if len(alike) < len(each):
            continue
        values = [np.asarray(other.read(tuple(slice(0, size) for size in array.shape))) for other in alike]
        dimensions = _within(samples[0], array.dimensions)
        about: dict[str, Any] = {"units": array.units, "attributes": array.attributes}
        if array.shape and all(map(np.array_equal, values, values[1:])):
            out[rest] = from_array(rest, values[0], dimensions=dimensions, **about)
        elif not array.shape or dimensions:
            out[rest] = from_array(rest, np.stack(values), dimensions=_leading(lead, dimensions, named), **about)
        else:
            out[rest] = from_array(rest, np.stack(values), **about)
    for key in contents.groups.get(samples[0], {}):
        column = _column([contents.groups.get(sample, {}).get(key) for sample in samples])
        if column is not None and key not in out:
            out[key] = from_array(key, column, dimensions=_leading(lead, (), named))
    return out


def _leading(lead: str, dimensions: tuple[str, ...], named: bool) -> tuple[str, ...]:
    """Dimensions of what differs between samples; frames of a file without names have none."""
    return (lead, *dimensions) if named or lead == TRAJECTORY else ()


def _column(values: Sequence[Any]) -> Array | None:
    """One number or short text of each sample; None: it is neither."""
    if all(isinstance(value, str) and len(value) <= LONGEST_TEXT for value in values):
        return np.array(values)
    arrays = [np.asarray(value) for value in values]
    if all(array.size == 1 and array.dtype.kind in "fiub" for array in arrays):
        return np.array([float(array.ravel()[0]) for array in arrays])
    return None
