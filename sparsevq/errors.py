"""The one exception that a user's mistake raises: one line that says what is wrong, where, and what to do."""


class SparseVQError(Exception):
    """A fault that the user can fix (bad input, wrong configuration, missing file); never a bug of ours.

    Whoever starts a program (the command line, a workflow script) prints ``str(error)`` on one line and exits
    with status 1; a traceback is kept for bugs.

    Parameters
    ----------
    what
        What is wrong, and where: name the file, the key or the line, and the value found.
    do
        What to do about it, as a short imperative sentence.
    """

    def __init__(self, what: str, do: str = ""):
        message = what.strip().rstrip(".")
        if do:
            message += ": " + do.strip().rstrip(".")
        shown = "".join(
            letter if letter.isprintable() else " " for letter in message
        )  # names in files may hold anything
        super().__init__(" ".join(shown.split()) + ".")
