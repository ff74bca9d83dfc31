//! One direction of a connection, message after message.

use super::body::{BodyFraming, BodyLength, BodyPiece, BodyReader};
use super::head::{HeadFacts, HeadLine, HeadPiece, HeadReader, has_bad_target};
use super::message::{AnsweredMethod, Direction};

/// A part of a message, told as soon as it is there.
///
/// The bytes of all [`Line`](Self::Line)s and [`Body`](Self::Body)s, one behind the other, are
/// those of the stream from its beginning, up to the line of a head that is not whole yet or up to
/// where the splitter is lost; so their sum tells where in the stream a part stands.
#[derive(Debug, PartialEq, Eq)]
pub enum MessagePart<'a> {
    /// A line of a head is whole.
    Line(HeadLine<'a>),
    /// A head is whole.
    Head(HeadFacts),
    /// Bytes of a body, with its framing.
    Body(&'a [u8]),
    /// A message is over: the length of its body. Not told of an interim response (1xx), which is a
    /// head alone.
    End(BodyLength),
}

/// A part of a message that has begun and is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfinishedPart<'a> {
    /// A head.
    Head {
        /// So many bytes of it have come, empty lines before it included.
        bytes: u64,
        /// The beginning of the line that is not whole.
        line: &'a [u8],
    },
    /// A body, of which so much has come.
    Body(BodyLength),
}

/// Tells the messages of one direction of a connection apart.
#[derive(Debug)]
pub struct MessageSplitter {
    direction: Direction,
    place: MessagePlace,
    /// How many heads have come whole.
    heads: u64,
    body: BodyLength,
    fault: Option<(u64, RequestFault)>,
}

/// The reason for which no reader should trust a request, or what comes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// Its body has two lengths: both `Transfer-Encoding` and `Content-Length` (RFC 9112 section
    /// 6.1).
    TwoLengths,
    /// Its body is not framed as the grammar has it: its chunks, their extensions, its trailers
    /// (section 7.1), or what its head says of them.
    Framing,
    /// Its target is none (section 3.2).
    Target,
}

#[derive(Debug)]
enum MessagePlace {
    Head(HeadReader),
    Body(BodyReader),
    /// The bytes that come are no message any more: it makes no sense, or it is another protocol's.
    Lost,
}

