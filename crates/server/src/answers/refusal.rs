//! What RFC 9112 has a server refuse and hyper lets pass.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Version};

use crate::answers::responder::{ResponseBody, close, plain_text};

/// So many bytes of header fields are answered; with more a request is refused.
pub(crate) const MAX_FIELDS: usize = 64 * 1024;

/// So many bytes of a head are read. More than [`MAX_FIELDS`], so that an endless request line is
/// told from too many fields for as long as possible.
pub(crate) const MAX_HEAD: usize = 4 * MAX_FIELDS;

/// Why a request that hyper could parse is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestRefusal {
    /// HTTP/1.1 without a host, or with more than one, or with one that is none (section 3.2).
    Host,
    /// Both `Transfer-Encoding` and `Content-Length`: two readers may see the body end in two
    /// places, and take what is between for a request (section 6.1). The RFC lets a server choose
    /// the first; hyper does, and hides the second.
    TwoLengths,
    /// More header fields than anybody needs (RFC 6585 section 5).
    FieldsTooLarge,
}

/// Decides whether a request is to be refused. In HTTP/2 lengths are the frames' and the host is
/// hyper's.
pub(crate) fn refusal(
    version: Version,
    headers: &HeaderMap,
    two_lengths: bool,
) -> Option<RequestRefusal> {
    let (mut bytes, mut hosts, mut is_bad_host) = (0, 0, false);
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len() + ": \r\n".len();
        if *name == HOST {
            hosts += 1;
            is_bad_host |= !value.as_bytes().iter().all(is_in_hosts);
        }
    }
    if bytes > MAX_FIELDS {
        return Some(RequestRefusal::FieldsTooLarge);
    }
    match version {
        Version::HTTP_11 if hosts != 1 || is_bad_host => Some(RequestRefusal::Host),
        Version::HTTP_10 if hosts > 1 || is_bad_host => Some(RequestRefusal::Host),
        _ => (two_lengths && headers.contains_key(TRANSFER_ENCODING))
            .then_some(RequestRefusal::TwoLengths),
    }
}

/// The characters of a name, an address or a port (RFC 3986 section 3.2.2). An empty host is one.
fn is_in_hosts(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%[]".contains(byte)
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
