//! A line an exchange, as web servers log them.

use std::time::SystemTime;

use evidence::{ClientAddr, ClosedBy};
use http::HeaderValue;
use serde_json::json;
use server::{ForeignProtocol, RefusedRequest, ServedExchange, target};

use crate::escape::{escaped, json_line, quoted};

/// Apache's combined format:
/// `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.
///
/// `began` is when the request's head was read, told in UTC. Who asks is nobody the server knows
/// by name: the second and third field are `-`, as is a body of no bytes. A request whose
/// connection ended before there was a response has no status; as the field must be a number, it
/// gets nginx's: 499 if the client ended it, 444 if the server did.
///
/// <https://httpd.apache.org/docs/2.4/logs.html#combined>
pub(crate) fn combined(peer: ClientAddr, began: SystemTime, exchange: &ServedExchange) -> String {
    let ServedExchange { method, uri, version, status, body_bytes, referer, user_agent, .. } =
        exchange;
    let request = format!("{method} {} {version:?}", target(uri, *version));
    let status = status.map_or_else(|| no_status(exchange.ended_by), |status| status.as_u16());
    let bytes = if *body_bytes == 0 { "-".to_owned() } else { body_bytes.to_string() };
    format!(
        "{} - - [{}] \"{}\" {status} {bytes} \"{}\" \"{}\"",
        peer.socket_addr().ip(),
        clf_time(began),
        quoted(request.as_bytes()),
        field(referer.as_ref()),
        field(user_agent.as_ref()),
    )
}

/// nginx's numbers for what was never answered.
fn no_status(ended_by: Option<ClosedBy>) -> u16 {
    match ended_by {
        Some(ClosedBy::Server) => 444,
        _ => 499,
    }
}

/// The line of what was no request: in the place of a request its first line, as far as it is kept.
pub(crate) fn combined_refused(
    peer: ClientAddr,
    began: SystemTime,
    refused: &RefusedRequest,
) -> String {
    let status = refused.status.map_or(no_status(Some(ClosedBy::Server)), |it| it.as_u16());
    format!(
        "{} - - [{}] \"{}\" {status} - \"-\" \"-\"",
        peer.socket_addr().ip(),
        clf_time(began),
        first_line(refused),
    )
}

/// Returns the first line that is not empty, escaped. Where it goes on, dots say so.
fn first_line(refused: &RefusedRequest) -> String {
    let begins = &refused.begins;
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let Some(start) = begins.iter().position(|byte| !is_end(byte)) else { return "-".to_owned() };
    let rest = begins.get(start..).unwrap_or_default();
    let line = rest.split(is_end).next().unwrap_or_default();
    let goes_on = line.len() == rest.len() && (begins.len() as u64) < refused.bytes;
    format!("{}{}", quoted(line), if goes_on { "..." } else { "" })
}

/// What was no request, for programs.
pub(crate) fn json_refused(
    connection: u64,
    peer: ClientAddr,
    began: SystemTime,
    refused: &RefusedRequest,
) -> String {
    json_line(&json!({
        "began": humantime::format_rfc3339_micros(began).to_string(),
        "client": peer.to_string(),
        "connection": connection,
        "request": refused.number,
        "method": null,
        "path": null,
        "version": null,
        "status": refused.status.map(|status| status.as_u16()),
        "body_bytes": 0,
        "duration_us": u64::try_from(refused.duration.as_micros()).unwrap_or(u64::MAX),
        "complete": refused.status.is_some(),
        "refused_bytes": refused.bytes,
        "refused_begins": escaped(&refused.begins),
        "protocol": refused.protocol.map(ForeignProtocol::name),
    }))
}

