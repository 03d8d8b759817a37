"""Words to one workflow call each; the only reader of environment variables."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; errors that a person can mend are told without a traceback.

    Exit status: 0 done, 1 some cases failed, 2 a mistake that a person can mend, 130 stopped.
    """
    from scanwright.cli.app import app

    debug = "--debug" in sys.argv or os.environ.get("SCANWRIGHT_DEBUG", "") not in ("", "0")
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        app(prog_name="scanwright")
    except KeyboardInterrupt:
        _tell_error("Stopped. What was finished is kept. Type the same command again to go on.")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from scanwright.core.errors import ScanwrightError

        if debug:
            raise
        if isinstance(error, ScanwrightError):
            _tell_error(str(error))
            sys.exit(2)
        _tell_error(
            f"Something went wrong inside Scanwright: {type(error).__name__}: {error}. "
            "What was finished is kept. Type the command again with --debug to see where, and report it."
        )
        sys.exit(3)


def _tell_error(text: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]Error:[/] {escape(text)}")
