"""Variants of an experiment's runs: what each changes, and which files it therefore has of its own.

A variant is the run with some keys changed. What none of the changed keys has a part in is the same file as that of the
run without changes, the base run, and is made once.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sparsevq.config.faults import nearest

if TYPE_CHECKING:
    from sparsevq.config.experiment import Config

BASE = "base"
"""What tables call the run without changes."""
SECTIONS = ("sensors", "stage1", "stage2", "stage3", "forecast")
"""Sections that a variant may change; the others are those of the data set, or of the experiment."""

Overrides = dict[str, dict[str, Any]]
"""Section -> key -> value."""


def fault_in(name: str, overrides: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with a variant, whatever the experiment is: a sentence that names the key; None: nothing."""
    if name == BASE:
        return f"variants.{BASE} is what tables call the run without changes: choose another name"
    if not any(overrides.values()):
        return f"variants.{name} changes nothing: write a section and the keys in it that differ, or leave it out"
    for section in overrides:
        if section not in SECTIONS:
            near = nearest(section, list(SECTIONS))
            do = f"write {near}" if near else f"a variant changes keys of {', '.join(SECTIONS)}"
            return f"variants.{name}.{section} is no section that a variant may change: {do}"
    if "symmetries" in overrides.get("stage1", {}):
        return (
            f"variants.{name}.stage1.symmetries is of the data set's basis, which all variants share: leave it out, or "
            "make an experiment of its own"
        )
    return None


def laid_over(given: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The values that a configuration gives, with a variant's in place of its own; without any `variants`.

    Without baselines, too: variants are compared with the base run, and that with the baselines.
    """
    changed = {section: {**given.get(section, {}), **keys} for section, keys in overrides.items()}
    changed["evaluation"] = {**given.get("evaluation", {}), "baselines": ()}
    return {key: value for key, value in {**given, **changed}.items() if key != "variants"}


def own_files(base: "Config", variant: "Config", placement: str) -> frozenset[str]:
    """Rules whose output a variant's run has of its own: a setting differs, or one of the files that they read.

    Parameters
    ----------
    base, variant
        The configuration without the variant's changes, and with them.
    placement
        Of the sensors; empty: that of the section `sensors`.
    """
    own: set[str] = set()
    for (rule, reads, settings), (_, _, changed) in zip(
        _parts(base, placement), _parts(variant, placement), strict=True
    ):
        if settings != changed or own.intersection(reads):
            own.add(rule)
    return frozenset(own)


def _parts(config: "Config", placement: str) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Rule, the rules whose output it reads, and its settings: in the order in which they are run."""
    sensors, stage1 = config.sensors_of(placement), config.stage1
    noise = stage1.noise if sensors.placement == "variance" else None
    # The teacher's further sensors are drawn after the sparse ones, whose places do not depend on their number.
    yield "places", (), (sensors.model_dump(exclude={"num_semi_sparse"}), noise)
    yield "sensors", ("places",), sensors
    yield "semi_sparse", ("sensors",), stage1.model_dump(exclude={"warm_start", "warm_steps"})
    # Complete latents are the teacher's alone.
    of_teacher = {"complete"} if stage1.modes else set()
    yield (
        "sparse",
        ("places", *(["semi_sparse"] if stage1.warm_start else [])),
        stage1.model_dump(exclude=of_teacher),
    )
    yield "tokenizer", ("sparse", "semi_sparse"), config.stage2
    yield "codes", ("sensors", "sparse", "semi_sparse", "tokenizer"), None
    yield "gpt", ("codes",), config.stage3
    yield "calibrate", ("gpt",), config.forecast
