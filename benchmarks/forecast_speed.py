"""Frames forecast a second: code indices alone, and decoded to fields.

    python benchmarks/forecast_speed.py --config config/quickstart.yaml

All cases and ensemble members are one batch, as in the rule `forecast`. Baselines of the same run: the whole sequence
recomputed at each prediction instead of a key-value cache, and one token at a time instead of a frame.
"""

from dataclasses import asdict
from typing import Any

from report import add_device_options, claim_device, parser, print_table, write_json


def main() -> None:
    command = parser(__doc__)
    add_device_options(command)
    command.add_argument("--cases", type=int, help="forecasts in one batch; default: the configuration's")
    command.add_argument("--members", type=int, help="members of each; default: the configuration's")
    command.add_argument("--repeats", type=int, default=3, help="times that tokens are generated (median)")
    command.add_argument("--no-recompute", action="store_true", help="without the slow baseline that has no cache")
    arguments = command.parse_args()

    config, lease, about = claim_device(arguments)
    from rollouts import PREDICTIONS, time_forecasts

    cases = arguments.cases or config.data_set(config.data_sets[0]).test * len(config.forecast.starts)
    members = arguments.members or config.forecast.members
    print(f"{cases} cases, {members} members, {config.forecast.horizon} frames\n")
    rates, decoding = time_forecasts(config, lease, cases, members, arguments.repeats, not arguments.no_recompute)

    configured = rates[config.stage3.prediction]
    rows: list[tuple[Any, ...]] = []
    for name in sorted(PREDICTIONS, key=lambda name: name != config.stage3.prediction):
        rows.append((f"{name}, tokens", rates[name].cached, configured.cached))
        if rates[name].recomputed is not None:
            rows.append((f"{name}, tokens, without a cache", rates[name].recomputed, configured.cached))
        rows.append((f"{name}, tokens and fields", rates[name].decoded, configured.decoded))
    rows.append(("fields alone", decoding, configured.decoded))
    print_table(
        ("", "frames/s", "seconds", "time ratio", "peak MB"),
        [
            (name, rate.frames_per_second, rate.seconds, rate.seconds / to.seconds, rate.peak_mb)
            for name, rate, to in rows
        ],
    )
    print("Ratios: of tokens to the first row, of fields to tokens and fields.")
    for name, rate in rates.items():
        if rate.same_codes is not None:
            print(f"{name}: {rate.same_codes:.1%} of codes are the same without the cache, at temperature 0")
    whole = rates["next_token"].recomputed
    if whole is not None:  # as the method's release does
        faster = ", ".join(f"{whole.seconds / rate.cached.seconds:.1f} {name}" for name, rate in rates.items())
        print(f"Times as fast as token by token without a cache: {faster}")
    print(f"\nDecoding takes {decoding.seconds / (decoding.seconds + configured.cached.seconds):.0%} of a forecast.")
    found = {"predictions": {name: asdict(rate) for name, rate in rates.items()}, "fields": asdict(decoding)}
    write_json(arguments.json, {"machine": about, "cases": cases, "members": members, **found})


if __name__ == "__main__":
    main()
