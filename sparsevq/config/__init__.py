"""The configuration: every parameter of an experiment, its meaning, its default and what is allowed.

This is the single place where parameters are declared. The workflow validates ``config/*.yaml`` against it, each
rule gets the section that it depends on (so that a change reruns that rule and what follows), the command line makes
its flags from it, and `Config.model_json_schema()` documents it. Names follow the method's published release where it
has one.
"""

from sparsevq.config.data_sets import (
    CylinderConfig,
    DataSetConfig,
    FileConfig,
    FireConfig,
    NavierStokesConfig,
    PreprocessConfig,
    ShallowConfig,
    SimulatedConfig,
    SimulationConfig,
    Symmetries,
)
from sparsevq.config.experiment import (
    Config,
    EvaluationConfig,
    ForecastConfig,
    ResourcesConfig,
    RobustnessConfig,
    TrackingConfig,
    load,
    number_and_placement,
    parse,
    variant_of,
)
from sparsevq.config.section import Section
from sparsevq.config.stages import BasisConfig, SensorsConfig, Stage1Config, Stage2Config, Stage3Config, TrainingConfig
from sparsevq.config.yaml_file import read_yaml

__all__ = [
    "BasisConfig",
    "Config",
    "CylinderConfig",
    "DataSetConfig",
    "EvaluationConfig",
    "FileConfig",
    "FireConfig",
    "ForecastConfig",
    "NavierStokesConfig",
    "PreprocessConfig",
    "ResourcesConfig",
    "RobustnessConfig",
    "Section",
    "SensorsConfig",
    "ShallowConfig",
    "SimulatedConfig",
    "SimulationConfig",
    "Stage1Config",
    "Stage2Config",
    "Stage3Config",
    "Symmetries",
    "TrackingConfig",
    "TrainingConfig",
    "load",
    "number_and_placement",
    "parse",
    "read_yaml",
    "variant_of",
]
