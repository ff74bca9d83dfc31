//! A connection as its packets tell it.

use std::time::Duration;

use evidence::{
    ConnectionId, Conversation, Ends, HeardAt, Observed, Passage, PassageFate, Segment,
    SegmentFlags, Side, TcpState, TcpStory, WireClose,
};

use crate::exchange::{ExchangeReader, SeenExchange, SeenTls, SpokenProtocol};
use crate::http2::SeenHttp2;
use crate::stream::{ByteStream, StreamPiece};

/// Where the packets of a connection pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HearingPlace {
    /// The loopback interface of the program's host: both ends are there.
    Loopback,
    /// The cable to the other host.
    Cable,
}

impl HearingPlace {
    /// Its name in programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "lo",
            Self::Cable => "cable",
        }
    }
}

/// What came of dialling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialOutcome {
    /// The handshake was completed, at this time.
    Opened(Duration),
    /// The other end answered with a reset.
    Refused(Duration),
    /// Nothing that completes it was heard.
    Unanswered,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionEnd {
    /// Who ended it, and how: by the first packet that does.
    pub by: WireClose,
    /// When that was heard.
    pub at: Duration,
    /// How long no data had passed then, in either direction.
    pub silence: Duration,
    /// A reset that followed, and who sent it.
    pub reset: Option<Side>,
    /// The bytes of the other end that had reached whoever ended it by then, as the packet that does
    /// acknowledges them; `None` if it acknowledges nothing.
    pub reached: Option<u64>,
}

/// A connection that the program or one of its family dialled.
#[derive(Clone, Debug)]
pub struct ObservedConnection {
    /// Its number, in the order of dialling.
    pub id: ConnectionId,
    /// Where its packets pass.
    pub place: HearingPlace,
    /// Both ends. The client's is the one that dialled.
    pub ends: Ends,
    /// When it was dialled: its first SYN.
    pub dialled: Duration,
    /// How often that SYN was sent.
    pub syns: u64,
    /// What came of it.
    pub dial: DialOutcome,
    /// The protocol that it speaks.
    pub protocol: SpokenProtocol,
    /// The words of both ends before TLS encrypts, if it speaks TLS.
    pub tls: Option<SeenTls>,
    /// Its frames, if it speaks HTTP/2 without TLS.
    pub http2: Option<SeenHttp2>,
    /// Its exchanges, if it speaks HTTP/1.
    pub exchanges: Vec<SeenExchange>,
    /// Responses that nobody had asked for.
    pub unasked: u64,
    /// True if some of it could not be read.
    pub is_unreadable: bool,
    /// Bytes of data that the client sent.
    pub client_bytes: u64,
    /// Bytes of data that the server sent.
    pub server_bytes: u64,
    /// Bytes that were sent, and that nobody heard.
    pub missing_bytes: u64,
    /// Its end, if one was heard.
    pub end: Option<ConnectionEnd>,
    /// The last states of the client's and the server's end, as far as packets tell them.
    pub states: [Option<TcpState>; 2],
}

impl ObservedConnection {
    /// Returns true if the handshake was completed.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        matches!(self.dial, DialOutcome::Opened(_))
    }

    /// When each of its exchanges began and, if it did, ended: in HTTP/1 or in HTTP/2.
    #[must_use]
    pub fn exchange_spans(&self) -> Vec<(Duration, Option<Duration>)> {
        let of_http1 = self.exchanges.iter().map(|it| (it.request.began, it.ended()));
        let streams = self.http2.iter().flat_map(|seen| &seen.streams);
        of_http1.chain(streams.map(|it| (it.began, it.ended()))).collect()
    }

    /// Returns true if an exchange began on it or, where no messages are read, the client sent
    /// anything.
    #[must_use]
    pub fn is_used(&self) -> bool {
        match self.protocol {
            SpokenProtocol::Http1 => !self.exchanges.is_empty(),
            _ => self.client_bytes > 0 || self.server_bytes > 0,
        }
    }

    /// Returns true if a reset ended it, or followed its end.
    #[must_use]
    pub fn has_reset(&self) -> bool {
        self.end.is_some_and(|end| matches!(end.by, WireClose::Reset(_)) || end.reset.is_some())
    }

    /// Until when it is open: its end, or for ever.
    #[must_use]
    pub fn open_until(&self) -> Option<Duration> {
        self.end.map(|end| end.at)
    }
}

