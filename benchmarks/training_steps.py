"""Seconds of a training step of every stage, and whether training waits for its data.

    python benchmarks/training_steps.py --config config/quickstart.yaml

Runs the stages' own code at the configuration's sizes, on synthetic fields of the data set's shape. A step is split
into drawing the batch, forward and backward, and the optimizer. Baselines of the same run: the other precision,
attention without the fused kernel, a batch that is gathered frame by frame, and on the CPU attention in bf16.
"""

from dataclasses import asdict

from report import add_device_options, claim_device, parser, print_table, write_json

STAGES = ("semi_sparse", "sparse", "tokenizer", "gpt")


def main() -> None:
    command = parser(__doc__)
    add_device_options(command)
    command.add_argument("--steps", type=int, default=20, help="steps to time, of each stage and variant")
    command.add_argument("--rounds", type=int, default=2, help="turns in which the variants share them")
    command.add_argument(
        "--trajectories", type=int, help="trajectories of the synthetic data; default: the configuration's"
    )
    command.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="which to time")
    arguments = command.parse_args()

    config, lease, about = claim_device(arguments)
    from steps import time_stages

    found = []
    rounds = min(arguments.rounds, arguments.steps)
    for stage in time_stages(config, lease, arguments.steps, rounds, arguments.trajectories, arguments.stages):
        found.append(stage)
        configured = next(iter(stage.variants.values()))
        print(f"\n{stage.name}: {stage.parameters / 1e6:.2f} M parameters, {stage.batch}")
        print_table(
            ("", "ms a step", "ratio", "draw", "forward, backward", "optimizer", "share of draw"),
            [
                (
                    name,
                    1e3 * t.step,
                    t.step / configured.step,
                    1e3 * t.draw,
                    1e3 * t.model,
                    1e3 * t.optimizer,
                    t.draw_share,
                )
                for name, t in stage.variants.items()
            ],
        )
        print(
            f"peak memory {stage.peak_mb:.0f} MB; a validation takes {stage.validation_seconds:.3g} s, "
            f"as long as {stage.validation_seconds / configured.step:.3g} of the {stage.val_every} steps between two"
        )
    shares = {stage.name: next(iter(stage.variants.values())).draw_share for stage in found}
    most = max(shares, key=shares.__getitem__)
    print(f"\nDrawing the batch takes at most {shares[most]:.1%} of a step ({most}).")
    write_json(arguments.json, {"machine": about, "stages": [asdict(stage) for stage in found]})


if __name__ == "__main__":
    main()
