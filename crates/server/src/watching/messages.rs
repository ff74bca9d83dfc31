//! The messages of one connection of HTTP/1.1 with the numbers of their exchanges, for whoever
//! wants every step of them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::watching::message::{Direction, Part, Splitter, status};
use crate::watching::observer::ServerMoment;

/// Both directions of a connection.
pub(crate) struct Messages {
    keep: bool,
    incoming: Splitter,
    outgoing: Splitter,
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
            keep,
            incoming: Splitter::new(Direction::Requests, keep),
            outgoing: Splitter::new(Direction::Responses, keep),
            heads: VecDeque::new(),
            read: 0,
            told: 0,
            early: Vec::new(),
            unanswered: VecDeque::new(),
            head_bytes: 0,
        }
    }

    /// Bytes were read. Returns what is over with them.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Vec<ServerMoment> {
        let Self { keep, incoming, heads, read, told, early, .. } = self;
        let mut moments = Vec::new();
        let tell = |part| match part {
            Part::Head(head) => {
                *read += 1;
                heads.push_back((head.len() as u64, keep.then(|| head.into())));
            }
            Part::Body(body) if body.bytes > 0 => {
                let moment = ServerMoment::RequestBody { number: *read, body };
                if *read > *told { early.push(moment) } else { moments.push(moment) }
            }
            Part::Body(_) => {}
        };
        incoming.feed(bytes, || false, tell);
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
        let mut moments = Vec::new();
        self.outgoing(
            |splitter, answers_head, tell| splitter.feed(bytes, answers_head, tell),
            |m| {
                moments.push(m);
            },
        );
        moments
    }

    /// The connection is over.
    pub(crate) fn closed(&mut self) -> Vec<ServerMoment> {
        let mut moments = Vec::new();
        self.outgoing(|splitter, _, tell| splitter.end(tell), |m| moments.push(m));
        moments
    }

    fn outgoing(
        &mut self,
        with: impl FnOnce(&mut Splitter, &dyn Fn() -> bool, &mut dyn FnMut(Part)),
        mut told: impl FnMut(ServerMoment),
    ) {
        let Self { keep, outgoing, unanswered, head_bytes, told: told_requests, .. } = self;
        let unanswered = std::cell::RefCell::new(unanswered);
        // What hyper answers without having passed on a request, such as 400, belongs to what would
        // have been the next one.
        let number = |front: Option<&(u64, bool)>| front.map_or(*told_requests + 1, |(n, _)| *n);
        let answers_head = || unanswered.borrow().front().is_some_and(|(_, is_head)| *is_head);
        let mut tell = |part| match part {
            Part::Head(head) => {
                *head_bytes = head.len() as u64;
                told(ServerMoment::HeadWritten {
                    number: number(unanswered.borrow().front()),
                    bytes: *head_bytes,
                    interim: status(&head).is_some_and(|status| status < 200),
                    raw: keep.then(|| head.into()),
                });
            }
            Part::Body(body) => {
                let front = unanswered.borrow_mut().pop_front();
                let number = number(front.as_ref());
                told(ServerMoment::ResponseWritten { number, head_bytes: *head_bytes, body });
            }
        };
        with(outgoing, &answers_head, &mut tell);
    }
}