/// Follows a connection, packet by packet.
pub(crate) struct ConnectionFollower {
    place: HearingPlace,
    ends: Ends,
    dialled: Duration,
    syns: u64,
    syn: u32,
    opened: Option<Duration>,
    refused: Option<Duration>,
    story: TcpStory,
    /// The packets that begin and end it.
    control: Vec<Passage>,
    streams: [Option<ByteStream>; 2],
    reader: ExchangeReader,
    bytes: [u64; 2],
    missing: u64,
    last_data: Option<Duration>,
    end: Option<(Duration, Duration)>,
    /// The bytes of the other end that the packet which ends it acknowledges.
    reached: Option<u64>,
}

impl ConnectionFollower {
    /// Begins with the SYN that dials.
    pub(crate) fn dialled_by(place: HearingPlace, ends: Ends, syn: &Segment) -> Self {
        Self {
            place,
            ends,
            dialled: syn.at,
            syns: 0,
            syn: syn.seq,
            opened: None,
            refused: None,
            story: TcpStory::between(ends.client.socket_addr(), ends.server.socket_addr()),
            control: Vec::new(),
            streams: [Some(ByteStream::behind_syn(syn.seq)), None],
            reader: ExchangeReader::new(),
            bytes: [0; 2],
            missing: 0,
            last_data: None,
            end: None,
            reached: None,
        }
    }

    /// Returns true if this SYN is that of this connection, sent again.
    pub(crate) fn is_dialled_by(&self, syn: &Segment) -> bool {
        self.syn == syn.seq
    }

    /// Takes the next packet, of which `data` was kept.
    pub(crate) fn hear(&mut self, number: u64, from: Side, segment: &Segment, data: &[u8]) {
        let at = segment.at;
        let heard_at = match self.place {
            HearingPlace::Loopback => HeardAt::Both,
            HearingPlace::Cable => HeardAt::Sender,
        };
        self.story.hear(segment, heard_at);
        self.note_control(number, from, segment);
        if segment.has(SegmentFlags::SYN.with(SegmentFlags::ACK)) && from == Side::Server {
            self.streams[1].get_or_insert_with(|| ByteStream::behind_syn(segment.seq));
        }
        if segment.has(SegmentFlags::RST) {
            return;
        }
        let (own, other) = match from {
            Side::Client => (0, 1),
            Side::Server => (1, 0),
        };
        let to = from.opposite();
        if segment.has(SegmentFlags::ACK)
            && let Some(stream) = self.streams[other].as_mut()
        {
            let (reader, missing) = (&mut self.reader, &mut self.missing);
            stream.acknowledged(segment.ack, |piece, at| tell(reader, missing, to, piece, at));
        }
        if segment.payload_bytes > 0 {
            self.last_data = Some(at);
            let skips_syn = u32::from(segment.has(SegmentFlags::SYN));
            if let Some(stream) = self.streams[own].as_mut() {
                let (reader, missing) = (&mut self.reader, &mut self.missing);
                let fresh = &mut self.bytes[own];
                let seq = segment.seq.wrapping_add(skips_syn);
                stream.take(seq, data, segment.payload_bytes, at, |piece, at| {
                    *fresh += match piece {
                        StreamPiece::Bytes(bytes) => bytes.len() as u64,
                        StreamPiece::Missing(length) => length,
                    };
                    tell(reader, missing, from, piece, at);
                });
            }
        }
        if segment.has(SegmentFlags::FIN) {
            self.reader.close(from, at);
        }
    }

    /// A packet that was taken by the cable has been handed to the other host.
    pub(crate) fn arrived(&mut self, segment: &Segment) {
        self.story.hear(segment, HeardAt::Receiver);
    }

