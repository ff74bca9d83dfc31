//! Systems that are not Linux: there is no private network to enter.

use std::io;

use crate::settings::Sysctl;
use crate::{Error, Refused};

/// A network that nobody can be in.
#[derive(Debug)]
pub(crate) enum Network {}

impl Network {
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "there is no value to call it on"))]
    pub(crate) fn read(&self, _: &str) -> io::Result<String> {
        match *self {}
    }

    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "there is no value to call it on"))]
    pub(crate) fn as_on_a_wire(&self) -> io::Result<()> {
        match *self {}
    }
}

pub(crate) fn enter(_: &[Sysctl]) -> Result<Network, Error> {
    Err(Refused::not_linux(std::env::consts::OS).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_namespaces_nobody_enters() {
        assert!(enter(&[]).unwrap_err().to_string().contains("not Linux"));
    }
}
