"""What the demo prints."""

from io import StringIO

from rich.console import Console

from cli import demo_report


def test_messages_are_printed_as_they_stand_however_narrow_the_terminal() -> None:
    printed = StringIO()
    console = Console(file=printed, width=30)
    message = "  logs /a folder/[old] data/[red]and a long name/[/]" * 3
    demo_report.tell(console, message)
    assert printed.getvalue() == f"{message}\n"
