"""Flags of the command line: made from the configuration model, so that each is declared and explained once."""

import argparse
import difflib
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from sparsevq.config.faults import not_allowed
from sparsevq.config.wording import Form

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


class Parser(argparse.ArgumentParser):
    """Errors take one line, and the published flags' prefixes keep working whatever flags are added."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")

    def unknown(self, arguments: list[str]) -> NoReturn:
        """Refuse unknown arguments, and suggest the nearest flag."""
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


def add_flag(group: Any, name: str, explained: str, *, default: Any = argparse.SUPPRESS, **options: Any) -> None:
    """Add a flag; without `default`, it is absent from what is parsed unless it is given."""
    shown = "" if default is argparse.SUPPRESS else f" (default: {default})"
    group.add_argument(f"--{name}", help=(explained + shown).replace("%", "%%"), default=default, **options)


def add_field_flags(group: Any, fields: Mapping[str, FieldInfo]) -> None:
    """One flag for each field of a section; those that are not given are absent from what is parsed."""
    for name, field in fields.items():
        add_field_flag(group, name, field, str(field.description), field.default)


def add_field_flag(group: Any, name: str, field: FieldInfo, explained: str, default: Any) -> None:
    """A flag for a field; the default is appended unless `explained` has it."""
    if "default: " not in explained:
        explained += f" (default: {'none' if default is None or default in ((), {}) else default})"
    add_flag(group, name, explained, type=converter(field), metavar=_metavar(field))


def _metavar(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "{" + ",".join(get_args(field.annotation)) + "}"
    own = [note for note in field.metadata if isinstance(note, str)]
    kind = str(field.annotation)
    forms = {"dict": "AXIS=N,...", "tuple[tuple": "LOW:HIGH,...", "tuple": "AXIS,...", "Path": "FILE"}
    forms |= {"bool": "True|False", "int": "N", "float": "X", "": "VALUE"}
    return own[0] if own else next(form for part, form in forms.items() if part in kind)


def converter(field: FieldInfo) -> Callable[[str], Any]:
    """From a flag's text to the value of a field, checked; lists are separated by commas."""
    annotation = field.rebuild_annotation()
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
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
            fault = error.errors()[0]
            own = fault["type"] == "value_error"  # a check of ours, which says what is wrong
            message = fault["msg"].removeprefix("Value error, ") if own else not_allowed(annotation, text, Form.FLAG)
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: {message}") from None

    return convert


def _pair(text: str, separator: str) -> tuple[str, str]:
    first, found, second = text.partition(separator)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form a{separator}b")
    return first, second
