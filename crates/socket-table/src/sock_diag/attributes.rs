//! What stands behind a row: attributes, each with a length, a kind and a value.
//!
//! `struct tcp_info` has grown with Linux and goes on growing, always at its end: a number is read
//! at its documented place (`linux/tcp.h`), and is not told where the struct ends before it.

use std::time::Duration;

use evidence::{Observed, TcpInfo};

use super::{FieldReader, MalformedAnswer};

/// `INET_DIAG_INFO`: `struct tcp_info`.
const INFO: u16 = 2;
/// `INET_DIAG_CGROUP_ID` (since Linux 5.7): 8 bytes.
const CGROUP_ID: u16 = 21;

// Places in `struct tcp_info`, in bytes.
const STATE: usize = 0;
const TIMEOUTS: usize = 2;
const PROBES: usize = 3;
const LAST_DATA_SENT_MS: usize = 44;
const LAST_DATA_RECV_MS: usize = 52;
const RTT_US: usize = 68;
const TOTAL_RETRANS: usize = 100;
const BYTES_ACKED: usize = 120;
const BYTES_RECEIVED: usize = 128;
const BYTES_SENT: usize = 200;
const BYTES_RETRANS: usize = 208;

/// `TCP_SYN_SENT` and `TCP_SYN_RECV`: before the handshake is complete no time is kept.
const OPENING: [u8; 2] = [2, 3];

/// The attributes that this program has a use for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowAttributes {
    /// Boxed, as a cheap reading of a long table has none.
    pub(super) info: Option<Box<TcpInfo>>,
    pub(super) cgroup: Option<u64>,
}

