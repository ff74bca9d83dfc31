//! What an exchange was about when it was given up, worked out from its moments. Pure.

use evidence::{ByteCount, Moment, TraceEvent};

use super::FetchAnswer;

/// Returns what was going on after the last of `events`, such as `connecting to 127.0.0.1:80`.
#[must_use]
pub(crate) fn doing(events: &[&TraceEvent], answered: Option<&FetchAnswer>) -> String {
    let last_get = events.iter().rposition(|e| matches!(e.moment, Moment::GetConn { .. }));
    let events = events.get(last_get.unwrap_or_default()..).unwrap_or_default();
    let happened =
        |wanted: fn(&Moment) -> bool| events.iter().rfind(|event| wanted(&event.moment)).copied();
    if let Some(answered) = answered {
        return format!("reading the body, {} so far{}", ByteCount(answered.body), on(events));
    }
    if let Some(got) = happened(|moment| matches!(moment, Moment::GotConn { .. })) {
        let since = |wanted: fn(&Moment) -> bool| happened(wanted).filter(|it| it.at >= got.at);
        let is_written = since(|moment| matches!(moment, Moment::WroteRequest { .. })).is_some();
        let first_byte = since(|moment| matches!(moment, Moment::GotFirstResponseByte));
        let interim = since(|moment| matches!(moment, Moment::Got1xxResponse { .. }));
        let head_begun = first_byte.is_some() && interim.is_none();
        let what = if head_begun && is_written {
            "reading the head of the response"
        } else if is_written {
            "waiting for the response"
        } else if since(|moment| matches!(moment, Moment::Got100Continue)).is_some() {
            "sending the body of the request"
        } else if since(|moment| matches!(moment, Moment::Wait100Continue)).is_some() {
            "waiting for 100 Continue"
        } else if since(|moment| matches!(moment, Moment::WroteHeaders)).is_some() {
            "sending the body of the request"
        } else {
            // HTTP/2, where nobody sees the writing.
            "waiting for the response"
        };
        return format!("{what}{}", on(events));
    }
    if happened(|moment| matches!(moment, Moment::TlsHandshakeStart)).is_some() {
        let with = events.iter().rev().find_map(|event| match &event.moment {
            Moment::ConnectDone { server, result: Ok(_) } => Some(format!(" with {server}")),
            _ => None,
        });
        return format!("in the TLS handshake{}", with.unwrap_or_default());
    }
    let started = events.iter().filter_map(|event| match &event.moment {
        Moment::ConnectStart { server } => Some(*server),
        _ => None,
    });
    let is_done = |address| {
        events.iter().any(|event| {
            matches!(&event.moment, Moment::ConnectDone { server, .. } if *server == address)
        })
    };
    let dialled: Vec<String> =
        started.filter(|server| !is_done(*server)).map(|server| server.to_string()).collect();
    if !dialled.is_empty() {
        return format!("connecting to {}", dialled.join(" and "));
    }
    if let Some(Moment::DnsStart { host }) = events.last().map(|event| &event.moment) {
        return format!("looking up {host}");
    }
    "waiting for a connection".to_owned()
}

fn on(events: &[&TraceEvent]) -> String {
    let connection = events.iter().rev().find_map(|event| event.connection);
    connection.map_or(String::new(), |id| format!(" on {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{ClientAddr, ConnectionId, ExchangeId, Observed, ServerAddr};
    use std::time::Instant;

    #[test]
    fn it_says_what_was_going_on() {
        let server = ServerAddr::new(([127, 0, 0, 1], 80).into());
        let other = ServerAddr::new(([127, 0, 0, 2], 80).into());
        let client = ClientAddr::new(([127, 0, 0, 1], 40_000).into());
        let at = Instant::now();
        let got = Moment::GotConn {
            client,
            reused: false,
            was_idle: Observed::Known(false),
            idle_time: Observed::Known(None),
        };
        let story = [
            (Moment::GetConn { host_port: "a:80".into() }, "waiting for a connection"),
            (Moment::DnsStart { host: "a".into() }, "looking up a"),
            (Moment::ConnectStart { server: other }, "connecting to 127.0.0.2:80"),
            (Moment::ConnectStart { server }, "connecting to 127.0.0.2:80 and 127.0.0.1:80"),
            (
                Moment::ConnectDone { server: other, result: Err("refused".into()) },
                "connecting to 127.0.0.1:80",
            ),
            (Moment::ConnectDone { server, result: Ok(client) }, "waiting for a connection"),
            (Moment::TlsHandshakeStart, "in the TLS handshake with 127.0.0.1:80"),
            (got, "waiting for the response on #1"),
            (Moment::WroteHeaders, "sending the body of the request on #1"),
            (Moment::Wait100Continue, "waiting for 100 Continue on #1"),
            (Moment::Got100Continue, "sending the body of the request on #1"),
            (Moment::WroteRequest { result: Ok(()) }, "waiting for the response on #1"),
            (Moment::GotFirstResponseByte, "reading the head of the response on #1"),
        ];
        let events: Vec<TraceEvent> = story
            .iter()
            .map(|(moment, _)| TraceEvent {
                at,
                exchange: Some(ExchangeId(1)),
                connection: Some(ConnectionId(1)),
                moment: moment.clone(),
            })
            .collect();
        let events: Vec<&TraceEvent> = events.iter().collect();
        for (n, (moment, expected)) in story.iter().enumerate() {
            assert_eq!(doing(&events[..=n], None), *expected, "{}", moment.name());
        }
    }
}
