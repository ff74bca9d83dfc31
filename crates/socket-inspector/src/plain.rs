//! A report as it is read, for tests: without colours, on a page of a certain width, no line ending in
//! spaces.

use std::io::{self, Write};

use report::page::PageWriter;

/// Returns what `write` writes, without its colours; every line is held against `width`.
pub(crate) fn plain(
    width: usize,
    write: impl FnOnce(&mut PageWriter<Vec<u8>>) -> io::Result<()>,
) -> String {
    let mut coloured = PageWriter::new(Vec::new(), width);
    write(&mut coloured).unwrap();
    let mut plain = anstream::StripStream::new(Vec::new());
    plain.write_all(&coloured.into_inner()).unwrap();
    let plain = String::from_utf8(plain.into_inner()).unwrap();
    for line in plain.lines() {
        assert!(line.chars().count() <= width && line.trim_end() == line, "{line}");
    }
    plain
}
