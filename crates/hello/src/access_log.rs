//! A line an exchange, as web servers log them.

use std::time::SystemTime;

use evidence::ClientAddr;
use http::HeaderValue;
use serde_json::json;
use server::{ServedExchange, target};

use crate::escape::{json_line, quoted};

/// Apache's combined format:
/// `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.
///
/// `began` is when the request's head was read, told in UTC. Who asks is nobody the server knows
/// by name: the second and third field are `-`, as is a body of no bytes, and the status of a
/// request whose client was gone before there was a response.
///
/// <https://httpd.apache.org/docs/2.4/logs.html#combined>
pub(crate) fn combined(peer: ClientAddr, began: SystemTime, exchange: &ServedExchange) -> String {
    let ServedExchange { method, uri, version, status, body_bytes, referer, user_agent, .. } =
        exchange;
    let request = format!("{method} {} {version:?}", target(uri, *version));
    let status = status.map_or_else(|| "-".to_owned(), |status| status.as_str().to_owned());
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
        let gone = ServedExchange { status: None, body_bytes: 0, ..exchange() };
        assert!(combined(peer(), began(), &gone).contains("HTTP/1.1\" - - \"-\""));
    }

    #[test]
    fn a_json_line_names_its_units() {
        insta::assert_snapshot!(json(7, peer(), began(), &exchange()), @r#"{"began":"2000-10-10T13:55:36.000000Z","body_bytes":11,"client":"127.0.0.1:4711","complete":true,"connection":7,"duration_us":1234,"method":"GET","path":"/a\"b?c","request":3,"status":200,"version":"HTTP/1.1"}"#);
    }
}
