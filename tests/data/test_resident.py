"""All frames on a device: what the file holds, read slab by slab, and checked."""

import numpy as np
import pytest
import torch

from sparsevq.data import resident
from sparsevq.data.layout import read_data, write_data
from sparsevq.data.resident import frames_on
from sparsevq.errors import SparseVQError
from tests.edited import edited
from tests.flows import travelling_waves

CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path):
    write_data(tmp_path / "data.h5", travelling_waves())  # 6 trajectories of 12 frames of 256 points
    return tmp_path / "data.h5"


@pytest.mark.parametrize("frames", [1, 5, 7, 72, 10**6])
@pytest.mark.parametrize("in_memory", [0, 2**32])
def test_the_frames_are_those_of_the_file(path, monkeypatch, frames, in_memory):
    monkeypatch.setattr(resident, "SLAB", frames * 4 * 256 * 2)
    expected = read_data(path)
    assert torch.equal(frames_on(CPU, read_data(path, in_memory)), torch.from_numpy(expected.fields).reshape(-1, 2))


def test_two_buffers_are_used_by_turns(path, monkeypatch):
    made, make = [], resident.host_buffer

    def counted(*asked):
        made.append(asked[0])
        return make(*asked)

    monkeypatch.setattr(resident, "SLAB", 5 * 4 * 256 * 2)
    monkeypatch.setattr(resident, "host_buffer", counted)
    frames_on(CPU, read_data(path, 0))
    assert made == [(5, 256, 2)] * 2


def test_what_stands_where_there_is_no_field_never_matters(path):
    expected = frames_on(CPU, read_data(path))
    with edited(path) as file:
        stored, mask = file["fields"][()], file["mask"][()]
        stored[~np.broadcast_to(mask[:, None, ..., None], stored.shape)] = np.nan
        file["fields"][...] = stored
    assert torch.equal(frames_on(CPU, read_data(path, 0)), expected)


@pytest.mark.parametrize("frames", [1, 5, 72])
def test_a_value_that_is_not_finite_is_an_error_of_one_line(path, monkeypatch, frames):
    monkeypatch.setattr(resident, "SLAB", frames * 4 * 256 * 2)
    point = np.unravel_index(int(np.flatnonzero(read_data(path).flat_mask[4])[9]), (16, 16))
    with edited(path) as file:
        file["fields"][(4, 7, *point, 1)] = np.inf
        file["fields"][(4, 9, *point, 0)] = np.nan
    with pytest.raises(SparseVQError, match=r"waves: NaN or infinite .* trajectory 4, frame 7: .*data validate"):
        frames_on(CPU, read_data(path, 0))


def test_a_file_that_has_become_shorter_is_an_error_of_one_line(path, monkeypatch):
    data = read_data(path, 0)
    with open(data.fields.filename, "r+b") as file:
        file.truncate(data.fields.offset + 1000)
    with pytest.raises(SparseVQError, match=r"data\.h5 has become shorter"):
        frames_on(CPU, data)