/// Reads all attributes to the end of the message; those of another kind are passed over.
pub(super) fn read(body: &mut FieldReader) -> Result<RowAttributes, MalformedAnswer> {
    let mut attributes = RowAttributes::default();
    while !body.0.is_empty() {
        let length = usize::from(body.u16()?);
        let kind = body.u16()?;
        let length = length.checked_sub(4).ok_or(MalformedAnswer("an attribute is too short"))?;
        let value = body.0.get(..length).ok_or(MalformedAnswer("an attribute is cut short"))?;
        match kind {
            INFO => attributes.info = Some(Box::new(tcp_info(value))),
            CGROUP_ID => attributes.cgroup = number(value, 0).map(u64::from_ne_bytes).known(),
            _ => {}
        }
        body.0 = body.0.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(attributes)
}

/// As much of `struct tcp_info` as this kernel knows.
fn tcp_info(bytes: &[u8]) -> TcpInfo {
    let u32_at = |place| number(bytes, place).map(u32::from_ne_bytes);
    let u64_at = |place| number(bytes, place).map(u64::from_ne_bytes);
    let u8_at = |place| number(bytes, place).map(u8::from_ne_bytes);
    let is_open = u8_at(STATE).known().is_some_and(|state| !OPENING.contains(&state));
    let ms_at = |place| match u32_at(place) {
        Observed::Known(ms) if is_open => Observed::Known(Duration::from_millis(ms.into())),
        _ => Observed::NotObservable,
    };
    let rtt = match u32_at(RTT_US) {
        Observed::Known(us) if us > 0 => Observed::Known(Duration::from_micros(us.into())),
        _ => Observed::NotObservable, // nothing has been measured yet
    };
    TcpInfo {
        rtt,
        retransmits: u32_at(TOTAL_RETRANS),
        timeouts: u8_at(TIMEOUTS),
        probes: u8_at(PROBES),
        last_sent: ms_at(LAST_DATA_SENT_MS),
        last_received: ms_at(LAST_DATA_RECV_MS),
        bytes_sent: u64_at(BYTES_SENT),
        bytes_resent: u64_at(BYTES_RETRANS),
        bytes_acked: u64_at(BYTES_ACKED),
        bytes_received: u64_at(BYTES_RECEIVED),
    }
}

/// The `N` bytes at `place`, if the struct is that long.
fn number<const N: usize>(bytes: &[u8], place: usize) -> Observed<[u8; N]> {
    let taken = bytes.get(place..).and_then(|rest| rest.first_chunk()).copied();
    taken.map_or(Observed::NotObservable, Observed::Known)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The length that the struct has in Linux 6.
    const WHOLE: usize = 248;

    /// A `struct tcp_info` of `length` bytes.
    fn struct_of(info: &TcpInfo, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xaa; WHOLE];
        bytes[STATE] = 1; // TCP_ESTABLISHED
        bytes[TIMEOUTS] = info.timeouts.known().unwrap_or_default();
        bytes[PROBES] = info.probes.known().unwrap_or_default();
        let us = |time: Observed<Duration>| time.known().unwrap_or_default().as_micros();
        for (place, value) in [
            (LAST_DATA_SENT_MS, us(info.last_sent) / 1000),
            (LAST_DATA_RECV_MS, us(info.last_received) / 1000),
            (RTT_US, us(info.rtt)),
            (TOTAL_RETRANS, info.retransmits.known().unwrap_or_default().into()),
        ] {
            bytes[place..place + 4].copy_from_slice(&u32::try_from(value).unwrap().to_ne_bytes());
        }
        for (place, value) in [
            (BYTES_ACKED, info.bytes_acked),
            (BYTES_RECEIVED, info.bytes_received),
            (BYTES_SENT, info.bytes_sent),
            (BYTES_RETRANS, info.bytes_resent),
        ] {
            let value = value.known().unwrap_or_default();
            bytes[place..place + 8].copy_from_slice(&value.to_ne_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
        body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }

    /// Puts the attributes behind a row, between some that nobody asked for.
    pub(crate) fn append(body: &mut Vec<u8>, info: Option<&TcpInfo>, cgroup: Option<u64>) {
        attribute(body, 8, &[0]); // INET_DIAG_SHUTDOWN
        if let Some(info) = info {
            attribute(body, INFO, &struct_of(info, WHOLE));
        }
        attribute(body, 4711, b"a kind of the future");
        if let Some(cgroup) = cgroup {
            attribute(body, CGROUP_ID, &cgroup.to_ne_bytes());
        }
    }

    pub(crate) fn any_info() -> impl Strategy<Value = TcpInfo> {
        let bytes = any::<(u64, u64, u64, u64)>();
        (1_u32.., any::<(u32, u8, u8)>(), any::<u32>(), any::<u32>(), bytes).prop_map(
            |(rtt, (retransmits, timeouts, probes), sent, received, bytes)| TcpInfo {
                rtt: Observed::Known(Duration::from_micros(rtt.into())),
                retransmits: Observed::Known(retransmits),
                timeouts: Observed::Known(timeouts),
                probes: Observed::Known(probes),
                last_sent: Observed::Known(Duration::from_millis(sent.into())),
                last_received: Observed::Known(Duration::from_millis(received.into())),
                bytes_sent: Observed::Known(bytes.0),
                bytes_acked: Observed::Known(bytes.1),
                bytes_received: Observed::Known(bytes.2),
                bytes_resent: Observed::Known(bytes.3),
            },
        )
    }

    proptest! {
        #[test]
        fn a_kernel_that_tells_less_is_not_misread(
            info in any_info(),
            length in 0_usize..WHOLE,
        ) {
            let read = tcp_info(&struct_of(&info, length));
            let told = |end| length >= end;
            let (acked, again) = (info.bytes_acked.known(), info.retransmits.known());
            prop_assert_eq!(read.last_sent.known(), info.last_sent.known().filter(|_| told(48)));
            prop_assert_eq!(read.rtt.known(), info.rtt.known().filter(|_| told(72)));
            prop_assert_eq!(read.retransmits.known(), again.filter(|_| told(104)));
            prop_assert_eq!(read.bytes_acked.known(), acked.filter(|_| told(128)));
            prop_assert_eq!(
                read.bytes_received.known(),
                info.bytes_received.known().filter(|_| told(136))
            );
            prop_assert_eq!(read.bytes_sent.known(), info.bytes_sent.known().filter(|_| told(208)));
            let resent = info.bytes_resent.known().filter(|_| told(216));
            prop_assert_eq!(read.bytes_resent.known(), resent);
            prop_assert_eq!(read.timeouts.known(), info.timeouts.known().filter(|_| told(3)));
            prop_assert_eq!(read.probes.known(), info.probes.known().filter(|_| told(4)));
        }

        #[test]
        fn arbitrary_attributes_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let _ = read(&mut FieldReader(&bytes));
        }

        #[test]
        fn an_attribute_that_claims_too_much_or_too_little_is_an_error(
            claimed in prop_oneof![0_u16..4, 9_u16..],
        ) {
            let mut bytes = claimed.to_ne_bytes().to_vec();
            bytes.extend([2, 0, 1, 2, 3, 4]);
            prop_assert!(read(&mut FieldReader(&bytes)).is_err());
        }
    }

    #[test]
    fn before_the_handshake_is_complete_no_data_has_an_age() {
        for opening in OPENING {
            let mut bytes = struct_of(&TcpInfo::UNSEEN, WHOLE);
            bytes[STATE] = opening;
            bytes[LAST_DATA_SENT_MS..][..4].copy_from_slice(&2_753_000_u32.to_ne_bytes());
            let info = tcp_info(&bytes);
            assert_eq!(info.last_sent, Observed::NotObservable);
            assert_eq!(info.silent_for(), None);
        }
    }

    #[test]
    fn a_kernel_of_the_future_may_tell_more() {
        let mut longer = struct_of(&TcpInfo::UNSEEN, WHOLE);
        longer.extend([0xff; 100]);
        assert_eq!(tcp_info(&longer).bytes_sent, Observed::Known(0));
        assert_eq!(tcp_info(&longer).rtt, Observed::NotObservable);
    }
}
