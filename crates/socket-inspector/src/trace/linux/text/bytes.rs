//! The bytes of a connection in words: once where both ends agree, from each end where they do not.

use super::super::bytes::{ByteAmount, EndBytes};
use super::super::story::{ConnectionEnding, ConnectionSummary};

/// The width that one line may take, so that it fits a terminal of 80 columns with its indent.
const WIDTH: usize = 75;

/// The doer of something with so many bytes: `client`, `sent`, 83.
#[derive(Clone, Copy)]
struct BytePhrase(&'static str, &'static str, ByteAmount);

/// Returns what there is to say: nothing, one line, or one for each direction.
pub(super) fn lines(summary: &ConnectionSummary) -> Vec<String> {
    if summary.ending == ConnectionEnding::NeverOpen {
        return Vec::new();
    }
    let [client, server] =
        if summary.sides_known { ["client", "server"] } else { ["left end", "right end"] };
    let directions: [Vec<BytePhrase>; 2] = match (summary.client_bytes, summary.server_bytes) {
        (Some(near), Some(far)) => [
            direction(client, near, server, far, BytePhrase(client, "sent", near.wrote)),
            direction(server, far, client, near, BytePhrase(client, "received", near.read)),
        ],
        (Some(EndBytes { wrote, read }), None) => {
            [vec![BytePhrase(client, "sent", wrote)], vec![BytePhrase(client, "received", read)]]
        }
        (None, Some(EndBytes { wrote, read })) => {
            [vec![BytePhrase(server, "received", read)], vec![BytePhrase(server, "sent", wrote)]]
        }
        (None, None) => return Vec::new(),
    };
    let directions = directions.map(|phrases| {
        phrases.into_iter().filter(|BytePhrase(.., amount)| amount.tells()).collect::<Vec<_>>()
    });
    let calm = directions.iter().all(|phrases| phrases.len() < 2);
    let [there, back] = directions;
    if calm {
        let whole: Vec<BytePhrase> = [there, back].concat();
        return if whole.is_empty() { Vec::new() } else { vec![said(&whole)] };
    }
    let apart: Vec<String> =
        [there, back].iter().filter(|way| !way.is_empty()).map(|way| said(way)).collect();
    let whole = apart.join("; ");
    if whole.chars().count() <= WIDTH { vec![whole] } else { apart }
}

/// Returns what went from one end to the other: `agreed` if both ends say the same.
fn direction(
    from: &'static str,
    wrote: EndBytes,
    to: &'static str,
    read: EndBytes,
    agreed: BytePhrase,
) -> Vec<BytePhrase> {
    if wrote.wrote == read.read {
        return vec![agreed];
    }
    vec![BytePhrase(from, "wrote", wrote.wrote), BytePhrase(to, "read", read.read)]
}

/// The phrases one after another; who did two things is named once.
fn said(phrases: &[BytePhrase]) -> String {
    let mut text = String::new();
    let mut last = "";
    for BytePhrase(who, did, ByteAmount { least, exact }) in phrases {
        if !text.is_empty() {
            text.push_str(", ");
        }
        if *who != last {
            text.push_str(who);
            text.push(' ');
        }
        let bound = if *exact { "" } else { "≥ " };
        text.push_str(&format!("{did} {bound}{least} B"));
        last = who;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::change::MomentRange;
    use super::*;

    fn exactly(wrote: u64, read: u64) -> Option<EndBytes> {
        let amount = |least| ByteAmount { least, exact: true };
        Some(EndBytes { wrote: amount(wrote), read: amount(read) })
    }

    fn at_least(wrote: u64, read: u64) -> Option<EndBytes> {
        Some(EndBytes::at_least(wrote, read))
    }

    fn summary(
        client_bytes: Option<EndBytes>,
        server_bytes: Option<EndBytes>,
    ) -> ConnectionSummary {
        ConnectionSummary {
            when: MomentRange::at(Duration::ZERO),
            connection: 1,
            client: "127.0.0.1:40001".parse().unwrap(),
            server: "127.0.0.1:8080".parse().unwrap(),
            sides_known: true,
            ending: ConnectionEnding::AbortedBySomebody,
            closed_after: None,
            age: None,
            time_wait: Vec::new(),
            left: None,
            time_wait_not_found: false,
            elsewhere: false,
            client_bytes,
            server_bytes,
        }
    }

    fn of(client: Option<EndBytes>, server: Option<EndBytes>) -> String {
        lines(&summary(client, server)).join("\n")
    }

    #[test]
    fn ends_that_agree_are_told_from_the_client_s_point_of_view() {
        assert_eq!(of(exactly(83, 128), exactly(128, 83)), "client sent 83 B, received 128 B");
        assert_eq!(of(exactly(0, 0), exactly(0, 0)), "client sent 0 B, received 0 B");
    }

    #[test]
    fn a_body_that_nobody_took_is_told_from_both_ends() {
        assert_eq!(
            of(exactly(83, 8192), exactly(1_048_704, 83)),
            "client sent 83 B; server wrote 1048704 B, client read 8192 B"
        );
        assert_eq!(
            of(exactly(1_048_704, 128), exactly(128, 8192)),
            "client wrote 1048704 B, server read 8192 B; client received 128 B"
        );
        assert_eq!(
            of(exactly(10_485_760, 8192), exactly(10_485_760, 65_536)),
            "client wrote 10485760 B, server read 65536 B\n\
             server wrote 10485760 B, client read 8192 B"
        );
    }

    #[test]
    fn an_end_on_this_machine_speaks_for_itself() {
        assert_eq!(of(exactly(83, 128), None), "client sent 83 B, received 128 B");
        assert_eq!(of(None, exactly(128, 83)), "server received 83 B, sent 128 B");
        assert_eq!(of(None, None), "");
        let unknown = ConnectionSummary { sides_known: false, ..summary(exactly(83, 128), None) };
        assert_eq!(lines(&unknown), ["left end sent 83 B, received 128 B"]);
    }

    #[test]
    fn the_least_is_told_as_such_and_not_at_all_if_it_is_nothing() {
        assert_eq!(
            of(at_least(83, 128), at_least(128, 83)),
            "client sent ≥ 83 B, received ≥ 128 B"
        );
        assert_eq!(of(at_least(83, 0), at_least(0, 83)), "client sent ≥ 83 B");
        assert_eq!(of(at_least(0, 0), at_least(128, 0)), "server wrote ≥ 128 B");
        assert_eq!(of(at_least(0, 0), at_least(0, 0)), "");
        assert_eq!(
            of(at_least(5, 128), exactly(128, 83)),
            "client wrote ≥ 5 B, server read 83 B\n\
             server wrote 128 B, client read ≥ 128 B"
        );
    }

    #[test]
    fn what_never_was_open_has_no_bytes() {
        let never = ConnectionSummary {
            ending: ConnectionEnding::NeverOpen,
            ..summary(exactly(0, 0), None)
        };
        assert!(lines(&never).is_empty());
    }
}
