//! Where a URL leads: what connections are pooled by.

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
        let unsupported = |because| Error::UnsupportedUrl { url: uri.to_string(), because };
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
        let host = without_brackets(uri.host().unwrap_or_default());
        if host.is_empty() {
            return Err(unsupported("it names no host"));
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:80`: as Go's `GetConn` tells it.
    pub(crate) fn host_port(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// `[::1]` as `::1`, anything else as it is.
pub(crate) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
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
        ] {
            let error = target(url, tls).unwrap_err();
            assert!(error.contains(because), "{error}");
        }
    }
}
