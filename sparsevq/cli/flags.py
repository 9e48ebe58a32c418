"""Flags of the command line: made from the configuration model, so that each is declared and explained once."""

import argparse
import difflib
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from sparsevq.config import Section, Stage1Config, Stage2Config, Stage3Config, Symmetries

PUBLISHED = frozenset(
    """
    gpu_device data_name num_sensors consecutive_train seed enc_preproc_ch
    dec_num_latent_channels enc_num_latent_channels num_latents dec_preproc_ch test
    patience batch_pixels lr time_transformer_layers batch_size freeze_start_on_0
    max_X num_layers training_stage time_sub batch_frames load_model
    stage2_frames num_vq_embeddings vq_embedding_dim model_name num_hiddens
    semi_sparse semi_model_name load_stage2 training_frames accum_grads
    space_bands num_cross_attention_heads num_self_attention_layers_per_block
    commitment_cost time_transformer_heads
    """.split()  # noqa: SIM905 (a list of words reads better so)
)
"""Flags of the method's published release. A prefix that is unambiguous among them keeps its meaning here."""

PAPER: dict[str, dict[str, Any]] = {
    "stage1": {},
    "stage2": {"lr": 5e-4, "patience": 3000, "tokenizer": "conv", "quantizer": "vq", "num_quantizers": 1},
    "stage3": {"patience": 3000, "prediction": "next_token", "targets": "sparse", "batch_frames": 128},
}
"""Where defaults differ from the configuration's: they are the paper's choices (config/presets/paper.yaml)."""

SECTIONS: dict[str, type[Section]] = {"stage1": Stage1Config, "stage2": Stage2Config, "stage3": Stage3Config}
SYMMETRIES = tuple(Symmetries.model_fields)


class Parser(argparse.ArgumentParser):
    """Errors take one line, and the published flags' prefixes keep working whatever flags are added."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")

    def unknown(self, arguments: list[str]) -> NoReturn:
        """Refuse arguments that are no flags, and suggest the nearest flag."""
        flag = next((text for text in arguments if text.startswith("-")), arguments[0]).partition("=")[0]
        near = difflib.get_close_matches(flag, [flag for flag in self._option_string_actions if flag != "-h"], n=1)
        self.error(f"{flag} is not a known flag" + (f"; did you mean {near[0]}?" if near else ""))

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        found = super()._get_option_tuples(option_string)
        published = [match for match in found if match[0].dest in PUBLISHED]
        return published if len(found) > 1 and len(published) == 1 else found


class HelpFormatter(argparse.HelpFormatter):
    """Descriptions keep their paragraphs."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30, width=110)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = textwrap.dedent(text).strip().split("\n\n")
        return "\n\n".join(super(HelpFormatter, self)._fill_text(part, width, indent) for part in paragraphs)


def add_flag(group: Any, name: str, explained: str, *, default: Any = None, **options: Any) -> None:
    """A flag; what it explains may hold percent signs. Without `default`, a flag that is not given is absent."""
    shown = "" if default is None or default is argparse.SUPPRESS else f" (default: {default})"
    options.setdefault("default", argparse.SUPPRESS if default is None else default)
    group.add_argument(f"--{name}", help=(explained + shown).replace("%", "%%"), **options)


def truth(text: str) -> bool:
    """``True`` or ``False`` as a value."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text.lower() == "true"


def whole(least: int) -> Callable[[str], int]:
    """A whole number of at least `least`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    return convert


def add_field_flags(group: Any, fields: Mapping[str, FieldInfo], defaults: Mapping[str, Any]) -> None:
    """One flag for each field of a section; those that are not given are absent from what is parsed."""
    for name, field in fields.items():
        default = defaults.get(name, field.default)
        shown = "none" if default is None or default in ((), {}) else default
        add_flag(group, name, f"{field.description} (default: {shown})", type=converter(field), metavar=_metavar(field))


def _metavar(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "{" + ",".join(get_args(field.annotation)) + "}"
    kind = str(field.annotation)
    shapes = {"dict": "AXIS=N,...", "tuple[tuple": "LOW:HIGH,...", "tuple": "AXIS,...", "Path": "FILE"}
    known = {"bool": "True|False", "int": "N", "float": "X"}
    return next((shape for part, shape in (shapes | known).items() if part in kind), "VALUE")


def converter(field: FieldInfo) -> Callable[[str], Any]:
    """From a flag's text to the value of a field, checked; lists are separated by commas."""
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    kind = str(field.annotation)

    def convert(text: str) -> Any:
        try:
            if kind.startswith("dict"):  # --roll x=32,y=8
                return adapter.validate_python(dict(_pair(part, "=") for part in text.split(",")))
            if "tuple[tuple" in kind:  # --region 0:1,0.2:0.8
                return adapter.validate_python(tuple(_pair(part, ":") for part in text.split(",")))
            if kind.startswith("tuple"):  # --reflect y
                return adapter.validate_python(tuple(part for part in text.split(",") if part))
            if text.lower() in ("none", "null") and "None" in kind:
                return None
            return adapter.validate_strings(text)
        except ValidationError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: {error.errors()[0]['msg']}") from None

    return convert


def _pair(text: str, separator: str) -> tuple[str, str]:
    first, found, second = text.partition(separator)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form a{separator}b")
    return first, second


def stage_defaults(stage: str) -> dict[str, Any]:
    """What the flags of a stage mean when they are not given."""
    fields = SECTIONS[stage].model_fields
    return {name: field.default for name, field in fields.items()} | PAPER[stage]


def shared_by_stages(name: str) -> bool:
    """Whether a name means something in several stages: it then applies to the stage that is trained."""
    return sum(name in section.model_fields for section in SECTIONS.values()) > 1


def add_shared_flags(group: Any) -> None:
    """The flags that apply to the stage that is trained, with the default in each."""
    fields = Stage1Config.model_fields | Stage2Config.model_fields | Stage3Config.model_fields
    for name, field in fields.items():
        if not shared_by_stages(name):
            continue
        stages = {stage: stage_defaults(stage)[name] for stage in SECTIONS if name in SECTIONS[stage].model_fields}
        told = ", ".join(f"{value} in {stage}" for stage, value in stages.items())
        shown = str(next(iter(stages.values()))) if len(set(map(str, stages.values()))) == 1 else told
        description = "; ".join(dict.fromkeys(str(SECTIONS[stage].model_fields[name].description) for stage in stages))
        add_flag(group, name, f"{description} (default: {shown})", type=converter(field), metavar=_metavar(field))
