"""`larder report`: what a run achieved, for the terminal, as a page and as JSON."""

import click

from larder.contracts.settings import Settings


@click.command()
@click.pass_obj
def report(settings: Settings) -> None:
    """Show what the run achieved; write run_report.json and report.html.

    Gathers the results that train, promote, ask, verify and run left behind. Parts that no command has
    filled yet are named together with that command.
    """
    import msgspec
    from rich.console import Console

    from larder.contracts.reports import read_report
    from larder.whole_file import write_whole
    from monitoring.reports.console import print_report
    from monitoring.reports.page import page
    from monitoring.reports.run_report import STEPS, run_report

    results = {step: read_report(settings, step) for step in STEPS}
    content = run_report(results, at=settings.clock().isoformat())
    address = f"http://{settings.host}:{settings.port}"
    page_path = settings.state / "report.html"
    write_whole(settings.state / "run_report.json", msgspec.json.format(msgspec.json.encode(content), indent=1))
    write_whole(page_path, page(content, address=address).encode())
    print_report(content, Console(), address=address, page=page_path.as_uri())