/// The same for programs, with what Apache does not know.
pub(crate) fn json(
    connection: u64,
    peer: ClientAddr,
    began: SystemTime,
    exchange: &ServedExchange,
) -> String {
    let ServedExchange { method, uri, version, status, .. } = exchange;
    json_line(&json!({
        "began": humantime::format_rfc3339_micros(began).to_string(),
        "client": peer.to_string(),
        "connection": connection,
        "request": exchange.number,
        "method": method.as_str(),
        "path": target(uri, *version),
        "version": format!("{version:?}"),
        "status": status.map(|status| status.as_u16()),
        "body_bytes": exchange.body_bytes,
        "duration_us": u64::try_from(exchange.duration.as_micros()).unwrap_or(u64::MAX),
        "complete": exchange.complete,
    }))
}

fn field(value: Option<&HeaderValue>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| quoted(value.as_bytes()))
}

/// `10/Oct/2000:13:55:36 +0000`, from the words of an HTTP date (RFC 9110 section 5.6.7).
fn clf_time(time: SystemTime) -> String {
    let date = httpdate::fmt_http_date(time);
    let mut words = date.split(' ').skip(1);
    let mut word = || words.next().unwrap_or_default();
    let (day, month, year, clock) = (word(), word(), word(), word());
    format!("{day}/{month}/{year}:{clock} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn exchange() -> ServedExchange {
        ServedExchange {
            number: 3,
            method: http::Method::GET,
            uri: "/a\"b?c".parse().unwrap(),
            version: http::Version::HTTP_11,
            referer: None,
            user_agent: Some(HeaderValue::from_bytes(b"an \"agent\" \\ \xfftoo").unwrap()),
            status: Some(http::StatusCode::OK),
            body_bytes: 11,
            duration: Duration::from_micros(1234),
            complete: true,
            ended_by: None,
        }
    }

    fn peer() -> ClientAddr {
        ClientAddr::new("127.0.0.1:4711".parse().unwrap())
    }

    fn began() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(971_186_136)
    }

    #[test]
    fn a_combined_line_is_apaches() {
        insta::assert_snapshot!(combined(peer(), began(), &exchange()), @r#"127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a\"b?c HTTP/1.1" 200 11 "-" "an \"agent\" \\ \xfftoo""#);
        for (ended_by, status) in [(ClosedBy::Client, 499), (ClosedBy::Server, 444)] {
            let ended_by = Some(ended_by);
            let gone = ServedExchange { status: None, body_bytes: 0, ended_by, ..exchange() };
            let expected = format!("HTTP/1.1\" {status} - \"-\"");
            assert!(combined(peer(), began(), &gone).contains(&expected));
        }
    }

    #[test]
    fn what_was_no_request_has_a_line_too() {
        let refused = |begins: &'static [u8], bytes| RefusedRequest {
            number: 1,
            status: Some(http::StatusCode::BAD_REQUEST),
            bytes,
            begins: begins.into(),
            protocol: ForeignProtocol::of(begins),
            duration: Duration::from_micros(12),
        };
        let tls = refused(b"\x16\x03\x01\x02\"", 517);
        insta::assert_snapshot!(combined_refused(peer(), began(), &tls), @r#"127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "\x16\x03\x01\x02\"..." 400 - "-" "-""#);
        insta::assert_snapshot!(json_refused(7, peer(), began(), &tls), @r#"{"began":"2000-10-10T13:55:36.000000Z","body_bytes":0,"client":"127.0.0.1:4711","complete":true,"connection":7,"duration_us":12,"method":null,"path":null,"protocol":"TLS","refused_begins":"\\x16\\x03\\x01\\x02\"","refused_bytes":517,"request":1,"status":400,"version":null}"#);
        let line = |begins: &'static [u8]| first_line(&refused(begins, begins.len() as u64));
        assert_eq!(line(b"\r\nEHLO me\r\nmore"), "EHLO me");
        assert_eq!(line(b"\r\n"), "-");
    }

    #[test]
    fn a_json_line_names_its_units() {
        insta::assert_snapshot!(json(7, peer(), began(), &exchange()), @r#"{"began":"2000-10-10T13:55:36.000000Z","body_bytes":11,"client":"127.0.0.1:4711","complete":true,"connection":7,"duration_us":1234,"method":"GET","path":"/a\"b?c","request":3,"status":200,"version":"HTTP/1.1"}"#);
    }
}
