//! The page that text is written on: how wide it is.

use std::io::{self, Write};

use crate::words::{self, FAINT, HEADING};

/// The width of a page that nobody has measured: what a terminal has, if nobody has made it wider.
pub const USUAL_WIDTH: usize = 80;

/// Prose is not easier to read on longer lines.
const PROSE: usize = 80;

/// A writer that knows how many characters a line has room for.
pub trait Page: Write {
    /// The room in a line, in characters.
    fn width(&self) -> usize;

    /// The room in a line for sentences: that of the page, or as much as is read with ease.
    fn prose_width(&self) -> usize {
        self.width().min(PROSE)
    }
}

/// A heading, with what it means beside it.
pub(crate) fn heading(title: &str, meaning: &str, out: &mut impl Page) -> io::Result<()> {
    let is_beside = title.chars().count() + 2 + meaning.chars().count() <= out.width();
    if is_beside && !meaning.is_empty() {
        return writeln!(out, "{HEADING}{title}{HEADING:#}  {FAINT}{meaning}{FAINT:#}");
    }
    writeln!(out, "{HEADING}{title}{HEADING:#}")?;
    for line in words::wrap(meaning, out.width() - 2) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}

/// A page of a certain width, written by `W`.
#[derive(Clone, Debug)]
pub struct PageWriter<W> {
    out: W,
    width: usize,
}

impl<W> PageWriter<W> {
    /// A page of `width` characters a line.
    pub fn new(out: W, width: usize) -> Self {
        Self { out, width }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Write for PageWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Page for PageWriter<W> {
    fn width(&self) -> usize {
        self.width
    }
}

/// What is kept in memory has the usual width.
impl Page for Vec<u8> {
    fn width(&self) -> usize {
        USUAL_WIDTH
    }
}
