//! How connections are made, beyond the limits: with TLS, and elsewhere than the URL says.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::dial::target::{Target, host_of, port_of, shown_url};
use crate::dial::tls::Tls;
use crate::failure::error::Error;

/// How connections are made, beyond the limits.
#[derive(Clone, Debug, Default)]
pub struct Dialling {
    /// The TLS that connections to https URLs are made with; without it such a URL is refused.
    pub tls: Option<Tls>,
    /// The addresses that are dialled in place of a URL's host and port; the first that fits
    /// counts.
    pub connect_to: Vec<ConnectTo>,
}

impl Dialling {
    /// Reads a URL that a client which dials like this can fetch: absolute, and with the scheme
    /// http, or https if there is TLS.
    ///
    /// # Errors
    /// [`Error::BadUrl`] or [`Error::UnsupportedUrl`], with the reason.
    pub fn check_url(&self, url: &str) -> Result<Uri, Error> {
        check_url(url, self.tls.is_some())
    }

    /// The host and port that are dialled for `target`.
    pub(crate) fn host_and_port<'a>(&'a self, target: &'a Target) -> (&'a str, u16) {
        let rule = self.connect_to.iter().find(|rule| rule.fits(target));
        let (host, port) =
            rule.map_or((None, None), |rule| (rule.to_host.as_deref(), rule.to_port));
        (host.unwrap_or(&target.host), port.unwrap_or(target.port))
    }
}

pub(crate) fn check_url(url: &str, tls_is_spoken: bool) -> Result<Uri, Error> {
    // The parser's words for these say less.
    let because = match url.split_once("://") {
        Some((scheme, _)) if !["http", "https"].iter().any(|s| s.eq_ignore_ascii_case(scheme)) => {
            Some("the scheme is neither http nor https")
        }
        Some((_, rest)) if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) => {
            Some("it names no host")
        }
        _ => None,
    };
    if let Some(because) = because {
        return Err(Error::UnsupportedUrl { url: shown_url(url), because });
    }
    let uri = url.parse().map_err(|source| Error::BadUrl { url: shown_url(url), source })?;
    Target::of(&uri, tls_is_spoken)?;
    Ok(uri)
}

/// Dials another address than the URL says, as curl's `--connect-to HOST:PORT:ADDR:PORT` does.
///
/// Only where is dialled changes: `Host`, the name asked for in TLS, and the host and port that
/// connections are pooled by stay those of the URL.
///
/// An empty HOST or PORT before the address stands for any; an empty ADDR or PORT after it leaves
/// the URL's own. ADDR is an IP address, with brackets if it is one of IPv6, or a name.
///
/// ```
/// use transport::ConnectTo;
/// let rule: ConnectTo = "example.org:443:[::1]:8443".parse()?;
/// assert_eq!(rule.to_string(), "example.org:443:[::1]:8443");
/// assert!("example.org:443".parse::<ConnectTo>().is_err());
/// # Ok::<(), transport::NoConnectTo>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    host: Option<String>,
    port: Option<u16>,
    to_host: Option<String>,
    to_port: Option<u16>,
}

impl ConnectTo {
    fn fits(&self, target: &Target) -> bool {
        self.host.as_ref().is_none_or(|host| host.eq_ignore_ascii_case(&target.host))
            && self.port.is_none_or(|port| port == target.port)
    }
}

/// A text is no [`ConnectTo`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not HOST:PORT:ADDR:PORT: {because}")]
pub struct NoConnectTo {
    text: String,
    because: &'static str,
}

impl FromStr for ConnectTo {
    type Err = NoConnectTo;

    fn from_str(text: &str) -> Result<Self, NoConnectTo> {
        let no = |because| NoConnectTo { text: text.to_owned(), because };
        let mut parts = split_outside_brackets(text).into_iter();
        let [Some(host), Some(port), Some(to_host), Some(to_port), None] =
            std::array::from_fn(|_| parts.next())
        else {
            return Err(no("there are not four parts (an IPv6 address needs brackets)"));
        };
        let host_or_none = |part: &str| match part {
            "" => Ok(None),
            host => host_of(host).map(Some).map_err(no),
        };
        let port_or_none = |part: &str| match part {
            "" => Ok(None),
            port => port_of(port).map(Some).map_err(no),
        };
        Ok(Self {
            host: host_or_none(host)?,
            port: port_or_none(port)?,
            to_host: host_or_none(to_host)?,
            to_port: port_or_none(to_port)?,
        })
    }
}

/// The parts between colons, of which those in brackets separate nothing.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        inside = if inside { c != ']' } else { c == '[' };
        c == ':' && !inside
    })
    .collect()
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Option<String>| match host.as_deref() {
            Some(host) if host.contains(':') => format!("[{host}]"),
            host => host.unwrap_or_default().to_owned(),
        };
        let port = |port: Option<u16>| port.map_or(String::new(), |port| port.to_string());
        let Self { host: from, port: from_port, to_host, to_port } = self;
        let (from, to) = (host(from), host(to_host));
        write!(f, "{from}:{}:{to}:{}", port(*from_port), port(*to_port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialled(rules: &[&str], url: &str) -> String {
        let connect_to = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let dialling = Dialling { tls: None, connect_to };
        let target = Target::of(&url.parse().unwrap(), true).unwrap();
        let (host, port) = dialling.host_and_port(&target);
        format!("{host} {port}")
    }

    #[test]
    fn the_first_rule_that_fits_says_where_is_dialled() {
        for (rules, expected) in [
            (&[][..], "example.org 80"),
            (&["example.org:80:127.0.0.1:8080"], "127.0.0.1 8080"),
            (&["EXAMPLE.org:80:[::1]:8080"], "::1 8080"),
            (&["::[::1]:"], "::1 80"),
            (&[":::8080"], "example.org 8080"),
            (&["other.org:80:127.0.0.1:1", "example.org::localhost:2"], "localhost 2"),
            (&["example.org:443:127.0.0.1:1"], "example.org 80"),
            (&["::127.0.0.1:1", "example.org:80:127.0.0.1:2"], "127.0.0.1 1"),
        ] {
            assert_eq!(dialled(rules, "http://example.org/"), expected, "{rules:?}");
        }
        assert_eq!(dialled(&["[::1]:443::1"], "https://[::1]/"), "::1 1");
    }

    #[test]
    fn a_rule_that_is_none_is_refused_with_the_reason() {
        for (text, because) in [
            ("", "four parts"),
            ("example.org:80:127.0.0.1", "four parts"),
            ("a:1:b:2:c", "four parts"),
            ("a:80:::1:80", "four parts"),
            ("a:80:[::1:80", "four parts"),
            ("a:80:b]:80", "a bracket has no counterpart"),
            ("a:http:b:80", "a port is a number"),
            ("a:80:b:65536", "a port is a number"),
            ("a:80:b:+80", "a port is a number"),
            ("a:80:b:0", "a port is a number"),
            ("a:80:[b]:80", "no IPv6 address"),
            ("[]:80:b:80", "no IPv6 address"),
        ] {
            let error = text.parse::<ConnectTo>().unwrap_err().to_string();
            assert!(error.contains(because) && error.contains(text), "{error}");
        }
    }
}
