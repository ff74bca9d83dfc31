//! How many bytes a process has moved through its end of a connection, as far as that is known.

/// A number of bytes, as well as its witness knows it: this many, or this many and perhaps more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteAmount {
    pub(crate) least: u64,
    /// True if it is known that there were no more.
    pub(crate) exact: bool,
}

impl ByteAmount {
    /// Returns true if it says anything: "0 B or more" does not.
    pub(crate) fn tells(self) -> bool {
        self.exact || self.least > 0
    }

    /// The most that there can have been; `None` if nobody knows.
    pub(crate) fn most(self) -> Option<u64> {
        self.exact.then_some(self.least)
    }
}

/// The doings of the processes that hold one end.
///
/// Written is what they have handed to the kernel, read is what they have taken from it: a body
/// that arrived and that nobody took is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndBytes {
    pub(crate) wrote: ByteAmount,
    pub(crate) read: ByteAmount,
}

impl EndBytes {
    /// At least so many bytes.
    pub(crate) fn at_least(wrote: u64, read: u64) -> Self {
        let amount = |least| ByteAmount { least, exact: false };
        Self { wrote: amount(wrote), read: amount(read) }
    }

    /// Returns what two readings of the same end say together, neither of them exact.
    pub(crate) fn at_least_both(self, other: Self) -> Self {
        let wrote = self.wrote.least.max(other.wrote.least);
        Self::at_least(wrote, self.read.least.max(other.read.least))
    }
}
