"""Prints tables row by row as they come to be, as aligned text or as Markdown."""

from dataclasses import dataclass


@dataclass
class Column:
    """A heading, and how many characters its cells have in text; a left-hand one is a label, others are figures."""

    heading: str
    width: int
    is_label: bool = False


class Table:
    """One table; its heading is printed with the first row."""

    def __init__(self, columns, markdown):
        self.columns, self.markdown, self.begun = columns, markdown, False

    def row(self, *cells):
        if not self.begun:
            self.begun = True
            self.line([column.heading for column in self.columns])
            if self.markdown:
                print("|" + "|".join("---" if column.is_label else "--:" for column in self.columns) + "|")
        self.line(cells)

    def line(self, cells):
        if self.markdown:
            print("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |", flush=True)
            return
        aligned = (
            cell.ljust(column.width) if column.is_label else cell.rjust(column.width)
            for column, cell in zip(self.columns, cells)
        )
        print("  ".join(aligned).rstrip(), flush=True)

    def end(self):
        if self.begun:
            print(flush=True)


def note(text, markdown):
    """A line of text between tables: a list item in Markdown."""
    print(f"* {text}" if markdown else text, flush=True)
