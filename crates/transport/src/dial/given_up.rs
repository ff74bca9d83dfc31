//! What is told of something that nobody waits for any more.

/// The cause that is told of an end that comes because nobody waits for it any more: of a dial, of
/// a look-up, of a handshake.
pub const GIVEN_UP: &str = "given up";

/// Does something if it is dropped before [`Self::over`]: put into a future, if that is dropped
/// before it is over.
pub(crate) struct IfGivenUp<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> IfGivenUp<F> {
    pub(crate) fn then(tell: F) -> Self {
        Self(Some(tell))
    }

    /// It is over in another way.
    pub(crate) fn over(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for IfGivenUp<F> {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}
