"""Frames forecast a second: code indices alone, and decoded to fields.

    python benchmarks/forecast_speed.py --config config/quickstart.yaml

All cases and ensemble members are one batch, as in the rule `forecast`. Beside it stand baselines of the same run: the
whole sequence computed anew for all that is predicted instead of a key-value cache, and one token at a time instead of
a frame.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from report import REPOSITORY, machine, print_machine, print_table, write_json

from sparsevq.config import load
from sparsevq.runtime.devices.device import claim_devices, set_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=REPOSITORY / "config/quickstart.yaml")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--cases", type=int, help="forecasts in one batch; default: the configuration's")
    parser.add_argument("--repeats", type=int, default=3, help="times that tokens are generated; the median counts")
    parser.add_argument("--no-recompute", action="store_true", help="without the slow baseline that has no cache")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()

    about = machine()
    config = load(arguments.config)
    set_threads(arguments.threads)  # OpenMP reads its variables once, when torch is imported
    lease = claim_devices(arguments.device)
    import torch
    from rollouts import PREDICTIONS, time_forecasts

    about |= {"torch": torch.__version__, "threads": arguments.threads, "config": arguments.config.name}
    about["device"] = torch.cuda.get_device_name() if lease.kind == "cuda" and torch.cuda.is_available() else "cpu"
    print_machine(about)
    cases = arguments.cases or config.data_set(config.data_sets[0]).test * len(config.forecast.starts)
    print(f"{cases} cases, {config.forecast.members} members, {config.forecast.horizon} frames\n")
    rates, decoding = time_forecasts(config, lease, arguments.cases, arguments.repeats, not arguments.no_recompute)

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
    print(f"\nDecoding takes {decoding.seconds / (decoding.seconds + configured.cached.seconds):.0%} of a forecast.")
    content = {name: asdict(rate) for name, rate in rates.items()}
    write_json(arguments.json, {"machine": about, "cases": cases, "predictions": content, "fields": asdict(decoding)})


if __name__ == "__main__":
    main()
