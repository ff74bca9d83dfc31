//! One record of `sock:inet_sock_set_state`: which bytes mean what is read from the event's
//! `format` file, as the kernel promises no layout but the one that is told there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use evidence::TcpState;

use super::change::SocketNetwork;
use super::change::{MomentRange, StateChange};

/// `IPPROTO_TCP`.
pub(crate) const TCP: u16 = 6;
/// `AF_INET6`.
const INET6: u16 = 10;

/// Where the fields of a record begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangeLayout {
    id: u16,
    /// Where the number of the thread that was running stands, if the kernel says so.
    thread: Option<usize>,
    skaddr: usize,
    oldstate: usize,
    newstate: usize,
    sport: usize,
    dport: usize,
    family: usize,
    protocol: usize,
    saddr: usize,
    daddr: usize,
    saddr_v6: usize,
    daddr_v6: usize,
}

impl ChangeLayout {
    /// Reads the `format` file. `None` if a field is missing or has another size.
    pub(crate) fn read(format: &str) -> Option<Self> {
        let id = id(format)?;
        let word = size_of::<usize>();
        Some(Self {
            id,
            thread: field(format, "common_pid", 4),
            skaddr: field(format, "skaddr", word)?,
            oldstate: field(format, "oldstate", 4)?,
            newstate: field(format, "newstate", 4)?,
            sport: field(format, "sport", 2)?,
            dport: field(format, "dport", 2)?,
            family: field(format, "family", 2)?,
            protocol: field(format, "protocol", 2)?,
            saddr: field(format, "saddr", 4)?,
            daddr: field(format, "daddr", 4)?,
            saddr_v6: field(format, "saddr_v6", 16)?,
            daddr_v6: field(format, "daddr_v6", 16)?,
        })
    }

    /// Reads a record. `None` for another event, another protocol, an unknown state.
    pub(crate) fn change(&self, time: Duration, record: &[u8]) -> Option<StateChange> {
        let number = |at| Some(u16::from_ne_bytes(bytes::<2>(record, at)?));
        let state = |at| state_of(i32::from_ne_bytes(bytes(record, at)?));
        if number(0)? != self.id || number(self.protocol)? != TCP {
            return None;
        }
        let six = number(self.family)? == INET6;
        let address = |v4, v6| -> Option<IpAddr> {
            Some(if six {
                IpAddr::from(Ipv6Addr::from(bytes::<16>(record, v6)?)).to_canonical()
            } else {
                IpAddr::from(Ipv4Addr::from(bytes::<4>(record, v4)?))
            })
        };
        let skaddr = usize::from_ne_bytes(bytes(record, self.skaddr)?);
        Some(StateChange {
            when: MomentRange::at(time),
            kernel_address: u64::try_from(skaddr).ok(),
            local: SocketAddr::new(address(self.saddr, self.saddr_v6)?, number(self.sport)?),
            peer: SocketAddr::new(address(self.daddr, self.daddr_v6)?, number(self.dport)?),
            old: state(self.oldstate)?,
            new: state(self.newstate)?,
            side: None,
            unseen: Vec::new(),
            left: None,
            network: SocketNetwork { thread: self.thread(record), ..SocketNetwork::default() },
        })
    }

    /// The thread that was running when the record was made.
    fn thread(&self, record: &[u8]) -> Option<u32> {
        u32::try_from(i32::from_ne_bytes(bytes(record, self.thread?)?)).ok()
    }
}

/// The number by which a record says which event it is of.
pub(crate) fn id(format: &str) -> Option<u16> {
    format.lines().find_map(|line| line.strip_prefix("ID:"))?.trim().parse().ok()
}

/// Where the field `name` of this size begins. Its line says `field:TYPE NAME;`, then `offset:N;`
/// and `size:N;`, with tabs between them.
pub(crate) fn field(format: &str, name: &str, size: usize) -> Option<usize> {
    format.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
        let declared = parts.next()?.rsplit([' ', '*']).next()?;
        let offset = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
        let length: usize = parts.next()?.strip_prefix("size:")?.parse().ok()?;
        let declared = declared.split('[').next()?;
        (declared == name && length == size).then_some(offset)
    })
}

/// The bytes of a record that begin at `at`; `None` if it ends before.
pub(crate) fn bytes<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..)?.first_chunk().copied()
}

/// A socket that is bound and no more (13) is none of a connection yet.
fn state_of(number: i32) -> Option<TcpState> {
    match u8::try_from(number).ok()? {
        13 => Some(TcpState::Closed),
        number => TcpState::from_linux(number),
    }
}

#[cfg(test)]
mod tests;
