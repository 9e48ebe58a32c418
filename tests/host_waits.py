"""What would make the host wait for a GPU, found on the CPU: operations whose result the host must know to go on."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = (
    "_local_scalar_dense",  # .item(), float(tensor), if tensor:
    "equal",
    "is_nonzero",
    "lift_fresh",  # torch.tensor([...]), which is copied to the device
    "masked_select",
    "multinomial",  # it checks the chances
    "nonzero",
    "repeat_interleave.Tensor",
    "unique",
)


class NoWaiting(TorchDispatchMode):
    """Raises where the host would wait."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.name().removeprefix("aten::").lstrip("_")
        of_masks = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for part in args
            if isinstance(part, list | tuple)
            for index in part
        )
        if of_masks or name.startswith(tuple(one.lstrip("_") for one in WAITING)):
            raise AssertionError(f"the host would wait for the device: {func.name()}")
        return func(*args, **(kwargs or {}))
