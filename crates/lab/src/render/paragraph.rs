//! Paragraphs of the lab's own text.

use std::io;

use report::page::Page;
use report::words::{self, FAINT};

/// A word at the left, and a text beside it.
pub(crate) fn paragraph(word: &str, text: &str, out: &mut impl Page) -> io::Result<()> {
    const INDENT: usize = 12;
    let mut word = word;
    for line in words::wrap(text, out.prose_width() - INDENT) {
        writeln!(out, "  {FAINT}{word:<9}{FAINT:#} {line}")?;
        word = "";
    }
    Ok(())
}
