"""The command `sparsevq`."""

import atexit
import gc
import io
import os
import signal
import sys
from collections.abc import Sequence

from sparsevq.cli.data import add_data
from sparsevq.cli.deliver import add_deliver
from sparsevq.cli.demo import add_demo
from sparsevq.cli.explore import add_explore
from sparsevq.cli.flags import HelpFormatter, Parser
from sparsevq.cli.forecast import add_forecast
from sparsevq.cli.info import add_info
from sparsevq.cli.pack import add_pack
from sparsevq.cli.place import add_place
from sparsevq.cli.train import add_train
from sparsevq.errors import SparseVQError
from sparsevq.version import VERSION

DESCRIPTION = "Forecast a whole flow field from a few sensors in one frame, by a GPT over quantized latents."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    0: done; 1: something that was given is faulty (one line on the standard error says what, and what to do); 2: wrong
    usage; 130: interrupted; 141: nobody reads what it prints. A traceback is a bug.
    """
    for stream in (sys.stdout, sys.stderr):  # names and units that the terminal's encoding lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    atexit.register(gc.freeze)  # else half a second of garbage collection at exit
    given = list(sys.argv[1:] if argv is None else argv)
    args, unknown = make_parser().parse_known_args(given)
    if unknown:
        args.parser.unknown(unknown)
    try:
        args.run(args, given)
        sys.stdout.flush()
    except SparseVQError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of processes that train together, only the first prints
            print(f"{args.parser.prog}: error: {error}", file=sys.stderr, flush=True)
        return 1
    except BrokenPipeError:  # whoever read (`| head`) has enough; the interpreter must not try to write the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print(f"{args.parser.prog}: interrupted", file=sys.stderr, flush=True)
        return 130
    return 0


def make_parser() -> Parser:
    """The parser of the command and of its parts."""
    parser = Parser(prog="sparsevq", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("--version", action="version", version=f"sparsevq {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    add_demo(commands)
    add_data(commands)
    add_train(commands)
    add_forecast(commands)
    add_explore(commands)
    add_info(commands)
    add_pack(commands)
    add_place(commands)
    add_deliver(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
