//! The messages of one connection of HTTP/1.1 with the numbers of their exchanges, for whoever
//! wants every step of them.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;

use wire::http1::{AnsweredMethod, Direction, MessagePart, MessageSplitter};

use crate::watching::observer::{CutPart, ServerMoment, WireBody};
use crate::watching::parts::{BegunPart, BytesKept, PartKeeper, WholePart};

/// Both directions of a connection.
pub(crate) struct Messages {
    /// The bytes themselves are told.
    keeps_bytes: bool,
    outgoing: MessageSplitter,
    keeper: PartKeeper,
    /// Heads that were read from the socket, but that hyper has not come to.
    heads: VecDeque<(u64, Bytes)>,
    /// The part of a request that has begun and is not over.
    begun: Option<BegunPart>,
    /// How many heads were read.
    read: u64,
    /// How many of them hyper has come to.
    told: u64,
    /// Bodies that came together with heads that hyper has not come to.
    early: Vec<ServerMoment>,
    /// The requests that are not answered to their last byte: number, and whether it is `HEAD`.
    unanswered: VecDeque<(u64, bool)>,
    /// The length of the head of the response that is being written.
    head_bytes: u64,
}

impl Messages {
    /// With `keep` the bytes themselves are told, too.
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            keeps_bytes: keep,
            outgoing: MessageSplitter::new(Direction::Responses),
            keeper: PartKeeper::new(if keep { BytesKept::Heads } else { BytesKept::Nothing }),
            heads: VecDeque::new(),
            begun: None,
            read: 0,
            told: 0,
            early: Vec::new(),
            unanswered: VecDeque::new(),
            head_bytes: 0,
        }
    }

    /// These parts of requests were read, and one may have begun. Returns what there is to tell of
    /// them.
    pub(crate) fn received(
        &mut self,
        parts: Vec<WholePart>,
        begun: Option<BegunPart>,
    ) -> Vec<ServerMoment> {
        self.begun = begun;
        let mut moments = Vec::new();
        for part in parts {
            match part {
                WholePart::Head { bytes, raw, .. } => {
                    self.read += 1;
                    self.heads.push_back((bytes, raw));
                }
                WholePart::Body(body) if body.bytes > 0 => {
                    let moment = ServerMoment::RequestBody { number: self.read, body };
                    if self.read > self.told { &mut self.early } else { &mut moments }.push(moment);
                }
                WholePart::Body(_) => {}
            }
        }
        moments
    }

    /// hyper has come to the next head: its length, and itself if it is wanted.
    pub(crate) fn request(&mut self, number: u64, is_head: bool) -> Option<(u64, Option<Bytes>)> {
        self.unanswered.push_back((number, is_head));
        self.told = number;
        let (bytes, raw) = self.heads.pop_front()?;
        Some((bytes, self.keeps_bytes.then_some(raw)))
    }

    /// Returns true if a head has begun to come, or has come, that hyper has not come to.
    pub(crate) fn is_ahead(&self) -> bool {
        !self.heads.is_empty() || matches!(self.begun, Some(BegunPart::Head(..)))
    }

    /// Returns the length and the first bytes of the head that hyper was to come to next, as far
    /// as it has come.
    pub(crate) fn ahead(&self) -> Option<(u64, Bytes)> {
        match (self.heads.front(), &self.begun) {
            (Some((bytes, raw)), _) => Some((*bytes, raw.slice(..raw.len().min(WireBody::KEPT)))),
            (None, Some(BegunPart::Head(bytes, first))) => Some((*bytes, first.clone())),
            _ => None,
        }
    }

    /// The body of the request that hyper has come to, if it was there before.
    pub(crate) fn early_body(&mut self) -> Option<ServerMoment> {
        let is_told = |moment: &ServerMoment| match moment {
            ServerMoment::RequestBody { number, .. } => *number <= self.told,
            _ => true,
        };
        let place = self.early.iter().position(is_told)?;
        Some(self.early.remove(place))
    }

    /// Bytes were written. Returns what is over with them.
    pub(crate) fn sent(&mut self, bytes: &[u8]) -> Vec<ServerMoment> {
        // The splitter asks between its parts, so what it asks is remembered beside them.
        let unanswered = std::mem::take(&mut self.unanswered);
        let unanswered = RefCell::new(unanswered);
        let mut moments = Vec::new();
        let answers = || match unanswered.borrow().front() {
            Some((_, true)) => AnsweredMethod::Head,
            _ => AnsweredMethod::Other,
        };
        let Self { outgoing, keeper, head_bytes, told, .. } = self;
        outgoing.feed(bytes, answers, |part| {
            moments.extend(written(&part, keeper, head_bytes, *told, &mut unanswered.borrow_mut()));
        });
        self.unanswered = unanswered.into_inner();
        moments
    }

    /// The connection is over.
    pub(crate) fn closed(&mut self) -> Vec<ServerMoment> {
        let mut moments = Vec::new();
        let Self { outgoing, keeper, head_bytes, told, unanswered, .. } = self;
        outgoing.close(|part| {
            moments.extend(written(&part, keeper, head_bytes, *told, unanswered));
        });
        moments
    }

    /// Returns true if it is not known where a response ends.
    pub(crate) fn is_lost(&self) -> bool {
        self.outgoing.is_lost()
    }

    /// Returns what the socket has taken of the body of a response that is not over, with its
    /// number. Once the connection is [`closed`](Self::closed) that is what was cut.
    pub(crate) fn cut_response(&self) -> Option<(u64, WireBody)> {
        let number = self.unanswered.front().map_or(self.told + 1, |(number, _)| *number);
        match self.keeper.begun(&self.outgoing)? {
            BegunPart::Body(body) => Some((number, body)),
            BegunPart::Head(..) => None,
        }
    }

    /// Returns what has come of a request that is not over, with its number.
    fn cut_request(&self) -> Option<(u64, CutPart, WireBody)> {
        Some(match self.begun.clone()? {
            BegunPart::Head(bytes, first) => {
                let raw = self.keeps_bytes.then_some(first);
                (self.read + 1, CutPart::RequestHead, WireBody { bytes, content_bytes: 0, raw })
            }
            BegunPart::Body(body) => (self.read, CutPart::RequestBody, body),
        })
    }

    /// Tells the parts that did not come to their end, once the connection is
    /// [`closed`](Self::closed). A head that was refused is told of already.
    pub(crate) fn cut(&self, is_refused: bool) -> impl Iterator<Item = ServerMoment> {
        let response =
            self.cut_response().map(|(number, body)| (number, CutPart::ResponseBody, body));
        let request = self.cut_request();
        let request = request.filter(|(_, part, _)| !is_refused || *part != CutPart::RequestHead);
        let cut = request.into_iter().chain(response);
        cut.map(|(number, part, bytes)| ServerMoment::CutShort { number, part, bytes })
    }
}

/// Takes a part of a response; returns what there is to tell of it.
///
/// What hyper answers without having passed on a request, such as 400, belongs to what would have
/// been the one after those that were `told`.
fn written(
    part: &MessagePart<'_>,
    keeper: &mut PartKeeper,
    head_bytes: &mut u64,
    told: u64,
    unanswered: &mut VecDeque<(u64, bool)>,
) -> Option<ServerMoment> {
    let number = |front: Option<&(u64, bool)>| front.map_or(told + 1, |(number, _)| *number);
    Some(match keeper.take(part)? {
        WholePart::Head { bytes, status, raw } => {
            *head_bytes = bytes;
            let interim = status.is_some_and(|status| status < 200);
            let number = number(unanswered.front());
            ServerMoment::HeadWritten {
                number,
                bytes,
                interim,
                raw: keeper.keeps_bytes().then_some(raw),
            }
        }
        WholePart::Body(body) => {
            let number = number(unanswered.pop_front().as_ref());
            ServerMoment::ResponseWritten { number, head_bytes: *head_bytes, body }
        }
    })
}
