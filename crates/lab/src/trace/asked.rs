//! What is asked for: by the command line, or by a redirect.

use std::cell::RefCell;
use std::path::Path;

use anyhow::Context;
use apparatus::with_causes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use evidence::ExchangeId;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use transport::Dialling;
use url::{SyntaxViolation, Url};

use super::FetchAnswer;
use crate::bounded_file;
use crate::cli::Trace;

/// One request, before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct FetchPlan {
    /// Its method.
    pub(crate) method: Method,
    /// Its URL, without a user's name and password: those are in [`FetchPlan::headers`].
    pub(crate) url: Url,
    /// Its header fields, as they were asked for.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) data: Vec<u8>,
    /// The exchange that led here by a redirect, if one did.
    pub(crate) redirected_from: Option<ExchangeId>,
}

/// The most bytes that a body is read of: it is held in memory.
const MOST_DATA: u64 = 256 << 20;

impl FetchPlan {
    /// Returns true if TLS is to be spoken.
    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }
}

/// The requests of one round: one for each of `urls`.
///
/// # Errors
/// If what is asked for makes no sense, with the flag or the URL that is to blame.
pub(crate) fn round(
    args: &Trace,
    urls: &[String],
    dialling: &Dialling,
) -> anyhow::Result<Vec<FetchPlan>> {
    let data = args.data.as_deref().map(data).transpose()?.unwrap_or_default();
    let method = match &args.method {
        Some(method) => method.parse().with_context(|| format!("--method {method}"))?,
        None if args.data.is_some() => Method::POST,
        None => Method::GET,
    };
    let mut headers = HeaderMap::new();
    for field in &args.headers {
        let (name, value) = parse_field(field)?;
        // What would not be sent as it was typed is refused.
        let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER];
        anyhow::ensure!(
            !framing.contains(&name),
            "--header `{name}` would not be sent: a body's length is that of --data"
        );
        let is_second_host = name == header::HOST && headers.contains_key(header::HOST);
        anyhow::ensure!(!is_second_host, "--header `host`: a request has one host");
        headers.append(name, value);
    }
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("keep-alive-lab/", env!("CARGO_PKG_VERSION"))));
    if args.expect_continue {
        anyhow::ensure!(!data.is_empty(), "--expect-continue needs a body to wait with (--data)");
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    let ask = |text: &String| -> anyhow::Result<FetchPlan> {
        let shown = transport::shown_url(text);
        let no_url = |cause: String| anyhow::anyhow!("cannot fetch `{shown}`: {cause}");
        let mut url = parse_url(text).map_err(no_url)?;
        let mut headers = headers.clone();
        let credentials = take_credentials(&mut url);
        dialling.check_url(url.as_str()).map_err(|error| anyhow::anyhow!(with_causes(&error)))?;
        if let Some(credentials) = credentials {
            headers.entry(header::AUTHORIZATION).or_insert(credentials);
        }
        let (method, data) = (method.clone(), data.clone());
        Ok(FetchPlan { method, url, headers, data, redirected_from: None })
    };
    urls.iter().map(ask).collect()
}

/// Reads a URL as it was typed. A browser makes a URL of almost anything; here nothing is put in
/// place of what was typed, but for a host in the form in which it is looked up, and characters that
/// have to be encoded.
fn parse_url(text: &str) -> Result<Url, String> {
    let violations = RefCell::new(Vec::new());
    let heard = |violation| violations.borrow_mut().push(violation);
    let url = Url::options().syntax_violation_callback(Some(&heard)).parse(text);
    let url = url.map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            let shown = transport::shown_url(text);
            format!("it does not start with http:// or https:// (http://{shown}?)")
        }
        other => other.to_string(),
    })?;
    let is_guess = |violation: &&SyntaxViolation| {
        !matches!(
            violation,
            SyntaxViolation::EmbeddedCredentials
                | SyntaxViolation::NonUrlCodePoint
                | SyntaxViolation::UnencodedAtSign
                | SyntaxViolation::PercentDecode
                | SyntaxViolation::NullInFragment
        )
    };
    if let Some(guess) = violations.borrow().iter().find(is_guess) {
        return Err(guess.to_string());
    }
    // The parser leaves an empty port out.
    let (_, behind) = text.split_once("//").unwrap_or_default();
    let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.ends_with(':') || url.port() == Some(0) {
        return Err("a port is a number from 1 to 65535".to_owned());
    }
    Ok(url)
}

/// Takes the user's name and password out of `url`, as what they are sent as (RFC 7617): a URL is
/// shown, and they should not be.
fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let mut plain = decoded(url.username());
    plain.push(b':');
    plain.extend(decoded(url.password().unwrap_or_default()));
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The text itself, or what is in the file after an `@`.
fn data(text: &str) -> anyhow::Result<Vec<u8>> {
    match text.strip_prefix('@') {
        None => Ok(text.as_bytes().to_vec()),
        Some(file) => bounded_file::read(Path::new(file), MOST_DATA)
            .with_context(|| format!("cannot read --data @{file}")),
    }
}

