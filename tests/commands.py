"""The commands, programs and configurations in Markdown files, and how a test does each of them.

Whoever writes a command into README.md or docs/ has it run by `tests/workflow/test_commands.py`. What cannot be run in
a test is in `EXCEPTIONS`, with the reason; nothing is skipped otherwise.
"""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHELL = ("sh", "bash", "shell", "console")

IN_PLACE_OF = {
    "results/quickstart/cylinder/n20/seed1": "results/miniature/cylinder/n8/seed1",
    "results/quickstart": "results/miniature",
    "models:/quickstart-cylinder": "models:/miniature-cylinder",
    "@n20-seed1": "@n8-seed1",
}
"""What `make quickstart` makes -> the same of the miniature (tests/config/miniature.yaml), which tests have instead."""

EXCEPTIONS = {
    "source .venv/bin/activate": "changes the shell that it is typed into, and nothing else",
    "pip install --no-deps iris-sample-data": "installs from the network; requirements-test-data.lock has it for tests",
    "pip install -e": "installs from the network; what is installed so is what all tests run with",
    "conda env create": "installs from the network; tests/runtime has a test of environment.yml against the lock file",
    "sparsevq train --gpu 0,1 --data cylinder": "abridged; tests/cli/test_train.py runs the published commands whole",
    "sparsevq demo": "a release brings models; tests/cli/test_demo.py makes one and forecasts with it",
    "python tests/slurm/cluster.py start": "sets up SLURM on the machine, as root; the tests in tests/slurm do it",
    "served/bin/": "is of the environment that the command before makes; tests/serving/test_served.py makes one so",
    "mlflow models serve": "makes an environment from the network; tests/serving/test_served.py serves a model without",
    "curl": "asks what is served by the command before; tests/serving/test_served.py asks the same way",
    "mlflow server": "serves other machines; tests/servers/postgres_mlflow.py starts one, to which a test logs",
    "export MLFLOW_TRACKING_URI": "changes the shell that it is typed into; the tests of tracking set it",
    "initdb": "makes a database server; tests/servers/postgres_mlflow.py does it, to which a test logs",
    "pg_ctl": "starts or ends a database server, as `initdb`",
    "createdb": "makes a database, as `initdb`",
}
"""Beginning of a command -> why no test runs it as it stands."""


@dataclass(frozen=True)
class Block:
    """A block of code in a Markdown file.

    Attributes
    ----------
    document, line
        Path in the repository, and the line of its first line.
    language
        As the fence says; ``sh`` of an indented block.
    text
        Without the indentation.
    """

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command for a shell, continued lines put together, comments left out."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line} {self.text[:50]}"

    @property
    def exception(self) -> str | None:
        """Why it is not run; None: it is."""
        return next((why for begin, why in EXCEPTIONS.items() if self.text.startswith(begin)), None)

    @property
    def is_server(self) -> bool:
        """Whether it goes on until it is stopped."""
        return self.text.startswith("mlflow ui")

    def as_run(self, finished: Path, port: int = 0) -> str:
        """What a test runs for it, where the results of `IN_PLACE_OF` are below the folder `finished`.

        Commands of make and Snakemake are planned (`-n`), which finds configurations and rules that there are not: the
        miniature's workflow is run whole by test_end_to_end.py. The report is made, of the miniature.
        """
        text = in_place(self.text)
        if text.startswith("make "):
            return text.replace("make ", "make -n ", 1)
        if text.startswith("snakemake ") and " --report " in text:
            config = re.sub(r"--configfile \S+", f"--configfile {REPOSITORY}/tests/config/miniature.yaml", text)
            return f"{config} --directory {finished} --cores 1"
        if text.startswith("snakemake ") and " -n" not in text:
            return f"{text} -n"
        return f"{text} --port {port}" if self.is_server else text


def in_place(text: str) -> str:
    """A text with the miniature's results in place of those of `make quickstart`."""
    for quick, small in IN_PLACE_OF.items():
        text = text.replace(quick, small)
    return text


def blocks_of(document: str) -> Iterator[Block]:
    """The blocks of code of a Markdown file (a path in the repository), fenced or indented."""
    lines = (REPOSITORY / document).read_text().splitlines()
    number = 0
    while number < len(lines):
        fence = re.fullmatch(r"(`{3,}|~{3,})\s*(\S*).*", lines[number])
        indented = lines[number].startswith("    ") and (number == 0 or not lines[number - 1].strip())
        if not (fence or indented):
            number += 1
            continue
        first = number + bool(fence)
        end = first
        while end < len(lines) and not (fence and lines[end].startswith(fence[1])):
            if not fence and lines[end].strip() and not lines[end].startswith("    "):
                break
            end += 1
        text = textwrap.dedent("\n".join(lines[first:end])).rstrip()
        yield Block(document, first + 1, fence[2] if fence else "sh", text)
        number = end + bool(fence)


def commands_of(document: str) -> Iterator[Command]:
    """The shell commands of a Markdown file, one by one."""
    for block in blocks_of(document):
        if block.language not in SHELL:
            continue
        begun, at = "", block.line
        for number, line in enumerate(block.text.splitlines(), start=block.line):
            line = re.sub(r"(^|\s)#.*", "", line).rstrip().removeprefix("$ ")
            at = at if begun else number
            begun = f"{begun} {line.strip()}".strip()
            if begun.endswith("\\") or _quote_is_open(begun):
                begun = begun.removesuffix("\\").rstrip()
                continue
            if begun:
                yield Command(document, at, begun)
            begun = ""


def _quote_is_open(text: str) -> bool:
    try:
        shlex.split(text.removesuffix("\\"))
    except ValueError:
        return True
    return False


def files_named_in(document: str) -> Iterator[tuple[str, Path]]:
    """Links of a Markdown file into the repository, and paths in code that begin with one of its folders."""
    text = (REPOSITORY / document).read_text()
    folders = ("config", "docs", "benchmarks", "sparsevq", "tests", "profiles", "workflow")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target, (REPOSITORY / document).parent / target
    for code in re.findall(r"`([^`\n]+)`", text):
        for word in re.findall(rf"(?<![\w/.-])(?:{'|'.join(folders)})/[\w./*-]*", code):
            yield word, REPOSITORY / word.rstrip(".")
