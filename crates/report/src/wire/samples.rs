//! Records of packets that nobody sent, for tests.

use std::net::SocketAddr;
use std::time::Duration;

use evidence::{
    Observed, Passage, PassageFate, Segment, SegmentFlags, SegmentTls, Side, TcpOption, TlsBytes,
    TlsStart, WirePlace, WireRecord,
};

/// The numbers of both ends' SYNs.
const SYNS: (u32, u32) = (u32::MAX - 10, 7_000_000);

/// A record in the making: each packet comes some time after the one before.
pub(crate) struct WireSample {
    record: WireRecord,
    at: Duration,
    client: SocketAddr,
    syns: (u32, u32),
}

impl WireSample {
    pub(crate) fn on_loopback() -> Self {
        Self::at(WirePlace::Loopback)
    }

    pub(crate) fn on_device() -> Self {
        Self::at(WirePlace::Device)
    }

    pub(crate) fn on_cable(ms: u64) -> Self {
        Self::at(WirePlace::Cable { delay: Duration::from_millis(ms) })
    }

    fn at(place: WirePlace) -> Self {
        let client = SocketAddr::from(([127, 0, 0, 1], 40_001));
        Self { record: WireRecord::of(place), at: Duration::ZERO, client, syns: SYNS }
    }

    /// Goes on with a connection from this port.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.client.set_port(port);
        self
    }

    /// Goes on with another connection between the same ends.
    pub(crate) fn again(mut self) -> Self {
        self.syns = (self.syns.0.wrapping_add(90_000), self.syns.1.wrapping_add(90_000));
        self
    }

    /// Lets time pass.
    pub(crate) fn after(mut self, us: u64) -> Self {
        self.at += Duration::from_micros(us);
        self
    }

    /// A packet, its numbers counted from the SYNs.
    pub(crate) fn packet(mut self, from: Side, flags: &str, seq: u32, ack: u32, len: u32) -> Self {
        let server = SocketAddr::from(([127, 0, 0, 1], 8080));
        let (source, destination, own, other) = match from {
            Side::Client => (self.client, server, self.syns.0, self.syns.1),
            Side::Server => (server, self.client, self.syns.1, self.syns.0),
        };
        let flags = SegmentFlags::try_from(flags.to_owned()).unwrap();
        let is_syn = flags.contains(SegmentFlags::SYN);
        let (fate, arrived) = match self.record.place {
            WirePlace::Loopback | WirePlace::Device => {
                (PassageFate::Passed, Observed::NotObservable)
            }
            WirePlace::Cable { delay } => {
                (PassageFate::Passed, Observed::Known(vec![self.at + delay]))
            }
        };
        let segment = Segment {
            at: self.at,
            source,
            destination,
            seq: own.wrapping_add(seq),
            ack: other.wrapping_add(ack),
            flags,
            window: 512,
            urgent: 0,
            options: if is_syn { vec![TcpOption::Mss(1460)] } else { Vec::new() },
            payload_bytes: len,
            tcp_header_bytes: if is_syn { 40 } else { 32 },
            ip_header_bytes: 20,
        };
        let number = self.record.passages.len() as u64 + 1;
        let sum = match from {
            Side::Client => &mut self.record.client,
            Side::Server => &mut self.record.server,
        };
        sum.packets += 1;
        sum.bytes += u64::from(segment.ip_bytes());
        sum.syn += u64::from(is_syn);
        sum.fin += u64::from(flags.contains(SegmentFlags::FIN));
        sum.rst += u64::from(flags.contains(SegmentFlags::RST));
        sum.data += u64::from(len > 0);
        self.record.passages.push(Passage {
            number,
            from,
            segment,
            begins: None,
            tls: None,
            fate,
            arrived,
        });
        self.after(40)
    }

    pub(crate) fn client(self, flags: &str, seq: u32, ack: u32, len: u32) -> Self {
        self.packet(Side::Client, flags, seq, ack, len)
    }

    pub(crate) fn server(self, flags: &str, seq: u32, ack: u32, len: u32) -> Self {
        self.packet(Side::Server, flags, seq, ack, len)
    }

    /// The last packet begins a message with this line.
    pub(crate) fn says(mut self, line: &str) -> Self {
        self.last().begins = Some(line.to_owned());
        self
    }

    /// The data of the last packet is TLS, of which `bytes` are handshake, what records add, and what
    /// they carry.
    pub(crate) fn tls(mut self, begins: &[TlsStart], bytes: [u64; 3]) -> Self {
        let [handshake, records, data] = bytes;
        let last = self.last();
        let known = handshake + records + data;
        let unknown = u64::from(last.segment.payload_bytes) - known;
        let bytes = TlsBytes { handshake, records, data, unknown };
        last.tls = Some(SegmentTls { begins: begins.to_vec(), bytes });
        self
    }

    /// The last packet met this fate on the cable.
    pub(crate) fn met(mut self, fate: PassageFate) -> Self {
        let last = self.last();
        if fate.is_lost() {
            last.arrived = Observed::Known(Vec::new());
        }
        let pause = match fate {
            PassageFate::Held { time } => Some((time, true)),
            PassageFate::Doubled { time } => Some((time, false)),
            _ => None,
        };
        if let (Some((time, moved)), Observed::Known(arrived)) = (pause, &mut last.arrived) {
            let at = arrived[0] + time;
            if moved {
                arrived.clear();
            }
            arrived.push(at);
        }
        last.fate = fate;
        self
    }

    fn last(&mut self) -> &mut Passage {
        self.record.passages.last_mut().unwrap()
    }

    /// The handshake, each packet `us` after the one before.
    pub(crate) fn handshake(self, us: u64) -> Self {
        let syn = self.client("S", 0, 0, 0).after(us);
        syn.server("S.", 0, 1, 0).after(us).client(".", 1, 1, 0)
    }

    pub(crate) fn record(self) -> WireRecord {
        self.record
    }
}

