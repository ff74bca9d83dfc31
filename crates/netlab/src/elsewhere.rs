//! Systems that are not Linux: there is no private network to enter.

use std::io;

use crate::settings::Sysctl;
use crate::{Error, Identity, Refused};

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

    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "there is no value to call it on"))]
    pub(crate) fn sends_all_by_cable(&self) -> io::Result<()> {
        match *self {}
    }
}

pub(crate) fn enter(_: &[Sysctl], _: Identity) -> Result<Network, Error> {
    Err(Refused::not_linux(std::env::consts::OS).into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) use no_hosts::{CableDevice, Forwarder, HostThread, Injector, lost_before_the_cable};

/// Two hosts, which nobody can have: who would make them could not enter the first.
#[cfg(not(target_os = "linux"))]
mod no_hosts {
    use std::io;
    use std::net::Ipv4Addr;

    use crate::cable::{CableLaw, CablePlan, CableTally, DeviceChoice, Parcel};
    use crate::settings::Sysctl;
    use crate::{Error, NetworkSettings, Refused};

    #[derive(Debug)]
    pub(crate) enum CableDevice {}

    impl CableDevice {
        pub(crate) fn plug_in(_: Ipv4Addr, _: DeviceChoice) -> Result<Self, Error> {
            Err(Refused::not_linux(std::env::consts::OS).into())
        }
    }

    #[derive(Debug)]
    pub(crate) enum HostThread {}

    impl HostThread {
        pub(crate) fn start(_: Vec<Sysctl>) -> Result<Self, Error> {
            Err(Refused::not_linux(std::env::consts::OS).into())
        }

        pub(crate) fn run<T>(&self, _: impl FnOnce() -> T) -> Result<T, Error> {
            match *self {}
        }

        pub(crate) fn takes_every_address(&self) -> Result<(), Error> {
            match *self {}
        }

        pub(crate) fn settings(&self) -> Result<NetworkSettings, Error> {
            match *self {}
        }
    }

    #[derive(Debug)]
    pub(crate) enum Forwarder {}

    impl Forwarder {
        #[expect(clippy::needless_pass_by_value, reason = "as where there are cables")]
        pub(crate) fn start(
            client: CableDevice,
            _: CableDevice,
            _: CablePlan,
            _: Box<dyn CableLaw>,
        ) -> io::Result<Self> {
            match client {}
        }

        pub(crate) fn unplug(self) -> io::Result<CableTally> {
            match self {}
        }

        pub(crate) fn injector(&self) -> Injector {
            match *self {}
        }
    }

    #[derive(Clone, Debug)]
    pub(crate) enum Injector {}

    impl Injector {
        pub(crate) fn put(&self, _: u64, _: Parcel) -> io::Result<()> {
            match *self {}
        }
    }

    pub(crate) fn lost_before_the_cable() -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_namespaces_nobody_enters() {
        assert!(enter(&[], Identity::Oneself).unwrap_err().to_string().contains("not Linux"));
    }
}
