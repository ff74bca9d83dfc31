//! Where a URL leads: what connections are pooled by.

use std::net::Ipv6Addr;

use http::Uri;

use crate::failure::error::Error;

/// The scheme, host and port of a URL: what connections are pooled by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// True if the scheme is https.
    pub(crate) tls: bool,
    /// A name, or an IP address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// Where `uri` leads, for a client that speaks TLS or not.
    pub(crate) fn of(uri: &Uri, tls_is_spoken: bool) -> Result<Self, Error> {
        let unsupported =
            |because| Error::UnsupportedUrl { url: shown_url(&uri.to_string()), because };
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") if tls_is_spoken => true,
            Some("https") => return Err(unsupported("TLS is not spoken here, only http")),
            Some(_) if tls_is_spoken => {
                return Err(unsupported("the scheme is neither http nor https"));
            }
            Some(_) => return Err(unsupported("the scheme is not http")),
            None => return Err(unsupported("it does not start with http://")),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(unsupported("the user name or password in it would not be sent"));
        }
        let (host, port) = host_and_port(authority).map_err(unsupported)?;
        Ok(Self { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:80`: as Go's `GetConn` tells it.
    pub(crate) fn host_port(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// The host and port of `host`, `host:port` or `[host]:port`.
///
/// # Errors
/// The reason for which nobody can connect to that. Nothing is put in place of what is wrong.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let end_of_host = authority.rfind(']').unwrap_or_default();
    let colon = authority.get(end_of_host..).and_then(|rest| rest.find(':'));
    let (host, port) = match colon {
        Some(colon) => {
            let (host, port) = authority.split_at(end_of_host + colon);
            (host, Some(port_of(port.trim_start_matches(':'))?))
        }
        None => (authority, None),
    };
    Ok((host_of(host)?, port))
}

/// A host as it is dialled: a name, or an IP address without brackets.
///
/// # Errors
/// The reason for which it is none.
pub(crate) fn host_of(text: &str) -> Result<String, &'static str> {
    let Some(inside) = text.strip_prefix('[') else {
        return match text {
            "" => Err("it names no host"),
            text if text.contains(['[', ']']) => Err("a bracket has no counterpart"),
            text => Ok(text.to_owned()),
        };
    };
    let address = inside.strip_suffix(']').ok_or("a bracket has no counterpart")?;
    // What is behind a `%` names an interface (RFC 6874).
    let bare = address.split_once('%').map_or(address, |(bare, _)| bare);
    match bare.parse::<Ipv6Addr>() {
        Ok(_) => Ok(address.to_owned()),
        Err(_) => Err("what is in brackets is no IPv6 address"),
    }
}

/// A port that can be dialled.
///
/// # Errors
/// The reason for which it is none.
pub(crate) fn port_of(text: &str) -> Result<u16, &'static str> {
    // A sign is none of it, though Rust would read one.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port > 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535"),
    }
}

/// A URL as it may be shown to anybody: without a user's name and password. A text that is none is
/// looked at in the same way.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let start = url.find("//").map_or(0, |slashes| slashes + 2);
    let (before, rest) = url.split_at(start);
    let authority = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(authority);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{before}{host}{behind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, tls_is_spoken: bool) -> Result<String, String> {
        let uri = url.parse().map_err(|e: http::uri::InvalidUri| e.to_string())?;
        Target::of(&uri, tls_is_spoken).map(|t| t.host_port()).map_err(|e| e.to_string())
    }

    #[test]
    fn connections_are_pooled_by_host_and_port() {
        for tls in [false, true] {
            assert_eq!(target("http://localhost/a?b", tls).as_deref(), Ok("localhost:80"));
            assert_eq!(target("http://127.0.0.1:8080", tls).as_deref(), Ok("127.0.0.1:8080"));
            assert_eq!(target("http://[::1]:8080/", tls).as_deref(), Ok("[::1]:8080"));
        }
    }

    #[test]
    fn and_by_scheme() {
        assert_eq!(target("https://localhost/a?b", true).as_deref(), Ok("localhost:443"));
        let of = |url: &str| Target::of(&url.parse().unwrap(), true).unwrap();
        assert_ne!(of("https://localhost:8080"), of("http://localhost:8080"));
    }

    #[test]
    fn a_url_that_cannot_be_fetched_is_refused_with_the_reason() {
        for (url, tls, because) in [
            ("https://localhost/", false, "TLS is not spoken here"),
            ("ftp://localhost/", false, "the scheme is not http"),
            ("ftp://localhost/", true, "the scheme is neither http nor https"),
            ("/only/a/path", false, "does not start with http://"),
            ("http://u:secret@localhost/", false, "would not be sent"),
            ("http://localhost:99999/", false, "a number from 1 to 65535"),
            ("http://localhost:0/", false, "a number from 1 to 65535"),
            ("http://localhost:/", false, "a number from 1 to 65535"),
            ("http://localhost:-1/", false, "a number from 1 to 65535"),
            ("http://localhost:8o/", false, "a number from 1 to 65535"),
            ("https://[::1]:65536/", true, "a number from 1 to 65535"),
            ("http://[local]/", false, "no IPv6 address"),
        ] {
            let error = target(url, tls).unwrap_err();
            assert!(error.contains(because) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn an_ipv6_address_may_name_its_interface() {
        assert_eq!(host_of("[fe80::1%eth0]").as_deref(), Ok("fe80::1%eth0"));
        assert_eq!(host_of("[::1]").as_deref(), Ok("::1"));
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("http://u:p@h:1/a@b?c#d@e", "http://h:1/a@b?c#d@e"),
            ("http://u:p@x@h", "http://h"),
            ("//u:p@h/", "//h/"),
            ("u:p@h/", "h/"),
            ("/a", "/a"),
            ("http://h/?u@v", "http://h/?u@v"),
            ("http://u:p@h\\a@b", "http://h\\a@b"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
