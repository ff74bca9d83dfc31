//! Aligned columns: measured as plain text, coloured afterwards.
//!
//! A column that no row fills drops out, header and all. Lines never end in spaces. A table that would
//! be too wide can be [narrowed](Table::narrowed): a cell then goes on below.

use std::io::{self, Write};

use anstyle::Style;

use crate::page::Page;
use crate::words::FAINT;

/// The content of one column in one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// Text at the left edge of its column.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A number, at the right edge of its column.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self { text: number.to_string(), right: true, ..Self::default() }
    }

    /// The text alone.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// An empty cell.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The same text in `style`.
    #[must_use]
    pub fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    /// The same text at the right edge of its column.
    #[must_use]
    pub fn right(self) -> Self {
        Self { right: true, ..self }
    }

    fn width(&self) -> usize {
        self.text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    fn height(&self) -> usize {
        self.text.lines().count()
    }

    /// The same text on lines no longer than `width`, as far as it has places to break.
    fn broken(self, width: usize, indent: &str) -> Self {
        Self { text: broken(&self.text, width, indent).join("\n"), ..self }
    }
}

/// Breaks `text` behind spaces, dots and underscores, and a name that is too long all the same before
/// its capitals. What goes on begins with `indent`.
fn broken(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let room = width.saturating_sub(indent.len());
    let parts = text.split_inclusive([' ', '.', '_']).flat_map(|part| match part.len() > room {
        true => capitalised(part),
        false => vec![part],
    });
    for part in parts {
        let is_begun = !line.trim().is_empty();
        if is_begun && line.chars().count() + part.trim_end().chars().count() > width {
            lines.push(line.trim_end().to_owned());
            line = indent.to_owned();
        }
        line.push_str(part);
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// `TcpExtTCPTimeWait` as `Tcp`, `Ext`, `TCPTime`, `Wait`.
fn capitalised(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut before = ' ';
    for (place, letter) in name.char_indices() {
        if letter.is_uppercase() && before.is_lowercase() {
            parts.extend(name.get(from..place));
            from = place;
        }
        before = letter;
    }
    parts.extend(name.get(from..));
    parts
}

/// Rows of `N` cells under a header.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<const N: usize> {
    header: [Cell; N],
    rows: Vec<[Cell; N]>,
    columns: [Column; N],
}

/// Where a column stands.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    /// Spaces before it.
    gap: usize,
    width: usize,
    /// True if any row has something to show in it.
    filled: bool,
}

impl<const N: usize> Table<N> {
    /// Lays out `rows` under `header`, no wider than they need: columns two spaces apart, the
    /// first one `indent` spaces in.
    #[must_use]
    pub fn new(indent: usize, header: [Cell; N], rows: Vec<[Cell; N]>) -> Self {
        let mut columns =
            header.each_ref().map(|title| Column { gap: 2, width: title.width(), filled: false });
        for row in &rows {
            for (column, cell) in columns.iter_mut().zip(row) {
                column.width = column.width.max(cell.width());
                column.filled |= !cell.text.is_empty();
            }
        }
        if let Some(first) = columns.iter_mut().find(|column| column.filled) {
            first.gap = indent;
        }
        Self { header, rows, columns }
    }

    /// Makes `column` (from 0) not narrower than `width`, so that several tables line up.
    #[must_use]
    pub fn at_least(mut self, column: usize, width: usize) -> Self {
        if let Some(column) = self.columns.get_mut(column) {
            column.width = column.width.max(width);
        }
        self
    }

    /// Puts `gap` spaces before `column` (from 0).
    #[must_use]
    pub fn gap_before(mut self, column: usize, gap: usize) -> Self {
        if let Some(column) = self.columns.get_mut(column) {
            column.gap = gap;
        }
        self
    }

