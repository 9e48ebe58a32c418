"""From the flags of `sparsevq train` to a run: its settings, and the files of earlier runs that the training reads.

The new run's folder then holds what a folder of the workflow holds when the rule of that stage begins.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsevq.basis.layout import make_basis, read_basis
from sparsevq.cli.options import PAPER, SYMMETRIES, Options, settings_of
from sparsevq.cli.runs import find_data, find_run
from sparsevq.config import (
    BasisConfig,
    Config,
    DataSetConfig,
    PreprocessConfig,
    SensorsConfig,
    Stage1Config,
    Symmetries,
    TrainingConfig,
    parse,
)
from sparsevq.data.preprocess import preprocess
from sparsevq.errors import SparseVQError
from sparsevq.readers.data_set import open_data_set
from sparsevq.runs.folder import read_record, take_over
from sparsevq.runs.run import FILES, Part, Run
from sparsevq.runtime.files import digest
from sparsevq.runtime.model_file import ModelFile
from sparsevq.sensors.placement import SensorSets, place_sensors, write_sensors

Given = Mapping[str, Any]
"""The flags that were given: name -> value."""
Prepared = tuple[TrainingConfig, dict[str, Any], dict[str, Path], ModelFile | None]
"""Settings; the record of the data set; files of earlier runs that are read; the model whose weights to begin with."""


def prepare_run(options: Options, given: Given, run: Run) -> dict[str, Any]:
    """Give a new run the files that its training reads; return what it records: its settings and what it started from.

    A `SparseVQError` says which data set or earlier run is missing or faulty, or which flag contradicts it.
    """
    prepare = {"stage1": _prepare_stage1, "stage2": _prepare_stage2, "stage3": _prepare_stage3}
    settings, data, files, start = prepare[options.training_stage](options, given, run)
    files |= {"start": start.path} if start else {}
    sensors = run.sensors.semi_sparse if options.part == "semi_sparse" else run.sensors.sparse
    return {
        "training_stage": options.training_stage,
        "seed": options.seed,
        "num_sensors": len(sensors),
        "data": data,
        "settings": settings.model_dump(mode="json"),
        "started_from": {name: {"path": str(file.resolve()), "sha256": digest(file)} for name, file in files.items()},
    }


def _prepare_stage1(options: Options, given: Given, run: Run) -> Prepared:
    if options.data_name is None:
        raise SparseVQError("--data_name is missing", "name a data set, or give the path of a data.h5")
    start = _start_of_stage1(options, given)
    settings = _settings("stage1", given, start)
    source, time_sub = find_data(options.data_name, options.results), options.time_sub or 1
    print(f"data set: {source}", flush=True)
    names = [name for name in SensorsConfig.model_fields if name in given]
    placement = parse(SensorsConfig, {name: given[name] for name in names}, "sensors")
    if options.part == "sparse":  # this run has one set: it is the sparse one, and no other is drawn
        placement = placement.model_copy(update={"num_semi_sparse": 0})
    if time_sub == 1:
        take_over(run, {"data": source})
    else:
        thinned, config = run.path / FILES["data"], PreprocessConfig(time_sub=time_sub)
        preprocess(open_data_set(source), thinned, source.stem, DataSetConfig(), config)
    _give_basis(run, source if time_sub == 1 else run.file("data"), source.with_name(FILES["basis"]), settings)
    basis = run.basis if placement.needs_basis else None
    assert isinstance(settings, Stage1Config)
    sensors = place_sensors(run.data, placement, options.num_sensors or 20, options.seed, basis, settings.noise)
    write_sensors(run.file("sensors"), sensors, {"data": run.file("data")})
    return settings, _data_record(options.data_name, source, time_sub), {}, start


def _prepare_stage2(options: Options, given: Given, run: Run) -> Prepared:
    if options.load_model is False:
        raise SparseVQError("--load_model False: stage 2 works on trained encoders", "give --load_model True")
    sparse, encoder, data = _earlier(options, given, "sparse")
    teacher, part = _teacher(options, sparse)
    encoders = {"sparse": sparse.file("sparse"), "semi_sparse": teacher.file(part)}
    Run(None, data=sparse.file("data"), **encoders).model("semi_sparse")  # checked: of the same data set
    start = sparse.model("tokenizer") if options.load_stage2 and sparse.has("tokenizer") else None
    if options.load_stage2:
        source = f"from {start.path}" if start else f"from scratch, since {sparse.path} has none"
        print(f"tokenizer: {source}", flush=True)
    conv = given.get("tokenizer", PAPER["stage2"]["tokenizer"]) == "conv"
    tokens = {"tokens_per_frame": max(1, encoder.settings["num_latents"] // 16)} if conv else {}
    settings = _settings("stage2", given, start, **tokens)
    # The whole configuration checks that the two stages fit each other.
    parse(Config, {"stage1": encoder.settings, "stage2": settings.model_dump(mode="json")}, "stages 1 and 2")
    sensors = _nested(sparse, teacher, part)
    take_over(run, sparse.paths("data", *_basis_of(sparse)) | encoders)
    write_sensors(run.file("sensors"), sensors, {"data": run.file("data")})
    return settings, data, encoders, start


def _prepare_stage3(options: Options, given: Given, run: Run) -> Prepared:
    for flag, value in {"load_model": options.load_model, "load_stage2": options.load_stage2}.items():
        if value is False:
            raise SparseVQError(f"--{flag} False: stage 3 works on the indices of stage 2", f"give --{flag} True")
    earlier, _, data = _earlier(options, given, "sparse", "semi_sparse", "tokenizer", "codes")
    earlier.codes()  # checked: made from the other files of this run
    # The published commands give stage 3 another num_hiddens than stage 2; indices do not depend on it.
    tokenizer = earlier.model("tokenizer")
    _agree(given, tokenizer, *(name for name in _architecture(tokenizer) if name != "num_hiddens"))
    width = tokenizer.settings["num_hiddens"]
    if given.get("num_hiddens", width) != width:
        print(f"num_hiddens is not used in stage 3: the tokenizer has num_hiddens={width}", flush=True)
    start = earlier.model("gpt") if earlier.has("gpt") else None
    if start:
        print(f"GPT: from {start.path}", flush=True)
    settings = _settings("stage3", given, start)
    take_over(run, earlier.paths("data", *_basis_of(earlier), "sensors", "sparse", "semi_sparse", "tokenizer", "codes"))
    return settings, data, earlier.paths("codes", "tokenizer"), start


def _give_basis(run: Run, data: Path, made: Path, settings: TrainingConfig) -> None:
    """Give a new run the basis that the workflow made of its data set, or make one of the file `data`."""
    assert isinstance(settings, Stage1Config)
    if made.is_file() and read_basis(made).made_from.get("data") == run.digest("data"):
        print(f"basis: {made}", flush=True)
        take_over(run, {"basis": made})
    else:
        print("basis: computing the time mean and modes of the data set", flush=True)
        config = BasisConfig()
        config = config.model_copy(update={"modes": max(config.modes, settings.modes)})
        make_basis(data, run.file("basis"), config, settings.symmetries)


def _basis_of(earlier: Run) -> tuple[str, ...]:
    """The basis, if there is one: runs of earlier versions have none."""
    return ("basis",) if earlier.has("basis") else ()


def _settings(stage: str, given: Given, start: ModelFile | None, **more: Any) -> TrainingConfig:
    """What was given, over the architecture of the model to start from, over the paper's choices."""
    values = PAPER[stage] | more
    if start is not None:
        _agree(given, start, *_architecture(start))
        values |= {name: start.settings[name] for name in _architecture(start)}
    return settings_of(stage, values, given)