    /// Notes what begins and ends the connection.
    fn note_control(&mut self, number: u64, from: Side, segment: &Segment) {
        let (syn, ack) = (segment.has(SegmentFlags::SYN), segment.has(SegmentFlags::ACK));
        let reset = segment.has(SegmentFlags::RST);
        let ends = reset || segment.has(SegmentFlags::FIN);
        if syn && !ack && from == Side::Client {
            self.syns += 1;
        }
        let is_answer = from == Side::Client && ack && !reset && self.opened.is_none();
        if syn || ends || is_answer {
            self.control.push(Passage {
                number,
                from,
                segment: segment.clone(),
                begins: None,
                tls: None,
                fate: PassageFate::Passed,
                arrived: Observed::NotObservable,
            });
        }
        if self.opened.is_none() && self.conversation().is_opened() {
            self.opened = Some(segment.at);
        }
        if reset && self.opened.is_none() && from == Side::Server {
            self.refused.get_or_insert(segment.at);
        }
        if ends && self.opened.is_some() && self.end.is_none() {
            let since = self.last_data.or(self.opened).unwrap_or(segment.at);
            self.end = Some((segment.at, segment.at.saturating_sub(since)));
            self.reached = self.acknowledged_by(from, segment);
        }
    }

    /// The bytes of the other end that `segment` of this end acknowledges, if it does.
    fn acknowledged_by(&self, from: Side, segment: &Segment) -> Option<u64> {
        let first = match from {
            Side::Server => self.syn,
            Side::Client => {
                let answers = SegmentFlags::SYN.with(SegmentFlags::ACK);
                let sent = self.control.iter().filter(|it| it.from == Side::Server);
                sent.map(|it| &it.segment).find(|it| it.has(answers))?.seq
            }
        };
        // Of connections with more than 4 GiB the last part alone is told.
        let behind_syn = segment.ack.wrapping_sub(first).wrapping_sub(1);
        segment.has(SegmentFlags::ACK).then_some(behind_syn.into())
    }

    fn conversation(&self) -> Conversation<'_> {
        Conversation { ends: self.ends, passages: self.control.iter().collect() }
    }

    /// Nothing more is heard.
    pub(crate) fn into_connection(mut self, id: ConnectionId) -> ObservedConnection {
        for (stream, from) in self.streams.iter_mut().zip([Side::Client, Side::Server]) {
            if let Some(stream) = stream {
                let (reader, missing) = (&mut self.reader, &mut self.missing);
                stream.end(|piece, at| tell(reader, missing, from, piece, at));
            }
        }
        let conversation = self.conversation();
        let by = conversation.close();
        let end = self.end.zip(by).map(|((at, silence), by)| {
            let resets = |side| conversation.sent_by(side).any(|it| it.has(SegmentFlags::RST));
            let reset = match by {
                WireClose::Reset(_) => None,
                _ => [Side::Client, Side::Server].into_iter().find(|side| resets(*side)),
            };
            ConnectionEnd { by, at, silence, reset, reached: self.reached }
        });
        let dial = match (self.opened, self.refused) {
            (Some(at), _) => DialOutcome::Opened(at),
            (None, Some(at)) => DialOutcome::Refused(at),
            (None, None) => DialOutcome::Unanswered,
        };
        let state = |address| self.story.state(address);
        let states = [state(self.ends.client.socket_addr()), state(self.ends.server.socket_addr())];
        ObservedConnection {
            id,
            place: self.place,
            ends: self.ends,
            dialled: self.dialled,
            syns: self.syns,
            dial,
            protocol: self.reader.protocol,
            tls: (self.reader.protocol == SpokenProtocol::Tls).then_some(self.reader.tls),
            unasked: self.reader.unasked,
            is_unreadable: self.reader.is_lost || self.reader.http2.is_lost(),
            http2: (self.reader.protocol == SpokenProtocol::Http2)
                .then_some(self.reader.http2.seen),
            exchanges: self.reader.exchanges,
            client_bytes: self.bytes[0],
            server_bytes: self.bytes[1],
            missing_bytes: self.missing,
            end,
            states,
        }
    }
}

fn tell(
    reader: &mut ExchangeReader,
    missing: &mut u64,
    from: Side,
    piece: StreamPiece<'_>,
    at: Duration,
) {
    if let StreamPiece::Missing(length) = piece {
        *missing += length;
    }
    reader.take(from, piece, at);
}
