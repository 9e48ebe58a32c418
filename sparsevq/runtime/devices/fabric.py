"""What this package uses of Lightning's Fabric, imported in two thirds of the time; other modules import it from here.

When `lightning_fabric` is imported, it imports torchmetrics, only to see its version. With that come scipy.signal and
matplotlib, a second in each job, of which training uses nothing.
"""

import contextlib
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


@contextlib.contextmanager
def _no_more_than_the_version_of(package: str) -> Iterator[None]:
    stand_in = ModuleType(package)
    with contextlib.suppress(PackageNotFoundError):  # then Lightning does without it, too
        stand_in.__version__ = version(package)  # type: ignore[attr-defined]  # modules may have any attribute
        sys.modules.setdefault(package, stand_in)
    try:
        yield
    finally:
        if sys.modules.get(package) is stand_in:
            del sys.modules[package]  # whoever wants it gets the real one


with _no_more_than_the_version_of("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

__all__ = ["DDPStrategy", "Fabric", "LightningEnvironment"]
