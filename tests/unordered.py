"""Operations that have no kernel with a fixed order on CUDA, and how a test on the CPU finds them."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ALWAYS = {
    *("histc", "kthvalue", "median.dim", "nanmedian.dim", "put_", "put", "scatter_reduce", "scatter_reduce_"),
    *("nll_loss2d_forward", "nll_loss2d_backward", "_ctc_loss_backward"),
    *("avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward"),
    *("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward"),
    *("max_unpool2d", "max_unpool3d", "grid_sampler_2d_backward", "grid_sampler_3d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("upsample_trilinear3d_backward",),
}
"""Those that `torch.use_deterministic_algorithms` lists (torch 2.13), whatever they are given."""


class Unordered(TorchDispatchMode):
    """Within the block, `found` gets the names of such operations, those of the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, overload = func._schema.name.removeprefix("aten::"), func._overloadname
        self.seen.add(name)
        sums_floats = name.rstrip("_") == "cumsum" and torch.is_floating_point(args[0])
        weighs = name == "bincount" and (args[1] if len(args) > 1 else kwargs.get("weights")) is not None
        by_maximum = name == "_embedding_bag" and (args[4] if len(args) > 4 else kwargs.get("mode", 0)) == 2
        if not ALWAYS.isdisjoint({name, f"{name}.{overload}"}) or sums_floats or weighs or by_maximum:
            self.found.add(name)
        return func(*args, **kwargs)