fn parse_field(field: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    // The value may be a secret, and is not repeated.
    let (name, value) = field.split_once(':').with_context(|| {
        let first = field.split_whitespace().next().unwrap_or_default();
        format!("--header `{first}…` is not of the form NAME: VALUE")
    })?;
    let name = name.trim();
    let value = value.trim().parse().with_context(|| format!("--header `{name}`: the value"))?;
    let name = name.parse().with_context(|| format!("--header `{name}`: the name"))?;
    Ok((name, value))
}

/// The fields that are meant for one origin alone: what Go drops, and the name of the host.
const NOT_FOR_OTHERS: [&str; 7] = [
    "authorization",
    "cookie",
    "cookie2",
    "host",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
];

/// The request to which `answered` redirects (RFC 9110 section 15.4), if it does.
///
/// # Errors
/// It does, but says nothing that could be followed.
pub(crate) fn redirected(
    asked: &FetchPlan,
    number: ExchangeId,
    answered: &FetchAnswer,
) -> Result<Option<FetchPlan>, String> {
    let keeps_method = match answered.status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return Ok(None),
    };
    let Some(location) = answered.headers.get(header::LOCATION) else { return Ok(None) };
    let shown = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let url = location.to_str().ok().and_then(|location| asked.url.join(location).ok());
    let url = url.ok_or_else(|| {
        let shown = transport::shown_url(&shown);
        format!("the redirect leads to `{shown}`, which is no URL")
    })?;
    let mut next = FetchPlan { url, redirected_from: Some(number), ..asked.clone() };
    if !keeps_method && next.method != Method::HEAD {
        next.method = Method::GET;
        next.data.clear();
        next.headers.remove(header::EXPECT);
        next.headers.remove(header::CONTENT_TYPE);
    }
    // Another host is none of what was meant for this one (as Go and browsers have it).
    if next.url.origin() != asked.url.origin() {
        for field in NOT_FOR_OTHERS {
            next.headers.remove(field);
        }
    }
    if let Some(credentials) = take_credentials(&mut next.url) {
        next.headers.insert(header::AUTHORIZATION, credentials);
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Version;
    use std::time::Instant;

    fn asked(url: &str) -> FetchPlan {
        let (method, data) = (Method::POST, b"x".to_vec());
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic eA=="));
        headers.insert(header::PROXY_AUTHORIZATION, HeaderValue::from_static("Basic eA=="));
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b"));
        headers.insert(header::HOST, HeaderValue::from_static("other.example"));
        FetchPlan { method, url: Url::parse(url).unwrap(), headers, data, redirected_from: None }
    }

    fn led(status: u16, location: &[u8]) -> Result<Option<FetchPlan>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_bytes(location).unwrap());
        let answered = FetchAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            reason: String::new(),
            version: Version::HTTP_11,
            headers,
            body: 0,
            body_policy: evidence::BodyPolicy::Drain,
            head_at: Instant::now(),
        };
        redirected(&asked("http://a.example/b/c"), ExchangeId(7), &answered)
    }

    #[test]
    fn a_redirect_within_a_host_keeps_what_was_meant_for_it() {
        let next = led(307, b"../d").unwrap().unwrap();
        assert_eq!((next.url.as_str(), next.method.as_str()), ("http://a.example/d", "POST"));
        assert_eq!((next.redirected_from, next.headers.len()), (Some(ExchangeId(7)), 4));
        let next = led(303, b"/d").unwrap().unwrap();
        assert_eq!((next.method.as_str(), next.data.len()), ("GET", 0));
    }

    #[test]
    fn a_redirect_to_another_host_takes_no_secret_along() {
        for location in [&b"//b.example/"[..], b"http://a.example:81/", b"https://a.example/"] {
            assert!(led(302, location).unwrap().unwrap().headers.is_empty());
        }
    }

    #[test]
    fn a_redirect_that_cannot_be_followed_says_why() {
        assert_eq!(
            led(302, b"http://[bad").unwrap_err(),
            "the redirect leads to `http://[bad`, which is no URL"
        );
        assert!(led(302, b"/\xff").is_err());
        assert!(led(304, b"/").unwrap().is_none() && led(200, b"/").unwrap().is_none());
    }

    #[test]
    fn a_password_in_a_url_is_sent_and_not_shown() {
        let mut url = Url::parse("http://u%20s:se%3Acret@a.example/").unwrap();
        let credentials = take_credentials(&mut url).unwrap();
        assert_eq!(url.as_str(), "http://a.example/");
        assert_eq!(
            credentials.to_str().unwrap(),
            format!("Basic {}", BASE64.encode("u s:se:cret"))
        );
        assert_eq!(take_credentials(&mut url), None);
    }
}