impl MessageSplitter {
    /// Begins before the first message.
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        let place = MessagePlace::Head(HeadReader::default());
        Self { direction, place, heads: 0, body: BodyLength::default(), fault: None }
    }

    /// Reads on, and calls `tell` for every part. `answers` is asked once for each final response
    /// which method it answers; of requests it is never asked.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut answers: impl FnMut() -> AnsweredMethod,
        mut tell: impl FnMut(MessagePart<'_>),
    ) {
        while !bytes.is_empty() {
            match &mut self.place {
                MessagePlace::Lost => return,
                MessagePlace::Head(head) => {
                    match head.advance(bytes, |line| tell(MessagePart::Line(line))) {
                        HeadPiece::Partial => return,
                        HeadPiece::TooLong => self.place = MessagePlace::Lost,
                        HeadPiece::Whole { facts, rest } => {
                            bytes = rest;
                            self.heads += 1;
                            tell(MessagePart::Head(facts));
                            self.after(&facts, &mut answers, &mut tell);
                        }
                    }
                }
                MessagePlace::Body(body) => {
                    let (length, is_over) = match body.read(bytes) {
                        BodyPiece::Partial(length) => (length, false),
                        BodyPiece::Whole(length) => (length, true),
                        BodyPiece::Malformed(length) => {
                            self.place = MessagePlace::Lost;
                            self.note_fault(RequestFault::Framing);
                            (length, false)
                        }
                    };
                    let taken = usize::try_from(length.bytes).unwrap_or(bytes.len());
                    let (taken, rest) = bytes.split_at(taken.min(bytes.len()));
                    self.body += length;
                    if !taken.is_empty() {
                        tell(MessagePart::Body(taken));
                    }
                    bytes = rest;
                    if is_over {
                        self.end(&mut tell);
                    }
                }
            }
        }
    }

    /// The direction is closed: so is a body whose end that is. Also for the requests before a
    /// tunnel, once its response has come: what follows is no message in either direction.
    pub fn close(&mut self, mut tell: impl FnMut(MessagePart<'_>)) {
        if matches!(&self.place, MessagePlace::Body(body) if body.ends_with_its_connection()) {
            self.end(&mut tell);
        }
        self.place = MessagePlace::Lost;
    }

    /// Notes a head that [`is_one_bodyless_head`] has found to be whole, instead of reading it.
    /// Returns false if it has to be read, because something has come before it.
    pub fn skip_bodyless_head(&mut self) -> bool {
        let is_next = matches!(&self.place, MessagePlace::Head(head) if head.is_fresh());
        self.heads += u64::from(is_next);
        is_next
    }

    /// Goes on behind a head.
    fn after(
        &mut self,
        head: &HeadFacts,
        answers: &mut impl FnMut() -> AnsweredMethod,
        tell: &mut impl FnMut(MessagePart<'_>),
    ) {
        let framing = match self.direction {
            Direction::Requests => {
                if head.has_bad_target {
                    self.note_fault(RequestFault::Target);
                }
                let framing = BodyFraming::of_request(head);
                if framing.is_none() {
                    let is_twofold = head.chunked.is_some() && head.length != Default::default();
                    self.note_fault(match is_twofold {
                        true => RequestFault::TwoLengths,
                        false => RequestFault::Framing,
                    });
                }
                framing
            }
            Direction::Responses => match (head.status, self.of_final(head, answers)) {
                (Some(101) | None, _) | (_, Some(AnsweredMethod::Connect)) => None,
                (_, None) => {
                    self.place = MessagePlace::Head(HeadReader::default());
                    return;
                }
                (Some(204 | 304), _) | (_, Some(AnsweredMethod::Head)) => {
                    Some(BodyFraming::Length(0))
                }
                _ => BodyFraming::of_response(head),
            },
        };
        match framing {
            None => self.place = MessagePlace::Lost,
            Some(BodyFraming::Length(0)) => self.end(tell),
            Some(framing) => {
                self.place = MessagePlace::Body(BodyReader::new(framing, self.direction));
            }
        }
    }

    /// Asks what a final response answers; `None` for an interim one. A `CONNECT` that failed is
    /// answered like any other request.
    fn of_final(
        &self,
        head: &HeadFacts,
        answers: &mut impl FnMut() -> AnsweredMethod,
    ) -> Option<AnsweredMethod> {
        match head.status {
            Some(100..=199) => None,
            Some(200..=299) => Some(answers()),
            _ => Some(match answers() {
                AnsweredMethod::Connect => AnsweredMethod::Other,
                method => method,
            }),
        }
    }

    /// Notes the first fault of the requests; responses have none.
    fn note_fault(&mut self, fault: RequestFault) {
        if self.direction == Direction::Requests {
            self.fault.get_or_insert((self.heads, fault));
        }
    }

    fn end(&mut self, tell: &mut impl FnMut(MessagePart<'_>)) {
        self.place = MessagePlace::Head(HeadReader::default());
        tell(MessagePart::End(std::mem::take(&mut self.body)));
    }

    /// Returns the number of heads that have come, whole or in part.
    #[must_use]
    pub fn heads_begun(&self) -> u64 {
        let begun = matches!(&self.place, MessagePlace::Head(head) if head.has_begun());
        self.heads + u64::from(begun)
    }

    /// Returns true if more bytes of a body are to come, or of what somebody may take for one.
    #[must_use]
    pub fn is_within_a_body(&self) -> bool {
        matches!(self.place, MessagePlace::Body(_))
            || matches!(self.fault, Some((_, RequestFault::TwoLengths | RequestFault::Framing)))
    }

    /// Returns the first fault, and the number of its request, from 1. What comes behind that
    /// request may be anything.
    #[must_use]
    pub fn fault(&self) -> Option<(u64, RequestFault)> {
        self.fault
    }

    /// Returns the part that has begun and is not over. A body that has turned out to be none stays
    /// so for ever.
    #[must_use]
    pub fn unfinished(&self) -> Option<UnfinishedPart<'_>> {
        match &self.place {
            MessagePlace::Head(head) => head.has_begun().then(|| {
                let (bytes, line) = head.so_far();
                UnfinishedPart::Head { bytes, line }
            }),
            MessagePlace::Body(_) | MessagePlace::Lost => {
                (self.body.bytes > 0).then_some(UnfinishedPart::Body(self.body))
            }
        }
    }

    /// Returns true if what comes is no message any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.place, MessagePlace::Lost)
    }
}

/// Returns true if these bytes are exactly one head of a request that has no fault, and no line of
/// it could be a length. That is what most clients send all the time, so it is found out in one quick look.
#[must_use]
pub fn is_one_bodyless_head(bytes: &[u8]) -> bool {
    let Some(lines) = bytes.strip_suffix(b"\n\r\n") else { return false };
    let starts_well = bytes.first().is_some_and(u8::is_ascii_uppercase)
        && bytes.split(|byte| *byte == b'\n').next().is_some_and(|line| !has_bad_target(line));
    let mut after_end = false;
    let could_be_more = lines.iter().any(|byte| {
        let start = std::mem::replace(&mut after_end, *byte == b'\n');
        start && matches!(byte, b'C' | b'c' | b'T' | b't' | b' ' | b'\t' | b'\r' | b'\n')
    });
    starts_well && !could_be_more
}

#[cfg(test)]
mod tests;
