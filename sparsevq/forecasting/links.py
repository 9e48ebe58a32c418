"""The links of the chain of errors that are no forecast: what each step makes of the same held-out frames."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sparsevq.basis.bound import rate_distortion
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.forecasting.model import ForecastModel
from sparsevq.runs.codes import Codes
from sparsevq.stage1.modal import ModalModel, project
from sparsevq.stage1.model import decode_everywhere, encode_views

VALUES_AT_ONCE = 2**24
"""Values of dense frames that the bound is computed from together."""


def reconstructions(
    model: ForecastModel, theory: ModalModel | None, codes: Codes, fields: DeviceFields, views: Views
) -> Iterator[tuple[str, Tensor]]:
    """Name and fields (b, N, C) in physical units of each reconstruction of b frames, one after the other.

    Without training, ``linear``: optimal interpolation from the sparse encoder's sensors, given `theory`
    (`sparsevq.stage1.modal.linear_theory`). By each encoder, and by the codes of each.
    """
    if theory is not None:
        with torch.no_grad():
            latents = theory.encode_linear(fields, views)
        yield "linear", fields.physical(decode_everywhere(theory, latents))
    for name, encoder in (("semi_sparse", model.teacher), ("sparse", model.sparse)):
        yield name, fields.physical(decode_everywhere(encoder, encode_views(encoder, fields, views)))
    for name, indices in (("quantized_complete", codes.semi_sparse), ("quantized", codes.sparse)):
        yield name, model.decode_codes(indices[0, views.trajectory, views.frame], fields)


def bits_of(codes: Codes) -> float:
    """Bits a frame of the codes."""
    tokens, levels = codes.sparse.shape[-2:]
    return tokens * levels * math.log2(codes.codebook.shape[-2])


@torch.no_grad()
def rate_distortion_bound(theory: ModalModel, fields: DeviceFields, views: Views, bits: float) -> float:
    """Relative L2 of b frames that so many bits a frame leave at best, in all channels together.

    Complete latents, the projections on the modes, are taken as independent Gaussian coefficients of the mean squares
    that they have on these frames, for which reverse water-filling is the bound (`sparsevq.basis.bound`); to it comes
    what the modes leave. Errors count as in `sparsevq.evaluation.metrics.relative_l2`: by area, where there is a field,
    each channel over `FieldData.joint_scale`. In that norm the modes need not be orthonormal: its components are the
    eigenvectors of the coefficients' covariance. It is the root of a ratio of means, not the mean of the frames' roots.
    """
    coefficients = project(theory.modes, fields, views)
    points = torch.arange(fields.points, device=fields.device)
    share = torch.zeros(fields.points, dtype=torch.float64, device=fields.device)  # of the frames, valid there
    left, size = 0.0, 0.0
    with torch.autocast(fields.device.type, enabled=False):
        at_once = max(1, VALUES_AT_ONCE // (fields.points * fields.channels))
        for part in torch.arange(len(views), device=fields.device).split(at_once):
            truth, valid = fields.gather(views[part], points)
            guess = theory.decode(theory.latents.to_latents(coefficients[part]))
            area = (valid * fields.weights)[..., None]
            left += float(((guess - truth) * fields.std / fields.joint_scale).square().mul(area).sum())
            size += float((fields.physical(truth) / fields.joint_scale).square().mul(area).sum())
            share += valid.sum(0)
        weight = (share / len(views) * fields.weights)[:, None] * (fields.std / fields.joint_scale).square()  # (N, C)
        by_area = theory.modes * weight.sqrt().float()[..., None]
        norm = by_area.flatten(0, 1).T @ by_area.flatten(0, 1)  # (r, r)
        rms = coefficients.double().square().mean(0).sqrt()
        variances = torch.linalg.eigvalsh(rms[:, None] * norm * rms).clamp_min(0)
    distortion = rate_distortion(variances.cpu().numpy(), bits)
    return math.sqrt((distortion + left / len(views)) / (size / len(views)))
