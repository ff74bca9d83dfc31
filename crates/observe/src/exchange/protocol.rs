//! The protocol of a connection, by its first bytes.

use super::SpokenProtocol;

/// The first bytes of HTTP/2 (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The protocol that begins with these bytes; `None` if they are too few to tell.
pub(super) fn protocol(opening: &[u8]) -> Option<SpokenProtocol> {
    if opening.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(opening) {
        return None;
    }
    if opening.starts_with(HTTP2_PREFACE) {
        return Some(SpokenProtocol::Http2);
    }
    match opening {
        [0x16, 3, ..] => return Some(SpokenProtocol::Tls),
        [0x16] => return None,
        _ => {}
    }
    let opening = opening.trim_ascii_start(); // empty lines before the head mean nothing
    let line = opening.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_whole = line.len() < opening.len();
    let method =
        line.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').count();
    let begins_well = method > 0 && line.get(method).is_none_or(|byte| *byte == b' ');
    match (begins_well, is_whole) {
        (false, _) if !opening.is_empty() => Some(SpokenProtocol::Other),
        (_, false) => (opening.len() > 8192).then_some(SpokenProtocol::Other),
        (_, true) => {
            let line = line.trim_ascii_end();
            let is_http = line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
            Some(if is_http { SpokenProtocol::Http1 } else { SpokenProtocol::Other })
        }
    }
}
