//! Where the talk on the wire is: what of a request is written, and whether an answer has begun.

use std::time::Instant;

use evidence::{ExchangeId, Moment};

use wire::http1::HeadReader;

use crate::seen::answer::AnswerBytes;

/// HTTP/1.1 without pipelining alternates, so bytes that go out after a request is complete and its
/// answer has started belong to the next exchange.
#[derive(Default)]
pub(crate) struct Talk {
    pub(crate) told: Telling,
    /// The exchange that will write next, if that is known already.
    pub(crate) next: Option<ExchangeId>,
    pub(crate) requests: u64,
    pub(crate) writing: Writing,
    /// The request says `Expect: 100-continue`, and the server has not said so yet.
    pub(crate) awaits_100: bool,
    pub(crate) response_started: bool,
    /// How many interim responses have come.
    pub(crate) interim: u64,
    /// The answer to the last request, or what came before the first.
    pub(crate) answer: AnswerBytes,
    /// Bytes came before any request was sent: HTTP/1.1 servers do not do that.
    pub(crate) server_spoke_first: bool,
}

impl Talk {
    /// Bytes go out: with them the next request begins, unless they are a part of the last one.
    pub(crate) fn begin_request_if_it_is_time(&mut self) {
        let is_over = self.response_started && matches!(self.writing, Writing::Complete);
        if self.requests == 0 || is_over {
            self.told.exchange = self.next.take();
            self.told.unclaimed.clear();
            if self.requests > 0 {
                self.answer = AnswerBytes::default();
            }
            self.requests += 1;
            self.writing = Writing::Head(HeadReader::default());
            self.awaits_100 = false;
            self.response_started = false;
            self.interim = 0;
        }
    }
}

/// Whose moments are told.
#[derive(Default)]
pub(crate) struct Telling {
    pub(crate) exchange: Option<ExchangeId>,
    /// Moments of an exchange whose number is not known yet.
    pub(crate) unclaimed: Vec<(Instant, Moment)>,
}

/// How far a request is written.
#[derive(Default)]
pub(crate) enum Writing {
    Head(HeadReader),
    /// The head is written, and of the body, which waits for the server's word, not a byte.
    Waiting {
        left: u64,
    },
    Body {
        left: u64,
    },
    /// Nothing is left to write.
    #[default]
    Complete,
    /// The head is written, and nothing else will be; hyper does not know that.
    Withheld,
    /// The connection is gone, and what was left to write never will be written.
    CutShort,
}
