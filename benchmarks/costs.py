"""What the rules of the workflow need for data of any size: memory, traffic and work, by formulas read off the code.

`scaling.py` compares the formulas with measurements and prints them for data that no machine here holds. They have the
terms that grow with the data; what is there whatever the data are (libraries, a hundred megabytes) is left out.

    N points, C channels, P = N C values a frame, b = 4 P bytes of it; T trajectories of F frames, D = T F b
    S training frames with their symmetry variants; r modes, B = 4 r P bytes of them; s = r + r / 16 + 10 directions
    K forecasts of L lead times (the observed frame among them), M members; w windows whose errors dress baselines
"""

from dataclasses import dataclass, field
from typing import Any, Self

from sparsevq.baselines.validation import ERRORS_A_MEMBER
from sparsevq.basis import layout as basis_layout
from sparsevq.basis.basis import MODES_A_FRAME
from sparsevq.basis.leading_modes import ITERATIONS, KEPT
from sparsevq.config import Config
from sparsevq.data.flows import BLOCK
from sparsevq.data.layout import IN_MEMORY
from sparsevq.data.preprocess import BLOCK as PREPROCESS_BLOCK
from sparsevq.evaluation.split_statistics import BLOCK as DESCRIBED_BLOCK
from sparsevq.stage1.modal import DENSE_VALUES_AT_ONCE