def _architecture(model: ModelFile) -> list[str]:
    """The settings that a trained model's weights depend on."""
    sizes = (model.shape.keys() | {"space_bands", "stage2_frames"}) - {"commitment_cost", "dropout"}
    return [name for name in model.settings if name in sizes]


def _agree(given: Given, model: ModelFile, *names: str) -> None:
    """Check that flags about a trained model say what it is."""
    saved = model.settings | Symmetries.model_validate(model.settings.get("symmetries", {})).model_dump()
    for name in names:
        _same(name, given.get(name), saved[name], model.path)


def _same(name: str, given: Any, found: Any, path: Path) -> None:
    if given not in (None, found):
        message = f"{name}={given} was given, but {path} has {name}={found}"
        raise SparseVQError(message, "leave the flag out or name another run")


def _data_record(name: str, source: Path, time_sub: int) -> dict[str, Any]:
    return {"name": name, "path": str(source.resolve()), "sha256": digest(source), "time_sub": time_sub}


def _earlier(options: Options, given: Given, *needs: str) -> tuple[Run, ModelFile, dict[str, Any]]:
    """The run of ``--model_name``, its sparse encoder, and what it records of its data set; flags must agree."""
    run = find_run(options.model_name, "model_name", options.runs)
    run.needs(*needs)
    file = run.file("data")
    if not file.is_file():
        raise SparseVQError(f"{run.path} has lost its data set {file}", "put it back, or train the run again")
    data = read_record(run).get("data") or _data_record(file.resolve().parent.name, file, 1)
    _same("time_sub", options.time_sub, data["time_sub"], run.path)
    if options.data_name not in (None, data["name"]):
        named = digest(find_data(options.data_name, options.results))
        if named not in (data["sha256"], digest(file)):
            _same("data_name", options.data_name, data["path"], run.path)
    _same("num_sensors", options.num_sensors, len(run.sensors.sparse), run.file("sensors"))
    encoder = run.model("sparse")
    _agree(given, encoder, *_architecture(encoder), *SYMMETRIES)
    return run, encoder, dict(data)