    /// Makes the table no wider than `width`, if that can be done by breaking the titles, and then the
    /// texts of `column` (from 0), which keeps room for a word.
    #[must_use]
    pub fn narrowed(self, width: usize, column: usize) -> Self {
        const WORD: usize = 16;
        if self.width() <= width {
            return self;
        }
        let Self { header, mut rows, columns } = self;
        let first_gap = columns.iter().find(|column| column.filled).map_or(0, |first| first.gap);
        let widest = |rows: &[[Cell; N]], n: usize| rows.iter().map(|row| row[n].width()).max();
        let mut n = 0;
        let header = header.map(|title| {
            let words = title.text.split(' ').map(|word| word.chars().count());
            let room = words.max().max(widest(&rows, n)).unwrap_or(0);
            n += 1;
            if title.width() > room { title.broken(room, "") } else { title }
        });
        let titled = Self::new(first_gap, header, rows);
        let excess = titled.width().saturating_sub(width);
        let Self { header, rows: mut these, columns } = titled;
        if let Some(of) = columns.get(column).filter(|_| excess > 0) {
            let room = of.width.saturating_sub(excess).max(WORD);
            for row in &mut these {
                if let Some(cell) = row.get_mut(column) {
                    *cell = std::mem::take(cell).broken(room, "  ");
                }
            }
        }
        rows = these;
        Self::new(first_gap, header, rows)
    }

