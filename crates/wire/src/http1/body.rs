//! One body, and where it ends.

use super::grammar::{are_chunk_extensions, is_field};
use super::head::{HeadFacts, LengthField};
use super::line::{LinePiece, LineReader, number, trimmed};
use super::message::Direction;

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// By its length; 0 is no body.
    Length(u64),
    /// By its last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl BodyFraming {
    /// Returns how the body behind the head of a request is framed. `None` if nobody can tell: two
    /// readers might see its end in two places.
    pub(crate) fn of_request(head: &HeadFacts) -> Option<Self> {
        match (head.chunked, head.length) {
            _ if head.is_ambiguous => None,
            (None, LengthField::Absent) => Some(Self::Length(0)),
            (None, LengthField::Bytes(length)) => Some(Self::Length(length)),
            (Some(true), LengthField::Absent) => Some(Self::Chunked),
            (Some(_), _) | (None, LengthField::Unreadable) => None,
        }
    }

    /// Returns the same for a response that may have a body.
    pub(crate) fn of_response(head: &HeadFacts) -> Option<Self> {
        match (head.chunked, head.length) {
            _ if head.is_ambiguous => None,
            (Some(true), _) => Some(Self::Chunked),
            (Some(false), _) | (None, LengthField::Absent) => Some(Self::UntilClose),
            (None, LengthField::Bytes(length)) => Some(Self::Length(length)),
            (None, LengthField::Unreadable) => None,
        }
    }
}

/// The length of a body, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyLength {
    /// On the wire, with all its framing.
    pub bytes: u64,
    /// Without the framing of chunks (RFC 9112 section 7.1).
    pub content_bytes: u64,
}

impl std::ops::AddAssign for BodyLength {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.content_bytes += more.content_bytes;
    }
}

/// Reads one body that is not empty.
#[derive(Debug)]
pub(crate) struct BodyReader {
    place: BodyPlace,
    direction: Direction,
}

#[derive(Debug)]
enum BodyPlace {
    /// So many bytes are to come.
    Fixed(u64),
    Size(LineReader),
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// The line end behind a chunk is to come.
    DataEnd(LineReader),
    /// The lines behind the last chunk; within one of them if `is_within`.
    Trailers {
        line: LineReader,
        is_within: bool,
    },
    UntilClose,
}

/// The state of a body after some bytes.
pub(crate) enum BodyPiece {
    /// So many of the bytes belong to it, and it goes on.
    Partial(BodyLength),
    /// So many of the bytes belong to it, and it is over.
    Whole(BodyLength),
    /// So many of the bytes were taken for its own, and the last of them are no chunk.
    Malformed(BodyLength),
}

impl BodyReader {
    pub(crate) fn new(framing: BodyFraming, direction: Direction) -> Self {
        let place = match framing {
            BodyFraming::Length(length) => BodyPlace::Fixed(length),
            BodyFraming::Chunked => BodyPlace::Size(LineReader::default()),
            BodyFraming::UntilClose => BodyPlace::UntilClose,
        };
        Self { place, direction }
    }

    pub(crate) fn ends_with_its_connection(&self) -> bool {
        matches!(self.place, BodyPlace::UntilClose)
    }

    /// Takes the bytes that belong to the body, as many as there are.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> BodyPiece {
        let mut rest = bytes;
        let mut content_bytes = 0;
        let length = |rest: &[u8], content_bytes| BodyLength {
            bytes: (bytes.len() - rest.len()) as u64,
            content_bytes,
        };
        while !rest.is_empty() {
            match &mut self.place {
                BodyPlace::UntilClose => {
                    let all = bytes.len() as u64;
                    return BodyPiece::Partial(BodyLength { bytes: all, content_bytes: all });
                }
                BodyPlace::Fixed(left) | BodyPlace::Data(left) => {
                    let taken = (rest.len() as u64).min(*left);
                    *left -= taken;
                    content_bytes += taken;
                    let is_read = *left == 0;
                    let taken = usize::try_from(taken).unwrap_or(rest.len());
                    rest = rest.get(taken..).unwrap_or_default();
                    if is_read {
                        if matches!(self.place, BodyPlace::Fixed(_)) {
                            return BodyPiece::Whole(length(rest, content_bytes));
                        }
                        self.place = BodyPlace::DataEnd(LineReader::default());
                    }
                }
                BodyPlace::Size(line)
                | BodyPlace::DataEnd(line)
                | BodyPlace::Trailers { line, .. } => {
                    let whole = match line.read(rest) {
                        LinePiece::Whole { line, rest: behind } => {
                            rest = behind;
                            line
                        }
                        LinePiece::Cut => return BodyPiece::Partial(length(&[], content_bytes)),
                        LinePiece::TooLong { rest } => {
                            return BodyPiece::Malformed(length(rest, content_bytes));
                        }
                    };
                    match self.next(&whole) {
                        Some(true) => return BodyPiece::Whole(length(rest, content_bytes)),
                        Some(false) => {}
                        None => return BodyPiece::Malformed(length(rest, content_bytes)),
                    }
                }
            }
        }
        BodyPiece::Partial(length(rest, content_bytes))
    }

    /// Goes on behind a line of the framing; true if that was the last, `None` if it makes no
    /// sense.
    ///
    /// Here a line feed alone ends no line: some readers would see a chunk where others see an
    /// extension or a trailer. In a response it is a part of a trailer, as hyper reads it; a
    /// request in which anything is not as the grammar has it is a fault.
    fn next(&mut self, line: &[u8]) -> Option<bool> {
        let is_request = self.direction == Direction::Requests;
        if let BodyPlace::Trailers { is_within, .. } = &mut self.place {
            return match (line.strip_suffix(b"\r\n"), *is_within) {
                (Some([]), false) => Some(true),
                (Some(text), _) if text.contains(&b'\r') => None,
                (Some(text), _) if is_request && !is_field(text) => None,
                (None, _) if is_request || line.contains(&b'\r') => None,
                (whole, _) => {
                    *is_within = whole.is_none();
                    Some(false)
                }
            };
        }
        let text = line.strip_suffix(b"\r\n").filter(|text| !text.contains(&b'\r'))?;
        self.place = match &self.place {
            BodyPlace::Size(_) => match self.size(text)? {
                0 => BodyPlace::Trailers { line: LineReader::default(), is_within: false },
                size => BodyPlace::Data(size),
            },
            BodyPlace::DataEnd(_) if text.is_empty() => BodyPlace::Size(LineReader::default()),
            _ => return None,
        };
        Some(false)
    }

    /// Reads the line of a chunk's size. What follows the size is an extension, which means
    /// nothing here.
    fn size(&self, text: &[u8]) -> Option<u64> {
        let digits = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let (size, behind) = text.split_at(digits);
        let is_fine = match self.direction {
            Direction::Requests => are_chunk_extensions(behind),
            Direction::Responses => matches!(trimmed(behind), [] | [b';', ..]),
        };
        number(size, 16).filter(|_| is_fine)
    }
}
