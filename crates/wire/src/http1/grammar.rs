//! The grammar of the parts of a request that decide where it ends and whom it is for (RFC 9110,
//! RFC 9112 and RFC 3986).

use std::net::Ipv6Addr;

use super::line::trimmed;

/// The characters of a path that need no escape: `pchar` but for `%` (RFC 3986 section 3.3), and
/// the slash.
const IN_PATH: [bool; 256] = table(b"-._~!$&'()*+,;=:@/");
/// The characters of a query: those of a path, and the question mark (section 3.4).
const IN_QUERY: [bool; 256] = table(b"-._~!$&'()*+,;=:@/?");
/// The characters of a name in the place of a host (section 3.2.2).
const IN_NAME: [bool; 256] = table(b"-._~!$&'()*+,;=");
/// The characters of a token (RFC 9110 section 5.6.2).
const IN_TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// Letters, digits and `more`.
const fn table(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut place = 0;
    while place < more.len() {
        table[more[place] as usize] = true;
        place += 1;
    }
    table
}

fn is_in(table: &[bool; 256], byte: u8) -> bool {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Returns true if these are characters of `table` and escapes (`%` and two digits).
fn is_escaped(table: &[bool; 256], mut text: &[u8]) -> bool {
    loop {
        text = match text {
            [] => return true,
            [b'%', one, two, rest @ ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit() => {
                rest
            }
            [byte, rest @ ..] if is_in(table, *byte) => rest,
            _ => return false,
        };
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_in(&IN_TOKEN, *byte))
}

fn split_at_first(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|it| *it == byte) {
        Some(place) => {
            let (before, after) = text.split_at(place);
            (before, after.get(1..))
        }
        None => (text, None),
    }
}

/// Returns true if a request of this method may have this target (RFC 9112 section 3.2): a path,
/// a whole URI, an authority with `CONNECT`, an asterisk with `OPTIONS`. Never a fragment.
#[must_use]
pub fn is_target(method: &[u8], target: &[u8]) -> bool {
    match (method, target) {
        (b"CONNECT", _) => matches!(host_and_port(target), Some((host, Some(port)))
            if !host.is_empty() && !port.is_empty()),
        (_, [b'/', ..]) => is_path_and_query(target),
        (b"OPTIONS", b"*") => true,
        _ => is_whole_uri(target),
    }
}

fn is_path_and_query(text: &[u8]) -> bool {
    let (path, query) = split_at_first(text, b'?');
    is_escaped(&IN_PATH, path) && query.is_none_or(|query| is_escaped(&IN_QUERY, query))
}

fn is_whole_uri(text: &[u8]) -> bool {
    let (scheme, Some(rest)) = split_at_first(text, b':') else { return false };
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    let Some(rest) = rest.strip_prefix(b"//") else { return false };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Who is before an at sign is named for nobody (RFC 9110 section 4.2.4), but it is grammar.
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    is_scheme
        && host_and_port(host).is_some_and(|(host, _)| !host.is_empty())
        && is_path_and_query(path)
}

/// Returns true if this is the value of a field `Host` (RFC 9110 section 7.2). An empty one is.
#[must_use]
pub fn is_host(value: &[u8]) -> bool {
    host_and_port(value).is_some()
}

/// Splits a host from its port; `None` if it is none.
fn host_and_port(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (host, behind) = match text {
        [b'[', inside @ ..] => {
            let (inside, behind) = split_at_first(inside, b']');
            is_address_literal(inside).then_some((inside, behind?))?
        }
        _ => {
            let name = split_at_first(text, b':').0;
            is_escaped(&IN_NAME, name).then(|| text.split_at(name.len()))?
        }
    };
    match behind {
        [] => Some((host, None)),
        [b':', port @ ..] if port.iter().all(u8::is_ascii_digit) => Some((host, Some(port))),
        _ => None,
    }
}

/// An address of IPv6, or of a version to come (RFC 3986 section 3.2.2).
fn is_address_literal(text: &[u8]) -> bool {
    let is_ipv6 = std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    let of_the_future = || {
        let [b'v' | b'V', rest @ ..] = text else { return false };
        let (version, Some(address)) = split_at_first(rest, b'.') else { return false };
        let is_number = !version.is_empty() && version.iter().all(u8::is_ascii_hexdigit);
        is_number
            && !address.is_empty()
            && address.iter().all(|byte| *byte == b':' || is_in(&IN_NAME, *byte))
    };
    is_ipv6 || of_the_future()
}

/// Returns true if this may stand behind the size of a chunk: nothing, or extensions, each with a
/// semicolon, a name and perhaps a value (RFC 9112 section 7.1.1).
pub(crate) fn are_chunk_extensions(mut text: &[u8]) -> bool {
    loop {
        if text.is_empty() {
            return true;
        }
        let [b';', rest @ ..] = skip_space(text) else { return false };
        let rest = skip_space(rest);
        let name = rest.iter().position(|byte| !is_in(&IN_TOKEN, *byte)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(name);
        if name.is_empty() {
            return false;
        }
        text = match skip_space(behind) {
            [b'=', value @ ..] => match after_value(skip_space(value)) {
                Some(rest) => rest,
                None => return false,
            },
            _ => behind,
        };
    }
}

fn skip_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Returns the text behind a token or a quoted string (RFC 9110 section 5.6.4).
fn after_value(text: &[u8]) -> Option<&[u8]> {
    let [b'"', quoted @ ..] = text else {
        let end = text.iter().position(|byte| !is_in(&IN_TOKEN, *byte)).unwrap_or(text.len());
        return (end > 0).then(|| text.get(end..))?;
    };
    let mut rest = quoted;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', byte, behind @ ..] if is_text(*byte) => behind,
            [byte, behind @ ..] if *byte != b'\\' && is_text(*byte) => behind,
            _ => return None,
        };
    }
}

