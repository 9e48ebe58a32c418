"""OpenFOAM's files for one fire: a case of buoyantPimpleFoam.

Choices, and why:

- A burner is a patch of the floor that blows hot gas, with fluctuations of its velocity: without them a plume at this
  resolution does not puff. Combustion is not resolved: `fireFoam` on 12 cm cells gives a laminar column.
  Occasionally a gust draws gas back into the burner. That gas leaves at its own temperature (inletOutlet): at the fixed
  temperature of the burner it would remove more heat than it has, and leave cells 45 K below ambient.
- Smoke is a passive scalar, 1 in the burner's gas.
- Obstacles are blocks of cells with a huge drag, so that the grid stays regular.
- At open boundaries air enters at the pressure of the air at rest outside, hydrostatic with the ambient density, minus
  the dynamic pressure. With a uniform ``p_rgh`` hot gas near a side would be drawn out, as if the gas outside were hot
  too. The wind is driven by its stagnation pressure, so that air without wind may enter from all sides equally.
- Smagorinsky's model with a small constant: larger ones make the plume laminar at this resolution. LUST for momentum:
  purely linear, the upward velocity alternates from cell to cell.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.config import FireConfig
from sparsevq.simulators.fire_scenes import AMBIENT, SIZE, Rectangle, Scene
from sparsevq.simulators.openfoam import write_dictionary

PRESSURE = 101325.0  # outside, at the height of hRef (Pa)
MOLAR_MASS = 28.96  # g/mol
HEAT_CAPACITY = 1010.0  # J/(kg K)
GAS = MOLAR_MASS * PRESSURE / 8314.47  # density * temperature (kg K/m3)
GRAVITY = 9.81
WALL_TRANSFER = 20.0  # between a room's walls and the gas (W/(m2 K))
FLUCTUATION = 0.6  # of the burner's velocity, relative, along each axis
DRAG = 1e8  # of obstacles (1/m2)

COURANT = 0.9
MESHING = ("blockMesh", "topoSet", "createPatch -overwrite")
SOLVER = "buoyantPimpleFoam"
PROGRAMS = ("blockMesh", "topoSet", "createPatch", SOLVER)
NUMERICS = {
    "system/fvSchemes": """ddtSchemes { default Euler; }
gradSchemes { default Gauss linear; }
divSchemes
{
  default none; div(phi,U) Gauss LUST grad(U); div(phi,h) Gauss limitedLinear 1; div(phi,s) Gauss limitedLinear01 1;
  div(phi,K) Gauss linear; div(((rho*nuEff)*dev2(T(grad(U))))) Gauss linear;
}
laplacianSchemes { default Gauss linear corrected; }
interpolationSchemes { default linear; }
snGradSchemes { default corrected; }""",
    "system/fvSolution": """solvers
{
  "rho.*" { solver diagonal; }
  p_rgh { solver GAMG; tolerance 1e-5; relTol 0.05; smoother GaussSeidel; }
  p_rghFinal { $p_rgh; relTol 0.01; }
  "(U|h|s)" { solver PBiCGStab; preconditioner DILU; tolerance 1e-6; relTol 0.1; }
  "(U|h|s)Final" { $U; relTol 0.01; }
}
PIMPLE { momentumPredictor yes; nOuterCorrectors 1; nCorrectors 2; nNonOrthogonalCorrectors 0; }""",
}
CLASSES = {
    "0/U": "volVectorField",
    "constant/g": "uniformDimensionedVectorField",
    "constant/hRef": "uniformDimensionedScalarField",
}


def centres(grid: int) -> npt.NDArray[np.float64]:
    """``(grid,)``: coordinates of the cells' centres along each axis (m)."""
    return SIZE / grid * (np.arange(grid, dtype=np.float64) + 0.5)


def valid_cells(scene: Scene, grid: int) -> npt.NDArray[np.bool_]:
    """``(grid, grid, grid)`` as (z, y, x): True in gas, that is in cells whose centre is in no obstacle."""
    at = centres(grid)
    solid = np.zeros((grid, grid, grid), dtype=bool)
    for box in scene.boxes:
        solid |= (at < box.height)[:, None, None] & covered(box.floor, grid)
    return ~solid


def covered(floor: Rectangle, grid: int) -> npt.NDArray[np.bool_]:
    """``(grid, grid)`` as (y, x): columns of cells whose centre is over a part of the floor."""
    at = centres(grid)
    along = (floor.x_low < at) & (at < floor.x_high)
    across = (floor.y_low < at) & (at < floor.y_high)
    return across[:, None] & along


def burner_speed(scene: Scene, grid: int) -> float:
    """Speed (m/s) at which the gas leaves the burner, for its power on the cells that it covers."""
    area = covered(scene.burner, grid).sum() * (SIZE / grid) ** 2
    heat = GAS / scene.temperature * HEAT_CAPACITY * (scene.temperature - AMBIENT)  # J/m3
    return 1e3 * scene.power / (heat * area)


