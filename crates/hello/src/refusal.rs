//! What RFC 9112 has a server refuse and hyper lets pass.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use http_body_util::{BodyExt, Either, Full};

use crate::routes::ResponseBody;

/// So many bytes of header fields are answered; with more a request is refused.
pub(crate) const MAX_FIELDS: usize = 64 * 1024;

/// So many bytes of a head are read. More than [`MAX_FIELDS`], so that an endless request line is
/// told from too many fields for as long as possible.
pub(crate) const MAX_HEAD: usize = 4 * MAX_FIELDS;

/// Why a request that hyper could parse is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// HTTP/1.1 without a host, or with more than one, or with one that is none (section 3.2).
    Host,
    /// Both `Transfer-Encoding` and `Content-Length`: two readers may see the body end in two
    /// places, and take what is between for a request (section 6.1). The RFC lets a server choose
    /// the first; hyper does, and hides the second.
    TwoLengths,
    /// More header fields than anybody needs (RFC 6585 section 5).
    FieldsTooLarge,
}

/// Whether a request is to be refused. In HTTP/2 lengths are the frames' and the host is hyper's.
pub(crate) fn refusal(version: Version, headers: &HeaderMap, two_lengths: bool) -> Option<Refusal> {
    let (mut bytes, mut hosts, mut is_bad_host) = (0, 0, false);
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len() + ": \r\n".len();
        if *name == HOST {
            hosts += 1;
            is_bad_host |= !value.as_bytes().iter().all(is_in_hosts);
        }
    }
    if bytes > MAX_FIELDS {
        return Some(Refusal::FieldsTooLarge);
    }
    match version {
        Version::HTTP_11 if hosts != 1 || is_bad_host => Some(Refusal::Host),
        Version::HTTP_10 if hosts > 1 || is_bad_host => Some(Refusal::Host),
        _ => {
            (two_lengths && headers.contains_key(TRANSFER_ENCODING)).then_some(Refusal::TwoLengths)
        }
    }
}

/// The characters of a name, an address or a port (RFC 3986 section 3.2.2). An empty host is one.
fn is_in_hosts(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%[]".contains(byte)
}

impl Refusal {
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
        let mut response = text_response(status, text);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// A few words instead of what was asked for.
pub(crate) fn text_response(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(Either::Right(body.boxed_unsync()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
