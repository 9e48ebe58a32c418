"""Lightning's Fabric, imported without torch's compiler.

Fabric imports `torch._dynamo`, which takes as long as torch itself, for the name of one class: whether a module that it
is given was compiled. A job that compiles nothing does without.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

COMPILER = "torch._dynamo"

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

__all__ = ["DDPStrategy", "Fabric", "LightningEnvironment"]


class _AsksCompiler(type):
    def __instancecheck__(cls, instance: object) -> bool:
        compiler = sys.modules.get(COMPILER)  # where it was never imported, nothing is compiled
        return compiler is not None and isinstance(instance, compiler.OptimizedModule)


class _OptimizedModule(metaclass=_AsksCompiler):
    """Stands for the class of compiled modules in what Fabric asks."""


def _import() -> ModuleType:
    """Import Fabric, with a stand-in for the compiler if that is not there yet."""
    stand_in = ModuleType(COMPILER)
    # A module's type does not name what is put into it.
    stand_in.OptimizedModule = _OptimizedModule  # type: ignore[attr-defined]
    if sys.modules.setdefault(COMPILER, stand_in) is stand_in:
        before = set(sys.modules)
        try:
            import lightning_fabric
        except (ImportError, AttributeError):  # another version, which asks for more of the compiler: import all of it
            for name in set(sys.modules) - before:
                if name.startswith("lightning_fabric"):
                    del sys.modules[name]
        finally:
            if sys.modules.get(COMPILER) is stand_in:
                del sys.modules[COMPILER]
    import lightning_fabric
    import lightning_fabric.plugins.environments
    import lightning_fabric.strategies

    return lightning_fabric


if not TYPE_CHECKING:
    _fabric = _import()
    Fabric = _fabric.Fabric
    LightningEnvironment = _fabric.plugins.environments.LightningEnvironment
    DDPStrategy = _fabric.strategies.DDPStrategy