    /// Writes the table within the width of the page, if that can be done without the columns of
    /// `order` (from 0): each leaves in its turn, as many as have to, and below the table they are
    /// named.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_within(self, order: &[usize], out: &mut impl Page) -> io::Result<()> {
        let (table, left_out) = self.within(out.width(), order);
        table.write(out)?;
        if left_out.is_empty() {
            return Ok(());
        }
        let indent = table.columns.iter().find(|column| column.filled).map_or(0, |first| first.gap);
        let said = format!("left out for want of room: {}", left_out.join(", "));
        for line in crate::words::wrap(&said, out.width().saturating_sub(indent)) {
            writeln!(out, "{:indent$}{FAINT}{line}{FAINT:#}", "")?;
        }
        Ok(())
    }

    /// Leaves out columns of `order`, one after the other, until the table is no wider than `width`.
    /// Returns the titles of those that had something to show.
    #[must_use]
    pub fn within(mut self, width: usize, order: &[usize]) -> (Self, Vec<String>) {
        let mut left_out = Vec::new();
        for &leaving in order {
            if self.width() <= width {
                break;
            }
            let first = self.columns.iter().position(|column| column.filled);
            let Some(column) = self.columns.get_mut(leaving).filter(|column| column.filled) else {
                continue;
            };
            column.filled = false;
            let gap = column.gap;
            left_out.push(self.header[leaving].text.replace('\n', " "));
            let next = self.columns.iter_mut().find(|column| column.filled);
            if let Some(next) = next.filter(|_| first == Some(leaving)) {
                next.gap = gap; // the indent of the whole
            }
        }
        (self, left_out)
    }

    /// How wide its widest line may be.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.iter().filter(|c| c.filled).map(|c| c.gap + c.width).sum()
    }

    /// Writes the header and the rows.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.header(out)?;
        self.write_rows(out)
    }

    /// Writes the rows alone.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_rows(&self, out: &mut impl Write) -> io::Result<()> {
        self.rows.iter().try_for_each(|row| self.line(row, out))
    }

    /// Writes the header, and each row below the lines of `above` that belong to it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_below(&self, above: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
        self.header(out)?;
        for (row, above) in self.rows.iter().zip(above) {
            above.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            self.line(row, out)?;
        }
        Ok(())
    }

    /// Titles stand right above their columns, so the shorter ones begin lower.
    fn header(&self, out: &mut impl Write) -> io::Result<()> {
        let height = self.header.iter().map(Cell::height).max().unwrap_or(0);
        (0..height).try_for_each(|n| {
            let line = |cell: &Cell| (n + cell.height()).checked_sub(height);
            self.physical_line(&self.header, line, out)
        })
    }

    fn line(&self, cells: &[Cell; N], out: &mut impl Write) -> io::Result<()> {
        let height = cells.iter().map(Cell::height).max().unwrap_or(0).max(1);
        (0..height).try_for_each(|n| self.physical_line(cells, |_| Some(n), out))
    }

    /// Writes that line of each cell which `which` chooses.
    fn physical_line(
        &self,
        cells: &[Cell; N],
        which: impl Fn(&Cell) -> Option<usize>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut due = 0; // spaces, written as soon as something follows them
        for (column, cell) in self.columns.iter().zip(cells).filter(|(column, _)| column.filled) {
            let text = which(cell).and_then(|n| cell.text.lines().nth(n)).unwrap_or_default();
            let padding = column.width.saturating_sub(text.chars().count());
            let (before, after) = if cell.right { (padding, 0) } else { (0, padding) };
            due += column.gap + before;
            if !text.is_empty() {
                let style = cell.style;
                write!(out, "{:due$}{style}{text}{style:#}", "")?;
                due = 0;
            }
            // An empty cell is all padding, wherever it would stand.
            due += after;
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<const N: usize>(table: &Table<N>) -> String {
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_column_that_no_row_fills_drops_out() {
        let header = ["NAME", "NOTHING", "COUNT"].map(Cell::new);
        let rows = vec![
            [Cell::new("a"), Cell::empty(), Cell::number(5)],
            [Cell::new("long one"), Cell::empty(), Cell::number(1_234_567)],
        ];
        let table = Table::new(2, header, rows);
        insta::assert_snapshot!(written(&table), @r"
        NAME      COUNT
        a               5
        long one  1234567
        ");
        assert_eq!(table.width(), "  long one  1234567".len());
    }

    #[test]
    fn a_table_that_is_too_wide_breaks_its_titles_first_and_then_one_column() {
        let table = || {
            let header = [Cell::new("CASE"), Cell::new("WHAT"), Cell::new("MS TO ACCEPT").right()];
            let rows = vec![
                [
                    Cell::new("64 KiB"),
                    Cell::new("after.client.time_wait + closed"),
                    Cell::number(7),
                ],
                [Cell::empty(), Cell::new("opened"), Cell::number(1000)],
            ];
            Table::new(2, header, rows)
        };
        assert_eq!(table().narrowed(80, 1), table());
        insta::assert_snapshot!(written(&table().narrowed(52, 1)), @r"
                                                  MS TO
        CASE    WHAT                             ACCEPT
        64 KiB  after.client.time_wait + closed       7
                opened                             1000
        ");
        insta::assert_snapshot!(written(&table().narrowed(38, 1)), @r"
                                     MS TO
        CASE    WHAT                ACCEPT
        64 KiB  after.client.time_       7
                  wait + closed
                opened                1000
        ");
        assert!(table().narrowed(38, 1).width() <= 38);
    }

    #[test]
    fn columns_leave_in_their_order_until_the_table_fits_and_are_named() {
        let table = || {
            let header = ["CONN", "CLIENT", "TIMER"].map(Cell::new);
            Table::new(2, header, vec![["#1", "127.0.0.1:40001", "keepalive 20 s"].map(Cell::new)])
        };
        let on_page = |width| {
            let mut page = crate::page::PageWriter::new(Vec::new(), width);
            table().write_within(&[2, 0], &mut page).unwrap();
            let mut plain = anstream::StripStream::new(Vec::new());
            plain.write_all(&page.into_inner()).unwrap();
            String::from_utf8(plain.into_inner()).unwrap()
        };
        assert_eq!(on_page(80), written(&table()));
        insta::assert_snapshot!(on_page(38), @r"
        CONN  CLIENT
        #1    127.0.0.1:40001
        left out for want of room: TIMER
        ");
        insta::assert_snapshot!(on_page(18), @r"
        CLIENT
        127.0.0.1:40001
        left out for
        want of room:
        TIMER, CONN
        ");
    }

    #[test]
    fn a_number_stands_at_the_right_edge_even_after_an_empty_cell() {
        let header = [Cell::new("A"), Cell::new("B").right(), Cell::new("C")];
        let rows = vec![
            [Cell::new("x"), Cell::empty(), Cell::new("after an empty number")],
            [Cell::empty(), Cell::number(12345), Cell::new("after a number")],
        ];
        insta::assert_snapshot!(written(&Table::new(0, header, rows)), @r"
        A      B  C
        x         after an empty number
           12345  after a number
        ");
    }

    #[test]
    fn colours_move_no_column_and_no_line_ends_in_spaces() {
        let header = || ["A", "B", "C"].map(Cell::new);
        let plain = vec![
            [Cell::new("x"), Cell::new("yy"), Cell::empty()],
            [Cell::new("xxx"), Cell::empty(), Cell::new("z")],
        ];
        let bold = Style::new().bold();
        let coloured = plain.iter().cloned().map(|row| row.map(|cell| cell.styled(bold))).collect();

        let plain = written(&Table::new(2, header(), plain));
        assert!(plain.lines().all(|line| line.trim_end() == line), "{plain:?}");
        let mut stripped = anstream::StripStream::new(Vec::new());
        stripped.write_all(written(&Table::new(2, header(), coloured)).as_bytes()).unwrap();
        assert_eq!(String::from_utf8(stripped.into_inner()).unwrap(), plain);
    }
}
