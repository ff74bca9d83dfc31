//! What was read from the sockets, packed, and the order in which it was sent.

use std::time::Duration;

use crate::capture::HeardPacket;

/// The packets of one socket, in the order in which the kernel handed them over.
///
/// While they come in there is no time to be lost: their bytes lie one behind the other.
#[derive(Debug, Default)]
pub(super) struct PacketStore {
    packets: Vec<StoredPacket>,
    bytes: Vec<u8>,
}

/// What is kept of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketHead {
    /// When the kernel took it, since 1970 began.
    pub(super) at: Duration,
    pub(super) outgoing: bool,
    pub(super) interface: u32,
    pub(super) wire_len: usize,
    /// How many the kernel had dropped before it, where it says so.
    pub(super) dropped: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct StoredPacket {
    head: PacketHead,
    /// Where its bytes end; they begin where those before end.
    end: usize,
}

impl PacketStore {
    /// Adds a packet.
    pub(super) fn push(&mut self, head: PacketHead, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.packets.push(StoredPacket { head, end: self.bytes.len() });
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
    }

    /// How many the kernel had dropped before the last of which it says so.
    pub(super) fn dropped(&self) -> u32 {
        self.packets.iter().rev().find_map(|packet| packet.head.dropped).unwrap_or(0)
    }

    /// The packets, one after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PacketHead, &[u8])> {
        (0..self.packets.len()).filter_map(|place| self.packet(place))
    }

    /// The packet at this place.
    fn packet(&self, place: usize) -> Option<(PacketHead, &[u8])> {
        let StoredPacket { head, end } = *self.packets.get(place)?;
        let before = place.checked_sub(1).and_then(|before| self.packets.get(before));
        let start = before.map_or(0, |before| before.end);
        Some((head, self.bytes.get(start..end).unwrap_or_default()))
    }
}

impl PacketHead {
    /// The packet with these bytes, which the kernel took at `at` on the run's clock.
    pub(super) fn with(self, bytes: &[u8], at: Duration) -> HeardPacket {
        let Self { at: since_epoch, outgoing, wire_len, .. } = self;
        HeardPacket { at, since_epoch, outgoing, wire_len, bytes: bytes.into() }
    }
}

/// The packets of all stores. Those of one stay in their order, also if the machine's clock was put
/// back meanwhile; between them it is the kernel's time that decides.
pub(super) fn in_order(
    stores: &[PacketStore],
    on_run: impl Fn(Duration) -> Duration,
) -> Vec<HeardPacket> {
    let mut places = vec![0; stores.len()];
    let mut all = Vec::with_capacity(stores.iter().map(|store| store.packets.len()).sum());
    loop {
        let next = stores.iter().zip(&mut places).filter_map(|(store, place)| {
            let (head, bytes) = store.packet(*place)?;
            Some((head, bytes, place))
        });
        let Some((head, bytes, place)) = next.min_by_key(|(head, ..)| head.at) else { return all };
        *place += 1;
        all.push(head.with(bytes, on_run(head.at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn store(packets: &[(u32, &[u8])]) -> PacketStore {
        let mut store = PacketStore::default();
        for (at, bytes) in packets {
            let (at, wire_len) = (MS * *at, bytes.len());
            let head = PacketHead { at, outgoing: true, interface: 1, wire_len, dropped: None };
            store.push(head, bytes);
        }
        store
    }

    fn told(stores: &[PacketStore]) -> Vec<String> {
        let text = |packet: HeardPacket| String::from_utf8(packet.bytes.into()).unwrap();
        in_order(stores, |at| at).into_iter().map(text).collect()
    }

    #[test]
    fn packets_of_several_sockets_come_in_the_order_of_their_times() {
        let stores =
            [store(&[(1, b"a"), (4, b"dd")]), store(&[]), store(&[(2, b""), (3, b"c"), (5, b"e")])];
        assert_eq!(told(&stores), ["a", "", "c", "dd", "e"]);
        assert_eq!(told(&[]), Vec::<String>::new());
    }

    #[test]
    fn packets_of_one_socket_keep_their_order_when_the_clock_is_put_back() {
        let stores = [store(&[(10, b"a"), (3, b"b"), (4, b"c")]), store(&[(9, b"x"), (11, b"y")])];
        let told = told(&stores);
        assert_eq!(told.len(), 5);
        let places: Vec<_> =
            ["a", "b", "c"].iter().map(|it| told.iter().position(|told| told == it)).collect();
        assert!(places.is_sorted(), "{told:?}");
    }
}
