"""The training of a network baseline, from the data set, its basis and the sensors alone."""

from typing import Any

import torch
from torch import Tensor, nn

from sparsevq.baselines.networks.network import Network
from sparsevq.baselines.networks.registry import KIND, NETWORKS
from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.networks.windows import Flows
from sparsevq.config import Symmetries
from sparsevq.config.networks import NetworkConfig
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.devices.parallel import from_first, require_rows
from sparsevq.training.stage import Stage

VALIDATION_WINDOWS = 32
"""Windows of the validation flows, at most, that a network is validated on; the same at every validation."""
VALIDATION_BYTES = 2**28
"""Of their truth, at most."""
AT_ONCE = 16
"""Windows that are forecast together."""


class Batch:
    """What `Network.draw` makes; no tuple, whose fields and coefficients Fabric would round to bf16."""

    def __init__(self, parts: tuple[Any, ...]):
        self.parts = parts


class NetworkLoss(nn.Module):
    """The network's own loss."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """A batch as `Network.draw` makes it."""
        return self.network.loss(*batch.parts)


class NetworkStage(Stage):
    """A network that forecasts from the readings of the observed frames; the best by its forecasts of validation flows.

    Parameters
    ----------
    run
        Its data set, basis and sensors are read.
    network
        A name of `NETWORKS`.
    settings
        Of the network's own section.
    symmetries
        As of stage 1: which mirrored and shifted flows are learned from.
    horizon
        Frames that are forecast in validation.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit; a package that the network needs is not installed.
    """

    kind = KIND
    module: Network
    settings: NetworkConfig

    def __init__(
        self,
        run: Run,
        network: str,
        settings: NetworkConfig,
        *,
        symmetries: Symmetries,
        horizon: int,
        seed: int,
        fabric: Fabric,
    ):
        require_rows(settings.batch_frames, f"networks.{NETWORKS[network].section}.batch_frames")
        super().__init__(settings, seed, fabric)
        self.name = f"baseline {network}"
        data, basis, sensors = run.data, run.basis, run.sensors
        self.made_from = {"data": data.digest, "basis": basis.digest, "sensors": sensors.digest}
        reads = sensors.channels[: len(sensors.sparse)]
        scene = Scene.of(data, basis, sensors.sparse, reads, fabric.device)
        self.flows = Flows(scene, symmetries, seed)
        self.config = NETWORKS[network].sizes(scene, settings, horizon)
        self.module = NETWORKS[network](scene, self.config, settings).to(fabric.device)
        self.module.prepare(self.flows, seed)
        for buffer in self.module.buffers():  # ranks may differ in the last bits
            from_first(buffer)
        self.objective = NetworkLoss(self.module)
        self.horizon = horizon
        self.extra = {
            "network": network,
            "strength": scene.strength,
            "horizon": horizon,
            "parameters": self.module.parameters_count(),
        }
        observed = self.module.observed_frames
        each = 4 * (horizon + 1) * data.num_points * len(data.channels)
        windows = max(1, min(VALIDATION_WINDOWS, VALIDATION_BYTES // each))
        starts = self.flows.held_out(windows, observed, horizon)
        self.val_readings = self.flows.readings(starts, observed)
        self.val_truth, valid = self.flows.truth(starts, horizon)
        # To the norm of the evaluation: by area, channels of different units alike.
        self._weight = (valid * scene.area)[:, None, :, None]  # (b, 1, N, 1)
        self._to_norm = self.flows.fields.std / self.flows.fields.joint_scale  # (C,)
        physical = self.val_truth + self.flows.fields.mean / self.flows.fields.std
        self._size, self._anomaly = self._norm(physical), self._norm(self.val_truth)

    def draw(self, generator: torch.Generator, step: int) -> tuple[Batch]:
        """As the network draws it."""
        mine = slice(None) if self.fabric.world_size == 1 else self.mine
        return (Batch(self.module.draw(self.flows, generator, (step - 1) / self.settings.max_steps, mine)),)

    def draws_ahead(self, step: int) -> bool:
        """Where fields come from a file or cross to a GPU."""
        return self.flows.slow

    def validate(self) -> dict[str, float]:
        """Mean relative L2 over leads from 1 on, of fields (which decides) and of anomalies."""
        parts = []
        with self.fabric.autocast():
            for start in range(0, len(self.val_readings), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                guess = self.module.forecast(self.val_readings[part], self.horizon).float()
                parts.append(self._norm(guess - self.val_truth[part], part))
        off = torch.cat(parts)[:, 1:]
        relative, anomalies = off / self._size[:, 1:], off / self._anomaly[:, 1:]
        found = torch.stack([relative.mean(), anomalies.mean()]).tolist()
        return {"val_loss": found[0], "val_relative_l2_anomalies": found[1]}

    def _norm(self, values: Tensor, part: slice = slice(None)) -> Tensor:
        """``(b, L + 1)`` of values ``(b, L + 1, N, C)``."""
        return ((values * self._to_norm).square() * self._weight[part]).sum((2, 3)).sqrt()