FRAMES_AT_ONCE = 512
"""Frames that are encoded together at most (`sparsevq.stage1.model.encode_views`)."""
DRESSED = ("persistence", "pod_dmd", "ridge")
"""Baselines whose members are dressed with errors; one after the other."""
LINKS = 5
"""Reconstructions of the frames of a forecast: links of the chain of errors."""
ATTEMPTS = 6
"""Times that `calibrate` forecasts the validation split: three weights of the network, three temperatures."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of data, stages and evaluation; `grid` in points, `trajectories` of all splits."""

    grid: tuple[int, ...]
    channels: int
    trajectories: int
    validation: int
    test: int
    frames: int
    variants: int
    modes: int
    sensors: int
    examples: int
    horizon: int
    starts: int
    members: int

    @classmethod
    def of(cls, config: Config, **data: Any) -> Self:
        """The stages of a configuration on data of other sizes: `grid`, `channels`, and what its data set has not."""
        simulated = config.data_set(config.data_sets[0])
        own = {"trajectories": getattr(simulated, "total", 0), "frames": getattr(simulated, "frames", 0)}
        own |= {"validation": simulated.validation, "test": simulated.test}
        return cls(
            **{
                **own,
                "variants": config.symmetries_of(config.data_sets[0]).variants,
                "modes": config.stage1.modes,
                "sensors": config.num_sensors[0],
                "examples": config.stage1.examples,
                "horizon": config.forecast.horizon,
                "starts": len(config.forecast.starts),
                "members": config.forecast.members,
                **data,
            }
        )

    @property
    def points(self) -> int:
        """N."""
        found = 1
        for size in self.grid:
            found *= size
        return found

    @property
    def values(self) -> int:
        """P."""
        return self.points * self.channels

    @property
    def frame(self) -> int:
        """b."""
        return 4 * self.values

    @property
    def data(self) -> int:
        """D."""
        return self.trajectories * self.frames * self.frame

    @property
    def training(self) -> int:
        """Trajectories of the training split."""
        return self.trajectories - self.validation - self.test

    @property
    def snapshots(self) -> int:
        """S."""
        return self.training * self.frames * self.variants

    @property
    def basis(self) -> int:
        """B."""
        return self.modes * self.frame

    @property
    def sketch(self) -> int:
        """s."""
        return min(self.modes + self.modes // 16 + 10, self.snapshots, self.values)

    @property
    def cases(self) -> int:
        """K."""
        return self.test * self.starts

    @property
    def leads(self) -> int:
        """L."""
        return self.horizon + 1

    @property
    def windows(self) -> int:
        """w."""
        return self.validation * max(1, ERRORS_A_MEMBER * self.members // max(1, self.validation))

    @property
    def loaded(self) -> float:
        """Memory of an open data set: its fields if they are read, and the mask of every trajectory."""
        return (self.data if self.data <= IN_MEMORY else 0) + self.trajectories * self.points

    @property
    def held(self) -> float:
        """Memory of an open basis: its modes if they are read, and mean, residual."""
        return (self.basis if self.basis <= basis_layout.IN_MEMORY else 0) + 2 * self.frame


@dataclass(frozen=True)
class Cost:
    """What a rule needs.

    Attributes
    ----------
    host, device
        Peak memory (bytes); `device`: of that what is on the GPU where there is one. Without, both are the host's.
    read, written
        Bytes from and to the disk; what the system may keep of them in its page cache is counted each time.
    work
        Name of a rate -> amount: `products` (float32 operations of large matrix products), `float64` (the same in
        float64), bytes that are `streamed` (preprocess), `described`, `gathered` (frames to the device), values
        of members that are `scored` and of fields that are `dressed`.
    grows
        The largest terms of the memory, for people.
    """

    host: float
    device: float = 0.0
    read: float = 0.0
    written: float = 0.0
    work: dict[str, float] = field(default_factory=dict)
    grows: str = ""

    @property
    def memory(self) -> float:
        """Of a process without a GPU."""
        return self.host + self.device


def costs(sizes: Sizes) -> dict[str, Cost]:
    """Rule -> what it needs."""
    return {**_of_data(sizes), **_of_stages(sizes), **_of_forecasts(sizes)}


def _of_data(sizes: Sizes) -> dict[str, Cost]:
    s, frame, basis = sizes, sizes.frame, sizes.basis
    training = s.training * s.frames * frame
    block = min(s.frames * frame, max(PREPROCESS_BLOCK, frame))
    kept = 4 * s.snapshots * s.values
    kept = kept if kept <= KEPT else 3 * max(BLOCK, frame)
    passes = 1 + (1 if kept <= KEPT and s.snapshots * frame <= KEPT else ITERATIONS + 1)
    described = min(s.frames * frame, max(DESCRIBED_BLOCK, frame))
    return {
        "preprocess": Cost(
            s.trajectories * s.points + 2.5 * block + 6 * frame,
            read=s.data,
            written=s.data,
            work={"streamed": s.data},
            grows="T N (masks), 6 b",
        ),
        "basis": Cost(
            s.loaded + kept + 2 * 4 * s.values * s.sketch + 5 * 8 * s.values,
            read=s.data if s.data <= IN_MEMORY else passes * s.variants * training,
            written=basis + 2 * frame + 8 * s.points,
            work={
                "products": (4 * ITERATIONS + 2) * s.snapshots * s.values * s.sketch
                + 2 * s.values * s.sketch * s.modes,
                "float64": 4 * ITERATIONS * s.values * s.sketch**2,
            },
            grows="2 x 4 P s, T N",
        ),
        "describe_data": Cost(
            s.loaded + 4 * described + (16 * len(s.grid) + 24) * s.points + 2 * frame,
            read=s.data,
            work={"described": s.data},
            grows="T N, 8 b",
        ),
        "sensors (qr)": Cost(
            s.trajectories * s.points + s.held + 3 * s.channels * frame,
            read=s.basis * (1 if s.held > s.basis else 2 + s.sensors),
            work={"products": 2 * s.sensors * s.channels * s.modes * s.values},
            grows="T N; a pass over B for each sensor",
        ),
    }


def _of_stages(sizes: Sizes) -> dict[str, Cost]:
    s, frame = sizes, sizes.frame
    on_device = 2 * s.basis + 2 * frame  # the modes by point, and times the area
    everything = s.trajectories * s.frames * frame + (s.variants - 1) * s.training * s.frames * frame
    training = s.snapshots * frame

    def projecting(frames: float, of: float) -> dict[str, Any]:
        return {"read": of + s.basis, "work": {"gathered": of, "products": 2 * frames * s.values * s.modes}}

    def gathered(frames: float) -> float:
        """Of frames that are projected together: values, which are sorted by point, and indices of 8 bytes a point."""
        together = max(DENSE_VALUES_AT_ONCE // s.values, s.modes // MODES_A_FRAME, 1)
        return min(frames, together, FRAMES_AT_ONCE) * (3 * frame + 16 * s.points)

    host = s.loaded + s.held + (s.basis if s.held < s.basis else 0)  # of mapped modes a copy is turned on the host
    grows = "2 B on the device, B and T N on the host"
    return {
        "stage 1": Cost(
            host, on_device + gathered(s.examples), **projecting(s.examples, s.examples * frame), grows=grows
        ),
        "tokenizer": Cost(
            host,
            on_device + gathered(s.snapshots) + 8 * s.snapshots * s.modes,
            **projecting(s.snapshots, training),
            grows=grows,
        ),
        "codes": Cost(
            host,
            on_device + gathered(s.snapshots) + 12 * s.snapshots * s.modes,
            **projecting(s.trajectories * s.frames + (s.variants - 1) * s.training * s.frames, everything),
            grows=grows,
        ),
        "calibrate": Cost(host, s.basis + 2 * frame, read=s.basis, grows="B on the device and on the host, T N"),
    }


def _of_forecasts(sizes: Sizes) -> dict[str, Cost]:
    s, frame = sizes, sizes.frame
    fields, members = s.cases * s.leads * frame, s.members * s.leads * frame  # of all cases; of one
    # Mapped modes are read for each block of frames that is projected.
    together = max(1, s.modes // MODES_A_FRAME, BLOCK // frame)
    projections = s.basis * (
        1 if s.basis <= basis_layout.IN_MEMORY else s.training * s.variants * s.frames / min(together, s.frames)
    )
    dressings = s.windows * s.leads * frame // 2
    host = s.loaded + s.held + (s.basis if s.held < s.basis else 0)
    written = (LINKS + 2) * fields + s.cases * members
    ensembles = 1 + len(DRESSED) + 1
    return {
        "forecast": Cost(
            host,
            max(2 * s.basis + max(3 * fields, 4 * members), 3 * s.basis) + 2 * frame,
            read=s.basis + (LINKS + 1) * fields,
            written=written,
            work={
                "products": 2 * s.cases * s.leads * (s.members + 2 * LINKS) * s.values * s.modes,
                "gathered": 3 * fields,
            },
            grows="3 x 4 K L P, 4 x 4 M L P, 2 B on the device",
        ),
        "baselines": Cost(
            s.loaded
            + s.held
            + s.basis
            + 4 * min(together, s.frames) * frame
            + s.cases * frame
            + max(2 * fields, fields + 2 * dressings)
            + 4 * frame,
            read=s.snapshots * frame + projections,
            written=(1 + len(DRESSED)) * fields + len(DRESSED) * dressings,
            work={
                "products": 2 * (s.snapshots + len(DRESSED) * (s.windows + s.cases) * s.leads) * s.values * s.modes,
                "dressed": len(DRESSED) * (s.windows + s.cases) * s.leads * s.values,
            },
            grows="4 K L P + 2 x 2 w L P, B",
        ),
        "evaluate": Cost(
            s.loaded + s.held + 3 * members + (LINKS + 8) * s.leads * frame,
            read=written + s.cases * ensembles * members,
            work={"scored": s.cases * ensembles * s.members * s.leads * s.values},
            grows="3 x 4 M L P",
        ),
    }