def _start_of_stage1(options: Options, given: Given) -> ModelFile | None:
    """The encoder whose weights to begin with."""
    if options.load_model:
        run = find_run(options.model_name, "model_name", options.runs)
        part = options.part if run.has(options.part) else _encoder_of(run)
    elif given.get("warm_start"):
        run = find_run(options.semi_model_name, "semi_model_name", options.runs)
        part = _encoder_of(run)
    else:
        if options.model_name is not None:
            print("--model_name is not used: stage 1 starts from a run with --load_model True", flush=True)
        return None
    run.needs(part)
    print(f"encoder: from {run.file(part)}", flush=True)
    return run.model(part)


def _encoder_of(run: Run) -> Part:
    """The encoder of a run that can be a teacher: its semi-sparse one, or the only one it has."""
    return "semi_sparse" if run.has("semi_sparse") else "sparse"


def _teacher(options: Options, sparse: Run) -> tuple[Run, Part]:
    """The encoder whose latents are the target."""
    if options.semi_sparse is False:
        return sparse, "sparse"
    if options.semi_model_name is None and sparse.has("semi_sparse"):
        return sparse, "semi_sparse"
    run = find_run(options.semi_model_name, "semi_model_name", options.runs)
    run.needs(_encoder_of(run))
    return run, _encoder_of(run)


def _nested(sparse: Run, teacher: Run, part: Part) -> SensorSets:
    """The sensors of two runs as one pair of sets, the sparse one first."""
    many = teacher.sensors.sparse if part == "sparse" else teacher.sensors.semi_sparse
    alone = np.setdiff1d(sparse.sensors.sparse, many)
    if len(alone):
        raise SparseVQError(
            f"{len(alone)} of the {len(sparse.sensors.sparse)} sensors of {sparse.path} are not among the {len(many)} "
            f"of {teacher.path}",
            "train both with the same --seed and --placement random, or the semi-sparse encoder with --semi_sparse "
            "True and all else as the sparse one's",
        )
    return sparse.sensors.within(many, teacher.sensors.coordinates)
