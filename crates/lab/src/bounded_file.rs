//! Files that somebody names, read up to a size: `/dev/zero` has no end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use evidence::ByteCount;

/// Reads the whole file at `path`.
///
/// # Errors
/// Those of the system; and if it has more than `most` bytes, of which no more are read.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let because = format!("it has more than {}", ByteCount(most));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, because));
    }
    Ok(bytes)
}

/// Reads the whole file at `path` as text.
///
/// # Errors
/// Those of [`read`]; and if it is no UTF-8.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_read_up_to_the_bound() {
        let path = Path::new("/dev/zero");
        if path.exists() {
            assert_eq!(read(path, 1 << 20).unwrap_err().to_string(), "it has more than 1 MiB");
        }
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let size = own.metadata().unwrap().len();
        assert_eq!(read(&own, size).unwrap().len() as u64, size);
        assert!(read(&own, size - 1).is_err());
        assert!(read_text(&own, size).unwrap().contains("name = \"lab\""));
    }
}
