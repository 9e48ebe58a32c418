"""Physics of the wind tunnel: vortices are shed at the measured frequency."""

import numpy as np
import pytest

from sparsevq.config import CylinderConfig
from sparsevq.simulators import cylinder
from sparsevq.simulators.obstacles import Draw
from sparsevq.simulators.wind_tunnel import INFLOW, LENGTH, WIDTH, WindTunnel

pytest.importorskip("lbmpy")
pytestmark = pytest.mark.slow

X, Y = np.meshgrid(np.arange(LENGTH) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij")
DIAMETER = 16.0


@pytest.fixture(scope="module")
def tunnel() -> WindTunnel:
    return cylinder._tunnel()


def circle(reynolds: float, kick: float = 0.2, kick_y: float = 6.0) -> Draw:
    return Draw(reynolds, DIAMETER, 64.0, 64.0, "circle", 0.0, 1.0, kick, kick_y)


def start(tunnel: WindTunnel, flow: Draw) -> None:
    tunnel.start(flow.inside(X, Y), INFLOW * flow.diameter / flow.reynolds, flow.gust(X, Y))


def strouhal(signal: np.ndarray, interval: float) -> float:
    """Frequency * diameter / inflow speed, from the times at which a signal rises through its mean."""
    signal = signal - signal.mean()
    before = np.flatnonzero((signal[:-1] < 0) & (signal[1:] >= 0))
    crossings = before - signal[before] / (signal[before + 1] - signal[before])
    assert len(crossings) > 4
    return 1 / np.diff(crossings).mean() / interval * DIAMETER / INFLOW


@pytest.mark.parametrize("reynolds", [100.0, 150.0, 200.0])
def test_strouhal_number_of_a_circle(tunnel, reynolds):
    """Williamson (Annu. Rev. Fluid Mech. 28, 1996) without walls; a blockage of one eighth increases the frequency."""
    start(tunnel, circle(reynolds))
    tunnel.run(9000)
    wake = []
    for _ in range(400):
        tunnel.run(20)
        wake.append(tunnel.velocity()[64 + 2 * int(DIAMETER), 64, 1])
    unconfined = 0.1816 - 3.3265 / reynolds + 1.6e-4 * reynolds
    assert unconfined < strouhal(np.array(wake), 20) < 1.15 * unconfined
    assert np.std(wake) > 0.2  # a wake that sheds no vortices would be quiet


def test_a_quiet_wake_below_the_critical_reynolds_number(tunnel):
    """Shedding begins near Reynolds number 47: at 30 a gust decays."""
    start(tunnel, circle(30.0))
    tunnel.run(9000)
    assert np.abs(tunnel.velocity()[96, 64, 1]) < 0.01


def test_the_mirrored_gust_gives_the_mirrored_flow(tunnel):
    start(tunnel, circle(150.0))
    tunnel.run(1500)
    flow = tunnel.velocity()
    start(tunnel, circle(150.0, kick=-0.2, kick_y=-6.0))
    tunnel.run(1500)
    np.testing.assert_allclose(tunnel.velocity()[:, ::-1] * [1, -1], flow, atol=1e-3)
    assert np.abs(flow[96, :, 1]).max() > 0.02  # not at rest, where any mirror would do


def test_the_tunnel_is_periodic_from_side_to_side(tunnel):
    flows = []
    for shift in (0, -24):
        solid, gust = (np.roll(values(X, Y), shift, axis=1) for values in (circle(150.0).inside, circle(150.0).gust))
        tunnel.start(solid, INFLOW * DIAMETER / 150, gust)
        tunnel.run(1501)
        flows.append(tunnel.velocity())
    np.testing.assert_allclose(flows[1], np.roll(flows[0], -24, axis=1), atol=1e-3)


def test_mass_is_conserved_along_the_tunnel(tunnel):
    """The mass flux is the same through each cross-section, obstacle and wake included."""
    start(tunnel, circle(150.0))
    tunnel.run(9000)
    solid = circle(150.0).inside(X, Y)
    flux = np.where(solid, 0, tunnel.velocity()[..., 0]).mean(axis=1)
    np.testing.assert_allclose(flux[20:-20], 1.0, atol=0.03)


def test_earlier_runs_have_no_effect():
    settings = CylinderConfig(trajectories=3, shards=1, frames=2, spin_up=2.0, frame_interval=0.1)
    expected = cylinder.simulate(settings, 1, 0)
    tunnel = cylinder._tunnel()
    start(tunnel, circle(1e5))
    tunnel.run(4001)  # blows up, after an odd number: the other half of a pair of in-place steps
    assert not np.isfinite(tunnel.velocity()).all()
    again = cylinder.simulate(settings, 1, 0)
    np.testing.assert_array_equal(again.fields, expected.fields)
    assert again.parameters == expected.parameters


def test_speeds_and_vorticity_are_those_of_a_wake():
    settings = CylinderConfig(trajectories=3, shards=1, frames=2, spin_up=20.0)
    trajectory = cylinder.simulate(settings, 0, 0)
    u, v, vorticity = (trajectory.fields[..., channel][:, trajectory.mask] for channel in range(3))
    assert 0.95 < u.mean() < 1.05
    assert u.min() < -0.05  # the wake flows back behind the obstacle
    assert 1.2 < u.max() < 2.0
    assert abs(v.mean()) < 0.05
    assert vorticity.max() > 3
    assert vorticity.min() < -3
