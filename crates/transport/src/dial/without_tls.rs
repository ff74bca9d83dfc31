//! What stands in the place of `tls.rs` without the cargo feature `tls`: nothing can be made.

use std::convert::Infallible;
use std::sync::Arc;

use evidence::TlsFacts;
use tokio::net::TcpStream;

use crate::config::HttpVersion;
use crate::dial::keys::TlsKeys;
use crate::failure::error::Cause;
use crate::seen::record::Record;
use crate::seen::wire::Io;

/// The TLS that connections are made with. This build is without the cargo feature `tls` of
/// `transport`, so there is none.
#[derive(Clone, Debug)]
pub struct Tls(Infallible);

impl Tls {
    /// The same, with nobody to tell the keys of.
    #[must_use]
    pub fn telling(self, _: &TlsKeys) -> Self {
        match self.0 {}
    }
}

/// A handshake that failed.
pub(crate) struct TlsFailure {
    pub(crate) because: String,
    pub(crate) cause: Cause,
    pub(crate) wire: Option<Box<dyn Io>>,
}

impl TlsFailure {
    pub(crate) fn not_http2(wire: Box<dyn Io>) -> Self {
        Self { because: String::new(), cause: String::new().into(), wire: Some(wire) }
    }
}

/// One transport's own part of TLS.
pub(crate) struct TlsClient(Infallible);

impl TlsClient {
    pub(crate) fn new(tls: &Tls, _: HttpVersion) -> Self {
        match tls.0 {}
    }

    pub(crate) fn prepare(&self) -> Result<(), Cause> {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "it stands for one that waits")]
    pub(crate) async fn handshake(
        &self,
        _: &str,
        _: TcpStream,
        _: &Arc<Record>,
        _: impl FnOnce(),
    ) -> Result<(TlsFacts, Box<dyn Io>), TlsFailure> {
        match self.0 {}
    }
}
