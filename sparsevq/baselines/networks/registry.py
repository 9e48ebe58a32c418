"""The trained baselines by name, and their model files."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sparsevq.baselines.networks.fno import FNORollout, VoronoiFNO
from sparsevq.baselines.networks.network import Network
from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.networks.senseiver import Senseiver
from sparsevq.baselines.networks.shred import Shred
from sparsevq.baselines.networks.unet import UNetRollout, VoronoiUNet
from sparsevq.basis.basis import Basis
from sparsevq.config.networks import NetworkConfig, NetworksConfig
from sparsevq.data.field_data import FieldData
from sparsevq.runtime.model_file import ModelFile, load_model

KIND = "baseline"

NETWORKS: dict[str, type[Network]] = {
    "fno": FNORollout,
    "unet": UNetRollout,
    "voronoi_fno": VoronoiFNO,
    "voronoi_unet": VoronoiUNet,
    "senseiver": Senseiver,
    "shred": Shred,
}
"""Name -> class. A new one is a module beside this, a line here, and its name in `sparsevq.config.networks`."""


def settings_of(name: str, given: dict[str, Any]) -> NetworkConfig:
    """The settings of a network, of its own section."""
    section: type[NetworkConfig] = type(getattr(NetworksConfig(), NETWORKS[name].section))
    return section(**given)


def load_network(
    path: Path,
    data: FieldData,
    basis: Basis,
    sparse: NDArray[np.int64],
    reads: NDArray[np.bool_],
    device: torch.device,
) -> tuple[Network, ModelFile]:
    """A trained network, to forecast with, and the file as read.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another kind, or a package that the network needs is not installed.
    """
    file = load_model(path, KIND, device=device)
    name = str(file.extra["network"])
    scene = Scene.of(data, basis, sparse, reads, device, strength=float(file.extra["strength"]))
    kind = NETWORKS[name]
    network = kind(scene, kind.Sizes(**file.shape), settings_of(name, file.settings)).to(device)
    file.restore(network)
    return network.eval(), file
