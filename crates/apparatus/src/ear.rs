//! The packets that a command line asks for: heard in a private network, and written to a file.
//!
//! | idea | file |
//! |---|---|
//! | where they are heard, and what becomes of them (cargo feature `packets`) | `ear/hearing.rs` |
//! | a program that is built without | `ear/without.rs` |

use std::path::PathBuf;

#[cfg(feature = "packets")]
mod hearing;
#[cfg(not(feature = "packets"))]
#[path = "ear/without.rs"]
mod hearing;

pub use hearing::PacketEar;
#[cfg(feature = "packets")]
pub use hearing::PacketFile;

/// Why the packets that were asked for are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum EarError {
    /// This program was built without.
    #[error("this {program} is built without packets; type: {command}")]
    NotBuiltIn {
        /// Its name.
        program: &'static str,
        /// The command that builds it with them.
        command: String,
    },
    /// This process was started to find out whether there can be a private network.
    #[error("{0}")]
    Probed(String),
    /// There is such a file already.
    #[error("{} is there already, and is not overwritten (--force replaces it)", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// Nothing was heard that could be written.
    #[error("{} is not written: nothing was heard", path.display())]
    NothingHeard {
        /// Its path.
        path: PathBuf,
    },
    /// The packets could not be written, and there is no file.
    #[cfg(feature = "packets")]
    #[error(transparent)]
    File(packets::PcapFileError),
}

#[cfg(feature = "packets")]
impl From<packets::PcapFileError> for EarError {
    fn from(error: packets::PcapFileError) -> Self {
        match error {
            packets::PcapFileError::Exists { path } => Self::Exists { path },
            other => Self::File(other),
        }
    }
}
