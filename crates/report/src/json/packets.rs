//! The packets of a run for programs: counted.

use evidence::{PassageTally, Unreadable, WirePlace, WireRecord};
use serde::Serialize;

use crate::wire::handshakes;

/// What was heard on the wire. Every number is `null` if nothing was.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PacketsRow<'a> {
    /// Why nothing was heard; `null` if something was.
    not_heard: Option<&'a str>,
    /// `loopback` or `cable`.
    place: Option<&'static str>,
    /// How long a packet travels each way; `null` on loopback.
    delay_us: Option<u64>,
    /// Connections whose SYN was answered, and the answer acknowledged. Counted in the packets that
    /// were kept one by one.
    handshakes: Option<usize>,
    /// What the client's ends sent, and the servers'. `bytes` are whole IP packets; `again` says
    /// nothing new; `lost` are those that the cable let get lost.
    client: Option<PassageTally>,
    server: Option<PassageTally>,
    /// Packets that are no TCP segments of this run.
    others: Option<u64>,
    /// Packets that this witness is known to have missed.
    missed: Option<u64>,
    /// Packets that are counted, but were not kept one by one.
    not_kept: Option<u64>,
    /// Packets that a host did not take from the cable, though no rule said so.
    refused: Option<u64>,
    /// Packets that were still on the cable in the end.
    under_way: Option<u64>,
}

impl<'a> PacketsRow<'a> {
    pub(super) fn of(wire: &'a Result<WireRecord, Unreadable>) -> Self {
        let record = wire.as_ref().ok();
        let (place, delay) = match record.map(|record| record.place) {
            None => (None, None),
            Some(WirePlace::Loopback) => (Some("loopback"), None),
            Some(WirePlace::Device) => (Some("device"), None),
            Some(WirePlace::Cable { delay }) => (Some("cable"), Some(delay)),
        };
        Self {
            not_heard: wire.as_ref().err().map(|Unreadable(why)| why.as_str()),
            place,
            delay_us: delay.map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)),
            handshakes: record.map(handshakes),
            client: record.map(|record| record.client),
            server: record.map(|record| record.server),
            others: record.map(|record| record.others),
            missed: record.map(|record| record.missed),
            not_kept: record.map(|record| record.untold),
            refused: record.map(|record| record.refused),
            under_way: record.map(|record| record.under_way),
        }
    }
}