def burner_temperature(scene: Scene, time: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Temperature (K) of the burner's gas at times since ignition (s): its speed is constant, its power grows.

    The heat that a volume of gas carries is proportional to 1 - ambient / temperature.
    """
    grown = scene.power_at(time) / scene.power
    return np.asarray(AMBIENT / (1 - grown * (1 - AMBIENT / scene.temperature)), dtype=np.float64)


def write_case(folder: Path, scene: Scene, settings: FireConfig) -> None:
    """Write a case that leaves ``T``, ``s`` and ``U`` at multiples of the interval, in folders named by the time."""
    files = {
        "system/controlDict": _control(settings),
        **_mesh(scene, settings.grid),
        **_properties(scene),
        **_initial(scene, settings.grid),
        **NUMERICS,
    }
    for name, content in files.items():
        kind = CLASSES.get(name, "volScalarField" if name.startswith("0/") else "dictionary")
        write_dictionary(folder / name, content, kind)


def first_frame(settings: FireConfig) -> float:
    """Time of the first frame since ignition (s): a multiple of the interval."""
    return max(1, round(settings.spin_up / settings.frame_interval)) * settings.frame_interval


def _control(settings: FireConfig) -> str:
    interval = settings.frame_interval
    end = first_frame(settings) + (settings.frames - 1) * interval
    return f"""application {SOLVER};
startFrom startTime; startTime 0; stopAt endTime; endTime {end:.8g};
deltaT 0.002; adjustTimeStep yes; maxCo {COURANT}; maxDeltaT 0.05;
writeControl adjustableRunTime; writeInterval 1e6; writeFormat binary; writePrecision 8;
timeFormat general; timePrecision 8; runTimeModifiable no;
functions
{{
  smoke
  {{
    type scalarTransport; libs (solverFunctionObjects); field s; schemesField s;
    nCorr 0; resetOnStartUp no; rho rho; phi phi; alphaDt 0.8; alphaD 1;
  }}
  frames
  {{
    type writeObjects; libs (utilityFunctionObjects); objects (T s U); writeOption anyWrite;
    writeControl adjustableRunTime; writeInterval {interval:.8g};
  }}
}}"""


def _mesh(scene: Scene, grid: int) -> dict[str, str]:
    corners = " ".join(f"({x} {y} {z})" for z in (0, SIZE) for x, y in ((0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE)))
    blocks = f"""scale 1;
vertices ({corners});
blocks (hex (0 1 2 3 4 5 6 7) ({grid} {grid} {grid}) simpleGrading (1 1 1));
edges ();
boundary
(
  floor {{ type wall; faces ((0 3 2 1)); }}
  top {{ type patch; faces ((4 5 6 7)); }}
  upwind {{ type patch; faces ((0 4 7 3)); }}
  downwind {{ type patch; faces ((1 2 6 5)); }}
  sides {{ type patch; faces ((0 1 5 4) (3 7 6 2)); }}
);
mergePatchPairs ();"""
    flat = SIZE / grid / 10  # half the thickness of a box around a plane's faces: less than half a cell
    burner = scene.burner
    patches = {"burner": f"({burner.x_low} {burner.y_low} {-flat}) ({burner.x_high} {burner.y_high} {flat})"}
    if scene.door is not None:
        door = scene.door
        patches["door"] = f"({SIZE - flat} {door.y_low} 0) ({SIZE + flat} {door.y_high} {door.height})"
    actions = [
        f"{{ name {name}; type faceSet; action new; source boxToFace; box {box}; }}" for name, box in patches.items()
    ]
    for index, box in enumerate(scene.boxes):
        low, high = (box.floor.x_low, box.floor.y_low, 0), (box.floor.x_high, box.floor.y_high, box.height)
        bounds = " ".join("(" + " ".join(map(str, corner)) + ")" for corner in (low, high))
        actions += [
            f"{{ name box{index}; type cellSet; action new; source boxToCell; box {bounds}; }}",
            f"{{ name box{index}; type cellZoneSet; action new; source setToCellZone; set box{index}; }}",
        ]
    made = "\n".join(
        f"{{ name {name}; patchInfo {{ type patch; }} constructFrom set; patches (); set {name}; }}" for name in patches
    )
    return {
        "system/blockMeshDict": blocks,
        "system/topoSetDict": "actions\n(\n" + "\n".join(actions) + "\n);",
        "system/createPatchDict": f"pointSync false;\npatches\n(\n{made}\n);",
    }


def _properties(scene: Scene) -> dict[str, str]:
    blocks = "\n".join(
        f"box{index} {{ type explicitPorositySource; explicitPorositySourceCoeffs {{ selectionMode cellZone; "
        f"cellZone box{index}; type DarcyForchheimer; d ({DRAG} {DRAG} {DRAG}); f (0 0 0); "
        "coordinateSystem { origin (0 0 0); rotation { type none; } } } }"
        for index in range(len(scene.boxes))
    )
    return {
        "constant/fvOptions": blocks,
        "constant/g": f"dimensions [0 1 -2 0 0 0 0];\nvalue (0 0 {-GRAVITY});",
        "constant/hRef": f"dimensions [0 1 0 0 0 0 0];\nvalue {SIZE};",
        "constant/radiationProperties": "radiation off;\nradiationModel none;",
        "constant/thermophysicalProperties": f"""thermoType
{{
  type heRhoThermo; mixture pureMixture; transport sutherland; thermo hConst;
  equationOfState perfectGas; specie specie; energy sensibleEnthalpy;
}}
mixture
{{
  specie {{ molWeight {MOLAR_MASS}; }}
  thermodynamics {{ Cp {HEAT_CAPACITY}; Hf 0; }}
  transport {{ As 1.458e-6; Ts 110.4; mu 1.8e-5; Pr 0.7; }}
}}""",
        "constant/turbulenceProperties": """simulationType LES;
LES
{
  LESModel Smagorinsky; delta cubeRootVol; turbulence on; printCoeffs off;
  SmagorinskyCoeffs { Ck 0.02; Ce 1.05; }
  cubeRootVolCoeffs { deltaCoeff 1; }
}""",
    }


def _initial(scene: Scene, grid: int) -> dict[str, str]:
    wind, speed = f"({scene.wind} 0 0)", f"(0 0 {burner_speed(scene, grid)})"
    ambient_density = GAS / AMBIENT
    stagnation = PRESSURE + ambient_density * scene.wind**2 / 2

    def outside(pressure: float) -> str:
        """p_rgh with air at rest outside: p minus the hydrostatic pressure of the gas at the face."""
        return (
            f"type exprFixedValue; value uniform {PRESSURE}; valueExpr "
            f'"(phi < 0 ? {pressure} - 0.5*rho*magSqr(U) : {PRESSURE})'
            f' + ({ambient_density} - rho)*{GRAVITY}*({SIZE} - pos().z())";'
        )

    flows_out = "type inletOutlet; inletValue uniform {0}; value uniform {0};"
    air = f"type pressureInletOutletVelocity; tangentialVelocity uniform {wind}; value uniform {wind};"
    still = "type pressureInletOutletVelocity; value uniform (0 0 0);"
    wall, insulated = "type noSlip;", "type zeroGradient;"
    fixed = f"type fixedFluxPressure; value uniform {PRESSURE};"
    calculated = "type calculated; value uniform {};"
    growth = np.linspace(0, scene.ramp, 9)
    table = " ".join(
        f"({time:.6g} {kelvin:.6g})" for time, kelvin in zip(growth, burner_temperature(scene, growth), strict=True)
    )
    gusts = (
        f"type turbulentInlet; referenceField uniform {speed}; "
        f"fluctuationScale ({FLUCTUATION} {FLUCTUATION} {FLUCTUATION}); alpha 0.1; value uniform {speed};"
    )
    hot = f"type uniformInletOutlet; uniformInletValue table ({table} (1e6 {scene.temperature:.6g}));"
    nothing = "type fixedValue; value uniform 0;"  # diffusion out of the burner would add 2 % to its power
    smoky = "type inletOutlet; inletValue uniform 1; value uniform 1;"
    cooling = (
        "type externalWallHeatFluxTemperature; mode coefficient; kappaMethod fluidThermo; "
        f"Ta uniform {AMBIENT}; h uniform {WALL_TRANSFER}; value uniform {AMBIENT};"
    )
    # name: dimensions, initial value, then at an open boundary, the floor, a room's walls, and the burner.
    kelvin, free = f"{AMBIENT}", flows_out.format(AMBIENT)
    fields = {
        "U": ("[0 1 -1 0 0 0 0]", wind, air, wall, wall, gusts),
        "p_rgh": ("[1 -1 -2 0 0 0 0]", f"{PRESSURE}", outside(stagnation), fixed, fixed, fixed),
        "p": ("[1 -1 -2 0 0 0 0]", f"{PRESSURE}", *[calculated.format(PRESSURE)] * 4),
        "T": ("[0 0 0 1 0 0 0]", kelvin, free, insulated, cooling, hot),
        "nut": ("[0 2 -1 0 0 0 0]", "0", calculated.format(0), insulated, insulated, nothing),
        "alphat": ("[1 -1 -1 0 0 0 0]", "0", calculated.format(0), insulated, insulated, nothing),
        "s": ("[0 0 0 0 0 0 0]", "0", flows_out.format(0), insulated, insulated, smoky),
    }
    files = {}
    for name, (dimensions, initial, opening, floor, walls, burner) in fields.items():
        # Air that enters against the wind has neither its stagnation pressure nor its velocity.
        downwind = {"U": still, "p_rgh": outside(PRESSURE)}.get(name, opening)
        if scene.is_room:
            around = f'"(top|upwind|downwind|sides)" {{ {walls} }} door {{ {downwind} }}'
        else:
            around = f'"(top|upwind|sides)" {{ {opening} }} downwind {{ {downwind} }}'
        files[f"0/{name}"] = (
            f"dimensions {dimensions};\ninternalField uniform {initial};\n"
            f"boundaryField\n{{\n{around} floor {{ {floor} }} burner {{ {burner} }}\n}}"
        )
    return files
