//! What RFC 9112 has a server refuse and hyper lets pass.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use wire::http1::{RequestFault, TransferCodings, is_host};

use crate::answers::responder::{ResponseBody, close, plain_text};

/// So many bytes of header fields are answered; with more a request is refused.
pub(crate) const MAX_FIELDS: usize = 64 * 1024;

/// So many bytes of a head are read, and may be held for a client that sends no more. Room for a
/// request line as long as hyper takes one, 64 KiB, beside the fields.
pub(crate) const MAX_HEAD: usize = 2 * MAX_FIELDS;

/// Why a request that hyper could parse is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestRefusal {
    /// HTTP/1.1 without a host, or with more than one, or with one that is none (section 3.2).
    Host,
    /// Both `Transfer-Encoding` and `Content-Length`: two readers may see the body end in two
    /// places, and take what is between for a request (section 6.1). The RFC lets a server choose
    /// the first; hyper does, and hides the second.
    TwoLengths,
    /// Chunks, extensions or trailers that are not as the grammar has them (section 7.1).
    Framing,
    /// A target that is none (section 3.2).
    Target,
    /// `Transfer-Encoding` is no list of codings, or has `chunked` twice (section 7).
    Codings,
    /// Transfer codings that this server does not know (section 6.1).
    UnknownCoding,
    /// More header fields than anybody needs (RFC 6585 section 5).
    FieldsTooLarge,
}

/// Decides whether a request is to be refused. In HTTP/2 lengths are the frames' and the host is
/// hyper's.
pub(crate) fn refusal(
    version: Version,
    headers: &HeaderMap,
    fault: Option<RequestFault>,
) -> Option<RequestRefusal> {
    let (mut bytes, mut hosts, mut is_bad_host) = (0, 0, false);
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len() + ": \r\n".len();
        if *name == HOST {
            hosts += 1;
            is_bad_host |= !is_host(value.as_bytes());
        }
    }
    if bytes > MAX_FIELDS {
        return Some(RequestRefusal::FieldsTooLarge);
    }
    match version {
        Version::HTTP_11 if hosts != 1 || is_bad_host => return Some(RequestRefusal::Host),
        Version::HTTP_10 if hosts > 1 || is_bad_host => return Some(RequestRefusal::Host),
        Version::HTTP_10 | Version::HTTP_11 => {}
        _ => return None,
    }
    match fault {
        Some(RequestFault::TwoLengths) => Some(RequestRefusal::TwoLengths),
        Some(RequestFault::Framing) => Some(RequestRefusal::Framing),
        Some(RequestFault::Target) => Some(RequestRefusal::Target),
        None if headers.contains_key(TRANSFER_ENCODING) => {
            let values = headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
            match TransferCodings::of(values) {
                TransferCodings::Chunked => None,
                TransferCodings::Unknown => Some(RequestRefusal::UnknownCoding),
                TransferCodings::Invalid => Some(RequestRefusal::Codings),
            }
        }
        None => None,
    }
}

impl RequestRefusal {
    /// The answer, after which the connection is closed: what follows cannot be trusted.
    pub(crate) fn response(self) -> Response<ResponseBody> {
        let (status, text) = match self {
            Self::Host => {
                (StatusCode::BAD_REQUEST, "a request of HTTP/1.1 names one host (RFC 9112, 3.2)\n")
            }
            Self::TwoLengths => (
                StatusCode::BAD_REQUEST,
                "Transfer-Encoding and Content-Length are one too many (RFC 9112, 6.1)\n",
            ),
            Self::Framing => (
                StatusCode::BAD_REQUEST,
                "a chunk, an extension or a trailer is none (RFC 9112, 7.1)\n",
            ),
            Self::Target => {
                (StatusCode::BAD_REQUEST, "the target of the request is none (RFC 9112, 3.2)\n")
            }
            Self::Codings => (
                StatusCode::BAD_REQUEST,
                "Transfer-Encoding ends in one chunked, and is a list (RFC 9112, 6.1 and 7)\n",
            ),
            Self::UnknownCoding => (
                StatusCode::NOT_IMPLEMENTED,
                "hello knows no transfer coding but chunked (RFC 9112, 6.1)\n",
            ),
            Self::FieldsTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "hello reads no more than 64 KiB of header fields\n",
            ),
        };
        let mut response = plain_text(status, text);
        close(&mut response);
        response
    }
}
