"""The `larder` command. Stages register their sub-commands as entry points; none is imported here."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points

import click
from rich.console import Console
from rich.markup import escape

from larder.contracts.errors import LarderError, first_line
from larder.contracts.settings import load_settings
from larder.contracts.use_case import place_in_use_case
from larder.extras import missing_extra
from larder.run import STEPS
from larder.status import status
from larder.versions.pins import checked_out

GROUP = "larder.commands"
FAILED, REFUSED = 1, 2
"""Exit codes: a defect of ours, and an error that the user can act on."""
_DISK_IS_FULL = (
    *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),  # the disk, a quota, a limit of the user's
    "database or disk is full",
    "disk I/O error",  # sqlite's, for a limit of the user's as for a broken disk
)
_NOT_ALLOWED = (*map(os.strerror, (errno.EROFS, errno.EACCES, errno.EPERM)), "attempt to write a readonly database")

_STAGES_ARE_ABSENT = (
    "Only the feature store is installed here; pipelines, training, serving and monitoring come with `make setup` in a "
    "checkout, or `pip install ./infra/stages` there."
)


class StageCommands(click.Group):
    """The commands of this module, and those that the store and installed stages registered."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        names = {*self.commands, *(entry.name for entry in entry_points(group=GROUP))}
        first = [name for name in ("run", *STEPS) if name in names]
        return first + sorted(names - set(first))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if own := super().get_command(ctx, cmd_name):
            return own
        found = entry_points(group=GROUP, name=cmd_name)
        return _loaded(next(iter(found))) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as problem:
            if "run" in self.list_commands(ctx):
                raise
            raise click.UsageError(f"{problem.message} {_STAGES_ARE_ABSENT}", ctx) from None


@click.group(
    cls=StageCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Settings are LARDER_* variables or lines of .env (see .env.example). "
    "Feast's own commands work as well: feast -c feature_repo apply | materialize-incremental | ui",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="larder")
@click.pass_context
def larder(ctx: click.Context, debug: bool) -> None:  # noqa: ARG001 - read by main()
    """Features on Delta Lake and Redis, declared in Feast; models in MLflow; online equals offline."""
    ctx.obj = load_settings()
    if held := checked_out(ctx.obj):
        Console(stderr=True).print(
            f"Retrievals read {len(held)} tables at checked out versions, not the latest; "
            "`larder data checkout --latest` ends that.",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )


larder.add_command(status)


def main() -> None:
    """Run the command; an error is one sentence on stderr, without a traceback unless `--debug` is given."""
    try:
        larder(standalone_mode=False)
    except LarderError as problem:
        _print_error(str(problem))
        sys.exit(REFUSED)
    except click.ClickException as problem:
        problem.show()
        sys.exit(REFUSED)
    except click.Abort:
        sys.exit(130)
    except Exception as problem:
        sys.exit(failed(problem))


def failed(problem: Exception) -> int:
    """Say what happened that nobody raised on purpose, and return the exit code. Also for processes of a command."""
    if place := _place(problem):
        _print_error(
            f"{place}: {type(problem).__name__}: {first_line(problem)}. Correct that file; "
            "`larder --debug ...` shows the way there."
        )
        return REFUSED
    if isinstance(problem, ModuleNotFoundError):
        remedy = missing_extra(problem) or f"needs {problem.name}, which is not installed. Install it."
        _print_error(f"This command {remedy}")
        return REFUSED
    if remedy := _remedy(problem):
        _print_error(remedy)
        return REFUSED
    if any(kind.__module__ == "feast.errors" for kind in type(problem).__mro__):
        _print_error(f"Feast refuses: {first_line(problem)}. Correct feature_store.yaml or the definitions beside it.")
        return REFUSED
    _print_error(
        f"Unexpected {type(problem).__name__}: {first_line(problem)}. This is a defect of Larder or of a library; "
        "run `larder --debug ...` for the traceback."
    )
    return FAILED


def _place(problem: Exception) -> str:
    with suppress(LarderError):
        return place_in_use_case(problem, load_settings())
    return ""


def _remedy(problem: Exception) -> str:
    """What helps where the machine is in the way; empty where it is not."""
    # Spark, Redis and sqlite report it as text inside errors of their own.
    said, seen = str(problem), first_line(problem)
    if any(text in said for text in _DISK_IS_FULL):
        return (
            f"The disk is full, or it fails ({seen}); what was committed before is kept. Free some space, or point "
            "LARDER_STATE and LARDER_LAKE to another disk, then run the same command again."
        )
    if any(text in said for text in _NOT_ALLOWED):
        return (
            f"This user may not read or write there ({seen}). Let it, or point LARDER_STATE and LARDER_LAKE to other "
            "folders, then run the same command again."
        )
    return ""


def _loaded(entry: EntryPoint) -> click.Command:
    """The command, or a stand-in that says what is missing, so that `--help` works without every extra."""
    try:
        command: click.Command = entry.load()
    except ModuleNotFoundError as problem:
        missing = problem

        def refuse(**_: object) -> None:
            raise missing

        return click.Command(entry.name, callback=refuse, short_help=f"(needs {problem.name}, not installed)")
    return command


def _print_error(message: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    Console(stderr=True).print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
