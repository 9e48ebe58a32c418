"""Values that mark missing data although nothing declares it are named; legitimate constants are not."""

import numpy as np
import pytest

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.marks import Watch, text_of_number, undeclared
from sparsevq.data.preprocess import preprocess
from sparsevq.data.sentinels import looks_like_a_mark
from sparsevq.errors import SparseVQError
from tests.user_files import opened, values

FRAMES, NY, NX = 12, 6, 7
FIELD = values(FRAMES, NY, NX)
LAND = np.zeros((NY, NX), dtype=bool)
LAND[2:4, 3:6] = True


def looked(field, unit="", kept=(), block=5):
    """The marks of one trajectory ``(F, NY, NX)``."""
    watch = Watch(("u",), (unit,), kept)
    for start in range(0, len(field), block):
        watch.frames(field[start : start + block, ..., None], start == 0, start + block >= len(field))
    return watch.marks


def filled(value, field=FIELD, where=LAND):
    """The field with a value at fixed points."""
    return np.where(where, np.float32(value), field).astype(np.float32)


@pytest.mark.parametrize(
    "value", [-9999, -999.9, -99.99, 1e20, -1e30, 9.96921e36, 999, -32768, 65535, -500, 12345, -150]
)
def test_a_value_at_fixed_points_far_from_the_others(value):
    (mark,) = looked(filled(value))
    assert mark.sure and mark.points == LAND.sum() and mark.value == np.float32(value)
    assert (mark.low, mark.high) == (FIELD[:, ~LAND].min(), FIELD[:, ~LAND].max())


def test_a_single_point_and_several_values():
    one = np.zeros_like(LAND)
    one[0, 0] = True
    assert [mark.points for mark in looked(filled(-9999, where=one))] == [1]
    several = filled(-8888, filled(-9999, filled(1e20, FIELD, one)), np.roll(one, 3))
    assert {mark.value for mark in looked(several)} == {np.float32(1e20), -9999.0, -8888.0}


def test_a_mark_that_changes_places_as_clouds_do():
    clouds = np.random.default_rng(0).random(FIELD.shape) < 0.2
    (mark,) = looked(np.where(clouds, np.float32(-9999), FIELD))
    assert mark.sure and mark.points == 0
    late = FIELD.copy()
    late[-1] = 9.96921e36
    late[-1, 0, 0] = 0
    assert [mark.value for mark in looked(late)] == [np.float32(9.96921e36)]


def test_zero_kelvin_on_land_is_no_temperature():
    sst = 290 + 5 * FIELD
    assert [mark.sure for mark in looked(filled(0, sst), "K")] == [True]
    assert [mark.sure for mark in looked(filled(-100, sst), "K")] == [True]
    assert looked(filled(0, 2 * FIELD), "K") == []  # a temperature above ambient
    assert [mark.sure for mark in looked(filled(0, 1000 + FIELD), "kg m-3")] == [False]  # an obstacle, or missing


@pytest.mark.parametrize(
    "field",
    [
        FIELD,
        np.maximum(FIELD, 0),  # rain
        filled(0),  # an obstacle
        filled(0, 3 + np.abs(FIELD)),  # depth, dry at some points
        filled(30, 20 + np.abs(FIELD)),  # a warm wall
        np.clip(FIELD, -1, 1),  # saturated
        np.round(FIELD),  # of few values
        filled(1, 0 * FIELD) + np.where(np.arange(FRAMES)[:, None, None] > 0, 0.1 * np.abs(FIELD), 0),  # from rest
        np.zeros_like(FIELD),
        np.full_like(FIELD, np.nan),
        1e16 * np.exp(6 * FIELD),  # a density
    ],
    ids=["field", "rain", "obstacle", "dry", "wall", "saturated", "few", "rest", "zero", "nan", "density"],
)
def test_legitimate_constants_are_left_alone(field):
    assert looked(field.astype(np.float32)) == []


def test_the_others_count_over_all_frames():
    """A front that reaches the wall's value later."""
    field = np.linspace(0, 1, FRAMES)[:, None, None] * np.ones((NY, NX))
    assert looked(filled(1.0, field)) == []


def test_preprocess_refuses_it_until_the_user_says_what_it_is(tmp_path, capsys):
    np.save(tmp_path / "u.npy", filled(-9999))
    known = {"dimensions": ("time", "y", "x"), "split": "time", "block": 3, "validation": 1, "test": 1}

    def made(**settings):
        config = FileConfig(path=str(tmp_path / "u.npy"), **known, **settings)
        preprocess(opened(tmp_path / "u.npy", **known, **settings), tmp_path / "d.h5", "d", config, PreprocessConfig())

    with pytest.raises(SparseVQError, match=r"channel u: the value -9999 stands at 6 points in every frame.*: write "
                       r"`missing: \[-9999\]`, or `not_missing: \[-9999\]` if that") as raised:  # fmt: skip
        made()
    assert "\n" not in str(raised.value) and not (tmp_path / "d.h5").exists()
    made(missing=(-9999,))
    made(not_missing=(-9999,))
    with pytest.raises(SparseVQError, match=r"write `missing: \[5, -9999\]`"):
        made(missing=(5,))


def test_numbers_as_text_that_yaml_reads_as_numbers():
    import yaml

    for value in (-9999, -999.99, 1e20, 9.969209968386869e36, -1e-20, 0.5):
        assert np.float32(yaml.safe_load(text_of_number(np.float32(value)))) == np.float32(value)
    assert text_of_number(-999.99) == "-999.99" and text_of_number(-9999) == "-9999"
    assert undeclared([], "a.nc") is None


def test_numbers_that_programs_write_for_missing_data():
    for value in (-999, 9999, -99999, -99.9, -999.9, 1e20, 9.999e20, -9.99e8, 3.4028235e38, np.inf):
        assert looks_like_a_mark(value)
    for value in (-32767, -32768, 65535, -2147483648, 4294967295):
        assert looks_like_a_mark(value)
    for value in (0, 1, -1, 99, -9, 100, 1000, 998.9, 9998, 0.999, 1.2345678e20):
        assert not looks_like_a_mark(value)
