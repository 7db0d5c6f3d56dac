"""Tables of layers: text that fits the terminal, HTML for a notebook, Markdown, CSV and plain data."""

import csv
import html
import io
import re
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from minicnn.errors import StateError

PIPE = 120  # columns of text where there is no terminal
GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column: which field of a row it shows, under which title, and how the field becomes text.

    Numbers (`right`) stand at the right, so that digits of one weight stand below each other. Where the table has to be
    cut, a column that `opens` is a good one to begin with.
    """

    field: str
    title: str
    show: Callable = str
    right: bool = False
    opens: bool = False


class Table:
    """Base of what is a table: `rows` with the fields that `columns` name, a heading, and notes beneath.

    It prints as text that fits the terminal, and shows as HTML that fits a notebook. What is too wide is cut into blocks
    of columns below each other, each beginning with the first column; nothing is left out.

    Examples
    --------
    >>> from minicnn import Conv2d, trace
    >>> t = trace(Conv2d(3, 4, 3), (1, 3, 8, 8))
    >>> print(t.to_csv().splitlines()[0][:30])
    name,type,settings,input_shape
    """

    columns = ()

    def heading(self):
        """A line above the table."""
        return ""

    def notes(self):
        """Lines beneath the table."""
        return ()

    def __getitem__(self, name):
        """The row of the layer called `name`."""
        for row in self.rows:
            if row.name == name:
                return row
        raise StateError(f"no layer {name!r} in the table: it has {', '.join(row.name for row in self.rows)}")

    def _cells(self):
        return [[column.show(getattr(row, column.field)) for column in self.columns] for row in self.rows]

    def to_text(self, width=None):
        """The table as text of at most `width` columns; by default those of the terminal, or 120 where there is none."""
        width = width or shutil.get_terminal_size((PIPE, 24)).columns
        body = self._cells()
        widths = self._widths(body)
        blocks = [self._block(body, widths, block) for block in self._blocks(widths, width)]
        notes = [_wrap(note, width) for note in self.notes()]
        return "\n".join([*filter(None, [_wrap(self.heading(), width)]), *blocks, *notes])

    def _widths(self, body):
        return [max(map(len, cells)) for cells in zip([column.title for column in self.columns], *body)]

    def _blocks(self, widths, width):
        """Numbers of the columns of each block; cut where columns open, unless that takes more blocks."""
        openings = {i for i, column in enumerate(self.columns) if column.opens}
        dense, cut = _fill(widths, width), _fill(widths, width, openings)
        return cut if 1 < len(dense) >= len(cut) else dense

    def _block(self, body, widths, block):
        """The lines of the columns numbered in `block`, between rules."""
        lines = [GAP.join(cells[i].rjust(widths[i]) if self.columns[i].right else cells[i].ljust(widths[i])
                          for i in block).rstrip() for cells in [[column.title for column in self.columns], *body]]
        rule = "─" * (sum(widths[i] for i in block) + len(GAP) * (len(block) - 1))
        return "\n".join([lines[0], rule, *lines[1:], rule])

    def __str__(self):
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self):
        body = self._cells()
        paragraphs = [f"<p>{html.escape(line)}</p>" if line else "" for line in (self.heading(), *self.notes())]
        tables = [self._html_block(body, block) for block in self._blocks(self._widths(body), PIPE)]
        return "".join([paragraphs[0], *tables, *paragraphs[1:]])

    def _html_block(self, body, block):
        """A table of the columns numbered in `block`."""
        columns = [self.columns[i] for i in block]
        head = "".join(_html_cell("th", column, column.title) for column in columns)
        rows = ("".join(_html_cell("td", self.columns[i], cells[i]) for i in block) for cells in body)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"

    def to_markdown(self):
        """The table in GitHub's Markdown; heading and notes are paragraphs."""
        lines = [[column.title for column in self.columns], ["--:" if column.right else ":--" for column in self.columns],
                 *self._cells()]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)
        return "\n\n".join([*filter(None, [self.heading()]), table, *self.notes()])

    def to_csv(self):
        """The rows as CSV, under the names of their fields; numbers in full, several in one cell as 1×3×227×227."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(column.field for column in self.columns)
        writer.writerows([_plain(getattr(row, column.field)) for column in self.columns] for row in self.rows)
        return text.getvalue()

    def to_dict(self):
        """{"rows": [{"name": "conv1", …}, …]}: lists, dicts, texts and numbers alone, so that JSON takes it."""
        return {"rows": [{column.field: _listed(getattr(row, column.field)) for column in self.columns}
                         for row in self.rows]}


def _fill(widths, width, openings=()):
    """Numbers of the columns in each block: as many as fit, the first one in all; a column in `openings` begins one."""
    blocks, taken = [[0]], widths[0]
    for i in range(1, len(widths)):
        if len(blocks[-1]) > 1 and (i in openings or taken + len(GAP) + widths[i] > width):
            blocks.append([0])
            taken = widths[0]
        blocks[-1].append(i)
        taken += len(GAP) + widths[i]
    return blocks


def _wrap(note, width):
    """Lines of at most `width` characters; a number and its unit stay together."""
    whole = re.sub(r"(\d) (\w*B)\b", "\\1\u00a0\\2", note)  # no-break spaces, where no line ends
    return textwrap.fill(whole, width, subsequent_indent=GAP).replace("\u00a0", " ")


def _html_cell(tag, column, text):
    side = "right" if column.right else "left"
    return f'<{tag} style="text-align:{side};white-space:nowrap">{html.escape(text)}</{tag}>'


def _plain(value):
    return product(value) if isinstance(value, tuple) else value


def _listed(value):
    return list(value) if isinstance(value, tuple) else value


def product(sizes):
    """
    >>> product((96, 55, 55)), product(4)
    ('96×55×55', '4')
    """
    return "×".join(map(str, sizes)) if isinstance(sizes, tuple) else str(sizes)


def count(number):
    """A whole number with commas; none for 0, so that a column shows where something is."""
    return f"{number:,}" if number else ""


def size(number):
    """
    >>> size(0), size(1000), size(1536), size(3 * 2**30)
    ('', '1000 B', '1.5 KiB', '3.0 GiB')
    """
    if number < 1024:
        return f"{number} B" if number else ""
    for unit in ("KiB", "MiB", "GiB"):
        number /= 1024
        if number < 1024 or unit == "GiB":
            return f"{number:,.1f} {unit}"


def number(value):
    """
    >>> number(None), number(0.0), number(-1234.5), number(0.02134), number(2e-7)
    ('', '0', '-1.23e+03', '0.0213', '2e-07')
    """
    return "" if value is None else f"{value:.3g}"


def share(value):
    """
    >>> share(None), share(0.0), share(0.524)
    ('', '', '52%')
    """
    return f"{value:.0%}" if value else ""