/// A connection on loopback that carries two exchanges, a second apart, and that the client closes.
pub(crate) fn two_exchanges() -> WireRecord {
    let first = WireSample::on_loopback()
        .after(120)
        .handshake(0)
        .client("P.", 1, 1, 77)
        .says("GET / HTTP/1.1")
        .server(".", 1, 78, 0)
        .server("P.", 1, 78, 128)
        .says("HTTP/1.1 200 OK")
        .client(".", 78, 129, 0);
    let second = first
        .after(1_001_000)
        .client("P.", 78, 129, 77)
        .says("GET / HTTP/1.1")
        .server("P.", 129, 155, 128)
        .says("HTTP/1.1 200 OK")
        .client(".", 155, 257, 0);
    let closed = second.after(98_000).client("F.", 155, 257, 0).server("F.", 257, 156, 0);
    closed.client(".", 156, 258, 0).record()
}

/// The hello of a client, and the answer of a server.
pub(crate) fn hellos() -> [TlsStart; 2] {
    let (server_name, protocols) = (Some("localhost".to_owned()), vec!["http/1.1".to_owned()]);
    let (version, suite) = ("TLS 1.3".to_owned(), "TLS_AES_256_GCM_SHA384".to_owned());
    [TlsStart::ClientHello { server_name, protocols }, TlsStart::ServerHello { version, suite }]
}

/// A connection on loopback that carries an exchange in TLS 1.3, and that the client closes.
pub(crate) fn exchange_with_tls() -> WireRecord {
    use TlsStart::{ApplicationData, Handshake};
    let [client, server] = hellos();
    let hello = WireSample::on_loopback().after(120).handshake(0);
    let hello = hello.client("P.", 1, 1, 251).tls(&[client], [251, 0, 0]);
    let half = hello.server("P.", 1, 252, 669).tls(&[server, Handshake], [669, 0, 0]);
    let half = half.client("P.", 252, 670, 80).tls(&[Handshake], [80, 0, 0]);
    let asked = half.client("P.", 332, 670, 97).tls(&[ApplicationData], [0, 22, 75]);
    let answered = asked.server("P.", 670, 429, 150).tls(&[ApplicationData], [0, 22, 128]);
    let goodbye = answered.client("P.", 429, 820, 24).tls(&[ApplicationData], [0, 22, 2]);
    let closed = goodbye.client("F.", 453, 820, 0).server("F.", 820, 454, 0);
    closed.client(".", 454, 821, 0).record()
}
