//! The messages of one connection of HTTP/1.1 with the numbers of their exchanges, for whoever
//! wants every step of them.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;

use wire::http1::{AnsweredMethod, Direction, MessagePart, MessageSplitter};

use crate::watching::observer::ServerMoment;
use crate::watching::parts::{PartKeeper, WholePart};

/// Both directions of a connection.
pub(crate) struct Messages {
    outgoing: MessageSplitter,
    keeper: PartKeeper,
    /// Heads that were read from the socket, but that hyper has not come to.
    heads: VecDeque<(u64, Option<Bytes>)>,
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
            outgoing: MessageSplitter::new(Direction::Responses),
            keeper: PartKeeper::new(keep),
            heads: VecDeque::new(),
            read: 0,
            told: 0,
            early: Vec::new(),
            unanswered: VecDeque::new(),
            head_bytes: 0,
        }
    }

    /// These parts of requests were read. Returns what there is to tell of them.
    pub(crate) fn received(&mut self, parts: Vec<WholePart>) -> Vec<ServerMoment> {
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
        self.heads.pop_front()
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
            ServerMoment::HeadWritten { number: number(unanswered.front()), bytes, interim, raw }
        }
        WholePart::Body(body) => {
            let number = number(unanswered.pop_front().as_ref());
            ServerMoment::ResponseWritten { number, head_bytes: *head_bytes, body }
        }
    })
}