/// Returns true for what is no control character, but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Returns true if a line, without its end, is a header field (RFC 9110 section 5).
pub(crate) fn is_field(line: &[u8]) -> bool {
    let (name, value) = split_at_first(line, b':');
    is_token(name) && value.is_some_and(|value| value.iter().all(|byte| is_text(*byte)))
}

/// What a request's transfer codings ask of a server that knows `chunked` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferCodings {
    /// `chunked`, once, and nothing else.
    Chunked,
    /// Others before a last `chunked`: to be answered 501 (RFC 9112 section 6.1).
    Unknown,
    /// No list of codings, or `chunked` twice or not at its end (RFC 9112 section 7).
    Invalid,
}

impl TransferCodings {
    /// Reads the values of all fields `Transfer-Encoding` of a message.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut codings = values.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        // Empty elements of a list mean nothing (RFC 9110 section 5.6.1).
        let mut codings = codings.by_ref().map(trimmed).filter(|coding| !coding.is_empty());
        let (mut last_is_chunked, mut is_alone) = (false, true);
        for (place, coding) in codings.by_ref().enumerate() {
            let (name, parameters) = split_at_first(coding, b';');
            let is_whole = is_token(trimmed(name))
                && parameters.is_none_or(|text| are_chunk_extensions(&[b";", text].concat()));
            if last_is_chunked || !is_whole {
                return Self::Invalid;
            }
            last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            is_alone = place == 0;
        }
        match (last_is_chunked, is_alone) {
            (true, true) => Self::Chunked,
            (true, false) => Self::Unknown,
            (false, _) => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_the_rfc() {
        for (method, target) in [
            ("GET", "/"),
            ("GET", "/a/b;c=d?e=f&g=/?"),
            ("GET", "/%41%e9"),
            ("GET", "//a"),
            ("GET", "http://h"),
            ("GET", "http://h:80/a?b"),
            ("GET", "http://[::1]:8/a"),
            ("OPTIONS", "*"),
            ("CONNECT", "h:443"),
            ("CONNECT", "[::1]:443"),
        ] {
            assert!(is_target(method.as_bytes(), target.as_bytes()), "{method} {target}");
        }
        for (method, target) in [
            ("GET", "/é"),
            ("GET", "/\\"),
            ("GET", "/{}"),
            ("GET", "/|"),
            ("GET", "/^"),
            ("GET", "/a#f"),
            ("GET", "/?a\"b"),
            ("GET", "/%4"),
            ("GET", "/%zz"),
            ("GET", "#f"),
            ("GET", "echo"),
            ("GET", "*"),
            ("GET", "a:80"),
            ("GET", "http:///a"),
            ("GET", ""),
            ("CONNECT", "/"),
            ("CONNECT", "h"),
            ("CONNECT", "h:"),
        ] {
            assert!(!is_target(method.as_bytes(), target.as_bytes()), "{method} {target}");
        }
    }

    #[test]
    fn hosts_are_those_of_the_rfc() {
        for host in
            ["", "a", "a:", "a:80", "a.b-c_d", "1.2.3.4:5", "[::1]", "[::1]:8", "%41", ":80"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a:b", "a:80:80", "[::1", "::1", "%zz", "][", "[]", "[::1]x", "[v.a]", "a b", "a@b",
            "é",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn extensions_have_names_and_perhaps_values() {
        for text in ["", ";a", ";a=b", " ; a = b ;c", ";a=\"b;c\\\"\";d", ";a=\"\""] {
            assert!(are_chunk_extensions(text.as_bytes()), "{text:?}");
        }
        for text in [
            " ",
            "\t",
            ";",
            "; ",
            ";=",
            ";=a",
            ";a=",
            ";a b",
            ";a=\"",
            ";a=\"b\"c",
            ";\0",
            ";\x7f\x01",
            ";;",
            "x",
        ] {
            assert!(!are_chunk_extensions(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn codings_end_in_one_chunked() {
        let codings = |values: &[&str]| TransferCodings::of(values.iter().map(|it| it.as_bytes()));
        for values in [&["chunked"][..], &["CHUNKED"], &[", chunked,"]] {
            assert_eq!(codings(values), TransferCodings::Chunked, "{values:?}");
        }
        for values in [&["gzip, chunked"][..], &["x;a=b", "chunked"], &["identity, chunked"]] {
            assert_eq!(codings(values), TransferCodings::Unknown, "{values:?}");
        }
        for values in [
            &["chunked, chunked"][..],
            &["chunked", "chunked"],
            &[";, chunked"],
            &["a b, chunked"],
            &[""],
        ] {
            assert_eq!(codings(values), TransferCodings::Invalid, "{values:?}");
        }
    }
}
