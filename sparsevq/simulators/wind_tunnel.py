"""A two-dimensional wind tunnel by the lattice Boltzmann method, on lbmpy's generated kernels.

Choices, and why:

- Cumulant collisions with compressible equilibria on D2Q9: stable up to Reynolds 400 at these resolutions, where
  two-relaxation-time collisions are not (Geier et al., Computers & Mathematics with Applications 70, 2015).
- The relaxation rate is an argument of the kernel and the obstacle is a list of links, so that one kernel serves all
  flows and code is generated once in each process.
- The AA pattern (Bailey et al., ICPP 2009) streams in place, and populations are single precision, stored as
  differences from rest: the memory of a step fits a core's second-level cache, which limits the speed more than the
  arithmetic does. After 24,000 steps velocities differ from double precision's by 1e-4 of the inflow speed.
- The kernels of a step are called by a compiled loop (`lattice_steps`): from Python their calls take a fifth of a step.

lbmpy is under the GPL: it is an optional extra, imported only where a tunnel is built, in a process of its own.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.processor import instruction_sets
from sparsevq.simulators.lattice_steps import Step, Steps, compiled_loop

LENGTH, WIDTH = 256, 128  # lattice cells along x (stream) and y (periodic)
INFLOW = 0.06  # lattice cells a step: a Mach number of 0.1


class WindTunnel:
    """Inflow at the left, constant density at the right, periodic from side to side.

    Raises
    ------
    SparseVQError
        lbmpy or a C++ compiler is missing.
    """

    def __init__(self) -> None:
        compiler = _compiler()
        try:
            import lbmpy  # noqa: F401 (to check that it is installed)
        except ImportError:
            raise SparseVQError(
                "simulating needs lbmpy, which is missing", 'pip install "sparsevq[simulate]"'
            ) from None
        with _cache_of_this_processor(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pystencils emits deprecation warnings about itself
            self._loop = compiled_loop(compiler, Path(os.environ["XDG_CACHE_HOME"]))
            self._build()

    def start(self, solid: npt.NDArray[np.bool_], viscosity: float, gust: npt.NDArray[np.float64]) -> None:
        """Start a new flow, with the inflow's speed everywhere.

        Parameters
        ----------
        solid
            ``(LENGTH, WIDTH)``: cells inside the obstacle.
        viscosity
            In lattice units.
        gust
            ``(LENGTH, WIDTH)``: the initial transverse velocity, in inflow speeds.
        """
        everywhere = self._slice[:, :]
        walls = np.pad(solid, 1)  # lbmpy needs a layer of ghost cells around
        self._boundaries.set_boundary("domain", everywhere)
        self._boundaries.set_boundary(self._inlet, self._slice[0, :])
        self._boundaries.set_boundary(self._outlet, self._slice[-1, :])
        self._boundaries.set_boundary(self._wall, mask_callback=lambda x, y: walls)
        self._boundaries.prepare()

        velocity = self._arrays.cpu_arrays["velocity"]
        velocity[..., 0] = INFLOW
        velocity[..., 1] = INFLOW * np.pad(gust, 1, mode="edge")
        self._arrays.fill("density", 1.0, ghost_layers=True)
        self._arrays.fill("populations", 0.0, ghost_layers=True)  # a flow that blew up may have left NaN at the edges
        self._arrays.run_kernel(self._set)

        omega = float(np.float32(1 / (3 * viscosity + 0.5)))
        populations = self._arrays.cpu_arrays["populations"]
        self._steps = Steps(self._loop, (self._step(0), self._step(1)), populations, omega)

    def run(self, steps: int) -> None:
        """Advance the flow."""
        self._steps.run(steps)

    def _step(self, parity: int) -> Step:
        """What lbmpy does in a step; it has no public way to prepare it."""
        populations, timestep = self._arrays.cpu_arrays["populations"], self._timesteps[parity]
        seam = [(populations[source], populations[to]) for source, to in self._periodicity.comm_slices[timestep.idx]]
        block = next(iter(self._arrays.iterate()))
        links = block[self._boundaries._index_array_name].boundary_object_to_index_list
        kernels = self._boundaries._boundary_object_to_boundary_info
        boundaries = [(kernels[boundary]._kernels[timestep], of_boundary) for boundary, of_boundary in links.items()]
        return Step(seam, boundaries, self._collide[1 - parity])

    def velocity(self) -> npt.NDArray[np.float64]:
        """``(LENGTH, WIDTH, 2)``: velocity in inflow speeds; undefined inside the obstacle."""
        self._arrays.run_kernel(self._get[self._steps.parity])
        return self._arrays.cpu_arrays["velocity"][1:-1, 1:-1].astype(np.float64) / INFLOW

    def _build(self) -> None:
        import sympy
        from lbmpy import LBMConfig, LBMOptimisation, LBStencil, Method, Stencil
        from lbmpy.advanced_streaming import LBMPeriodicityHandling, get_timesteps
        from lbmpy.boundaries import UBB, FixedDensity, NoSlip
        from lbmpy.boundaries.boundaryhandling import LatticeBoltzmannBoundaryHandling
        from lbmpy.creationfunctions import create_lb_collision_rule, create_lb_function
        from lbmpy.macroscopic_value_kernels import macroscopic_values_getter, pdf_initialization_assignments
        from pystencils import CreateKernelConfig, Target, create_data_handling, create_kernel, make_slice

        self._slice = make_slice
        self._arrays: Any = create_data_handling((LENGTH, WIDTH), periodicity=(False, True), default_layout="fzyx")
        add = self._arrays.add_array
        populations = add("populations", 9, dtype=np.float32, ghost_layers=1, alignment=64)
        velocity = add("velocity", 2, dtype=np.float32, ghost_layers=1, alignment=64)
        density = add("density", 1, dtype=np.float32, ghost_layers=1, alignment=64)

        plain = CreateKernelConfig(default_dtype="float32")
        fast = plain
        if _has_wide_vectors():
            fast = CreateKernelConfig(default_dtype="float32", target=Target.X86_AVX512)
            fast.cpu.vectorize.enable = True
            fast.cpu.vectorize.assume_inner_stride_one = True

        flow = LBMConfig(
            stencil=LBStencil(Stencil.D2Q9),
            method=Method.CUMULANT,
            compressible=True,
            zero_centered=True,
            relaxation_rate=sympy.Symbol("omega"),
            streaming_pattern="aa",
        )
        in_place = LBMOptimisation(symbolic_field=populations)
        rule = create_lb_collision_rule(lbm_config=flow, lbm_optimisation=in_place)
        self._timesteps = get_timesteps("aa")
        self._collide = [
            create_lb_function(
                collision_rule=rule, lbm_config=replace(flow, timestep=step), lbm_optimisation=in_place, config=fast
            )
            for step in self._timesteps
        ]
        self._periodicity = LBMPeriodicityHandling(flow.stencil, self._arrays, "populations", streaming_pattern="aa")
        self._boundaries = LatticeBoltzmannBoundaryHandling(
            rule.method, self._arrays, "populations", streaming_pattern="aa", default_dtype=np.float32
        )
        moments = (rule.method, density.center, tuple(velocity.center(axis) for axis in range(2)), populations)
        first, _ = self._timesteps
        to_populations = pdf_initialization_assignments(*moments, streaming_pattern="aa", previous_timestep=first)
        self._set = create_kernel(to_populations, plain).compile()
        to_velocity = [
            macroscopic_values_getter(*moments, streaming_pattern="aa", previous_timestep=step)
            for step in self._timesteps
        ]
        self._get = [create_kernel(assignments, plain).compile() for assignments in to_velocity]
        self._inlet = UBB((INFLOW, 0), name="inlet", data_type="float32")
        self._outlet = FixedDensity(1.0)
        self._wall = NoSlip()
        for boundary in (self._inlet, self._outlet, self._wall):  # compiles their kernels now, not at the first flow
            self._boundaries.set_boundary(boundary, make_slice[0, 0])


def _compiler() -> str:
    for name in ("g++", "clang++"):
        if found := shutil.which(name):
            return found
    raise SparseVQError(
        "simulating compiles its kernels, and neither g++ nor clang++ was found",
        "install a C++ compiler (Debian: `apt install g++`; conda: `conda install cxx-compiler`)",
    )


def _has_wide_vectors() -> bool:
    """Whether to generate AVX-512 instructions: a step takes 44 us with them, 60 us with gcc's own vectorization.

    With AVX2, gcc's own vectorization is as fast, so that no other instruction set is selected.
    """
    return {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= instruction_sets()


@contextlib.contextmanager
def _cache_of_this_processor() -> Iterator[None]:
    """A cache of compiled kernels for each processor type: home folders may be shared between machines."""
    processor = " ".join([platform.machine(), *sorted(instruction_sets())])
    before = os.environ.get("XDG_CACHE_HOME")
    root = Path(before) if before else Path.home() / ".cache"
    os.environ["XDG_CACHE_HOME"] = str(root / "sparsevq" / hashlib.sha256(processor.encode()).hexdigest()[:12])
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before
