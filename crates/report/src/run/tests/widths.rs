//! Reports on pages of every width.

use proptest::prelude::*;

use super::*;

/// The report of `outcome` on a page of `width`, its lines held against that; the command to try
/// next alone stays in one line.
fn on_page(outcome: &Outcome, width: usize) -> String {
    let mut plain = anstream::StripStream::new(Vec::new());
    let mut report = RunReport::of_width(&mut plain, width);
    report.start(&outcome.setup, &[], outcome.prediction.as_ref()).unwrap();
    for exchange in &outcome.exchanges {
        report.exchange(exchange, &[]).unwrap();
    }
    report.end(outcome, &[]).unwrap();
    let mut page = PageWriter::new(Vec::new(), width);
    evidence(outcome, &[], &mut page).unwrap();
    plain.write_all(&page.into_inner()).unwrap();
    let text = String::from_utf8(plain.into_inner()).unwrap();
    for line in text.lines().filter(|line| !line.starts_with("  try next")) {
        assert!(line.chars().count() <= width, "{width}: {line}");
        assert_eq!(line, line.trim_end(), "ends in spaces");
    }
    text
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_page_and_what_is_left_out_is_named(
        width in 60_usize..=200,
        client in any::<[u8; 4]>(),
        port in 1_u16..,
        unread in 2_u32..,
        left in 0_u64..9_999_000,
        number in 1_u64..2_000,
    ) {
        let mut outcome = drained();
        let address = ClientAddr::new(SocketAddr::from((client, port)));
        for connection in &mut outcome.connections {
            connection.id = ConnectionId(number);
            connection.ends.client = address;
        }
        for exchange in &mut outcome.exchanges {
            exchange.client = Some(address);
        }
        let tables = [&mut outcome.tables.while_running, &mut outcome.tables.after_closing];
        for table in tables.into_iter().filter_map(|reading| reading.table.as_mut().ok()) {
            for socket in &mut table.sockets {
                match socket.side {
                    Some(Side::Client) => socket.local = address.socket_addr(),
                    _ => socket.peer = address.socket_addr(),
                }
                socket.recv_queue = Observed::Known(unread);
                let left = Duration::from_millis(left);
                socket.timer = Observed::Known(Some(Timer { kind: TimerKind::KeepAlive, left }));
            }
        }
        let text = on_page(&outcome, width);
        prop_assert!(text.contains(&address.to_string()), "{}", text);
        for title in ["PORT", "IDLE", "TTFB", "TIMER", "UNREAD", "CONN ", "SERVER", "BECAUSE"] {
            let named = text.lines().any(|line| line.contains("left out") && line.contains(title.trim()));
            prop_assert!(named || text.contains(title), "{}: {}", title, text);
        }
    }
}

#[test]
fn at_60_columns_a_run_does_without_what_matters_least() {
    insta::assert_snapshot!(on_page(&drained(), 60));
}
