"""Which spectrum a domain has, and that the zonal one is what its closed forms say."""

import dataclasses

import numpy as np
import pytest

from sparsevq.evaluation.spectrum import spectrum_of
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

GLOBE = on_a_sphere(frames=2, grid=(12, 24))
LATITUDE, LONGITUDE = np.deg2rad(GLOBE.physical_coordinates).T


def wave(number, amplitude):
    """``(N, 1)``: a zonal wave with an amplitude for each point."""
    return (amplitude * np.cos(number * LONGITUDE))[:, None]


def test_energy_of_a_zonal_wave_is_averaged_over_the_area():
    wavenumber, energy = spectrum_of(GLOBE)(wave(3, np.cos(LATITUDE)))
    np.testing.assert_allclose(wavenumber, np.arange(1, 13))
    # half the mean square, cos^2 / 4, over the sphere: the mean of cos^2 of the latitude is 2 / 3
    assert energy[2, 0] == pytest.approx(2 / 3 / 4, rel=0.01)
    np.testing.assert_allclose(np.delete(energy[:, 0], 2), 0, atol=1e-12)


def test_a_wave_at_the_pole_has_less_energy_than_at_the_equator_by_the_ratio_of_their_areas():
    spectrum = spectrum_of(GLOBE)
    pole, equator = (spectrum(wave(2, np.repeat(np.eye(12)[row], 24)))[1][1, 0] for row in (0, 6))
    sines = np.sin(np.deg2rad(np.linspace(-90, 90, 13)))
    assert pole / equator == pytest.approx((sines[1] - sines[0]) / (sines[7] - sines[6]), rel=1e-6)


def test_neither_the_zonal_mean_nor_the_order_of_axes_matters():
    field = wave(4, 1 + LATITUDE) + wave(2, LATITUDE**2)
    wavenumber, energy = spectrum_of(GLOBE)(field)
    np.testing.assert_allclose(spectrum_of(GLOBE)(field + np.sin(LATITUDE)[:, None])[1], energy, atol=1e-12)

    turned = dataclasses.replace(
        GLOBE,
        fields=np.swapaxes(GLOBE.fields, 2, 3),
        mask=np.swapaxes(GLOBE.mask, 1, 2),
        axes={"lon": GLOBE.axes["lon"], "lat": GLOBE.axes["lat"]},
    )
    other, transposed = spectrum_of(turned)(field.reshape(12, 24).T.reshape(-1, 1))
    np.testing.assert_allclose(other, wavenumber)
    np.testing.assert_allclose(transposed, energy, atol=1e-12)
    many = spectrum_of(GLOBE)(np.stack([field, 2 * field]).repeat(3, axis=-1))[1]
    np.testing.assert_allclose(many, np.stack([energy, 4 * energy]).repeat(3, axis=-1), atol=1e-12)


def test_a_region_counts_waves_around_the_globe_too():
    axes = {"lat": np.linspace(30, 60, 7), "lon": np.linspace(0, 88, 45)}
    region = dataclasses.replace(
        GLOBE, axes=axes, fields=np.zeros((6, 2, 7, 45, 2), np.float32), mask=np.ones((6, 7, 45), bool), periodic=()
    )
    wavenumber, energy = spectrum_of(region)(
        np.cos(20 * np.deg2rad(region.physical_coordinates[:, 1]))[:, None]
    )  # 20 waves around the globe, 5 in the region
    assert wavenumber[energy[:, 0].argmax()] == pytest.approx(20, rel=0.01)


def replaced(data, **axes):
    return dataclasses.replace(data, axes={**data.axes, **axes})


FLOW = travelling_waves(frames=2, grid=(8, 16))


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (FLOW, ""),
        (travelling_waves(frames=2, grid=(4, 8, 16)), ""),
        (scattered_waves(frames=2, points=20), "the points are scattered"),
        (replaced(FLOW, y=np.linspace(0, 1, 8) ** 2), "the axis y is not evenly spaced"),
        (dataclasses.replace(FLOW, axis_units={"y": "m", "x": "km"}), "the axes y, x have different units"),
        (GLOBE, ""),
        (replaced(GLOBE, lat=90 * np.sin(np.linspace(-1.5, 1.5, 12))), ""),  # only the longitude must be even
        (replaced(GLOBE, lon=np.linspace(0, 18, 24) ** 2), "the axis lon is not evenly spaced"),
        (
            dataclasses.replace(GLOBE, axis_units={"lat": "degrees_north", "lon": "km"}),
            "there is a latitude but no longitude",
        ),
    ],
)
def test_which_domains_have_a_spectrum(data, missing):
    assert spectrum_of(data).missing == missing


def test_labels_say_what_the_wavenumber_is():
    assert spectrum_of(GLOBE).label == "zonal wavenumber (waves around the globe)"
    assert spectrum_of(FLOW).label == "wavenumber (rad/m)"
