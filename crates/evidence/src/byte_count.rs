//! A number of bytes, as people write it and read it.

use std::fmt;
use std::str::FromStr;

/// A number of bytes that prints itself for people: `11 B`, `64 KiB`, `1.5 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let text = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
            .into_iter()
            .map(|(unit, shift)| (unit, 1_u64 << shift))
            .find(|(_, size)| bytes >= *size)
            .map_or_else(
                || format!("{bytes} B"),
                |(unit, size)| {
                    if bytes.is_multiple_of(size) {
                        format!("{} {unit}", bytes / size)
                    } else {
                        format!("{:.1} {unit}", bytes as f64 / size as f64)
                    }
                },
            );
        f.pad(&text)
    }
}

/// A text that is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoByteCount(String);

impl fmt::Display for NoByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no number of bytes, as in 11, 64KiB or 1MiB", self.0)
    }
}

impl std::error::Error for NoByteCount {}

impl FromStr for ByteCount {
    type Err = NoByteCount;

    /// Reads `11`, `64KiB`, `1MiB`, `10GiB`; also `64kB` for 64,000 bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || NoByteCount(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            _ => return Err(bad()),
        };
        number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).map(Self).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_are_read_in_any_usual_spelling() {
        for (text, bytes) in
            [("11", 11), ("64KiB", 65_536), ("64 kib", 65_536), ("64kB", 64_000), ("1m", 1 << 20)]
        {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5MiB", "1TiBs", "99999999999999999999", "99999999999GiB"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn byte_counts_are_printed_in_the_largest_unit_that_fits() {
        for (bytes, text) in
            [(11, "11 B"), (65_536, "64 KiB"), (1 << 20, "1 MiB"), (300_000, "293.0 KiB")]
        {
            assert_eq!(ByteCount(bytes).to_string(), text);
        }
    }
}
