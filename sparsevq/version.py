"""The version of this package, which every file that it writes carries."""

VERSION = "0.1.0"
