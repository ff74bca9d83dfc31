use report::page::USUAL_WIDTH;

use super::*;
use crate::ports::budget::{BurnRate, PortBurner};

fn example() -> PortSettings {
    PortSettings {
        range: 32768..=60999,
        reserved: vec![],
        bound: std::collections::BTreeSet::new(),
        tw_reuse: Some(2),
        tw_reuse_delay: Duration::from_secs(1),
        max_tw_buckets: Some(131_072),
    }
}

fn destination(address: &str, rate: Option<BurnRate>) -> PortDestination {
    PortDestination {
        address: address.parse().unwrap(),
        from: "10.0.0.1".parse().unwrap(),
        live: 12,
        time_wait: vec![Duration::from_millis(300), Duration::from_millis(59_100)],
        burners: vec![
            PortBurner { process: Some("sequential (4712)".to_owned()), ports: 1 },
            PortBurner { process: None, ports: 1 },
        ],
        rate,
    }
}

fn shown(destinations: &[PortDestination]) -> String {
    let set = example();
    crate::plain::plain(USUAL_WIDTH, |out| {
        let unseen = UnseenPorts { sides: 3, likely: 0, owners: 2 };
        text(&set, destinations, &TakenPorts::default(), unseen, out)?;
        settings(&set, out)
    })
}

#[test]
fn a_rate_becomes_a_forecast_and_time_wait_gets_its_makers() {
    let fast = BurnRate { opened: 743.2, burnt: 743.2, growth: 0.0 };
    let slow = BurnRate { opened: 1.0, burnt: 1.0, growth: 0.0 };
    insta::assert_snapshot!(shown(&[
        destination("10.0.0.7:443", Some(fast)),
        destination("127.0.0.1:8080", Some(slow)),
    ]), @r"
    28232 ports for connections to each destination
      DESTINATION     IN USE  TIME_WAIT  LAST ENDS  OPENED/S  FORECAST
      10.0.0.7:443        14          2    59.10 s     743.2  exhausted in 37 s
      127.0.0.1:8080      14          2    59.10 s       1.0  steady

    TIME_WAIT was made by
      10.0.0.7:443    sequential (4712) 1 · not seen 1
      127.0.0.1:8080  sequential (4712) 1 · not seen 1
      not seen: opened and closed between two looks, or before the first one

    OPENED/S is what was seen, the least there was: what comes and goes between two
    looks is missing. So `steady` is not certain, and ports may run out earlier than
    forecast.

    3 sockets not counted: nothing tells whether they are a client's
    2 sockets of other users: root alone sees who makes their TIME_WAIT

    Settings
      ip_local_port_range      32768-60999  470 closed a second, they last for ever
      ip_local_reserved_ports  none         left out of the range
      tcp_tw_reuse             2            TIME_WAIT gives it up early on loopback
      tcp_tw_reuse_delay       1s           how early, at best
      tcp_max_tw_buckets       131072       beyond, a close leaves no TIME_WAIT
    ");
}

#[test]
fn long_addresses_stand_above_their_numbers() {
    let (there, here) = (
        "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:60443",
        "2001:db8:1234:5678:9abc:def0:1234:5678",
    );
    let rate = Some(BurnRate { opened: 743.2, burnt: 4.0, growth: 0.0 });
    let mut second = destination(there, rate);
    second.from = here.parse().unwrap();
    second.burners[0].process = Some("a-name-of-15-by (4194303)".to_owned());
    insta::assert_snapshot!(shown(&[
        destination(there, rate),
        second,
        destination("127.0.0.1:8080", None),
    ]), @r"
    28232 ports for connections to each destination
      IN USE   FREE  TIME_WAIT  FIRST ENDS  LAST ENDS  OPENED/S  FORECAST
      [2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:60443
      from 10.0.0.1
          14  28218          2      300 ms    59.10 s     743.2  steady
      [2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:60443
      from 2001:db8:1234:5678:9abc:def0:1234:5678
          14  28218          2      300 ms    59.10 s     743.2  steady
      127.0.0.1:8080
          14  28218          2      300 ms    59.10 s

    TIME_WAIT was made by
      [2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:60443
      from 10.0.0.1
        sequential (4712) 1 · not seen 1
      [2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:60443
      from 2001:db8:1234:5678:9abc:def0:1234:5678
        a-name-of-15-by (4194303) 1 · not seen 1
      not seen: opened and closed between two looks, or before the first one

    OPENED/S is what was seen, the least there was: what comes and goes between two
    looks is missing. So `steady` is not certain, and ports may run out earlier than
    forecast.

    A single look tells no rate and no maker of TIME_WAIT: --watch 10 looks on.

    3 sockets not counted: nothing tells whether they are a client's
    2 sockets of other users: root alone sees who makes their TIME_WAIT

    Settings
      ip_local_port_range      32768-60999  470 closed a second, they last for ever
      ip_local_reserved_ports  none         left out of the range
      tcp_tw_reuse             2            TIME_WAIT gives it up early on loopback
      tcp_tw_reuse_delay       1s           how early, at best
      tcp_max_tw_buckets       131072       beyond, a close leaves no TIME_WAIT
    ");
}

#[test]
fn every_setting_of_the_kernel_fits_a_terminal() {
    for tw_reuse in [None, Some(0), Some(1), Some(2), Some(7)] {
        let settings = PortSettings {
            reserved: vec![49152..=49160, 50000..=50000],
            tw_reuse,
            tw_reuse_delay: Duration::from_millis(59_999),
            max_tw_buckets: Some(i32::MAX.unsigned_abs().into()),
            ..example()
        };
        crate::plain::plain(USUAL_WIDTH, |out| super::settings(&settings, out));
    }
}

#[test]
fn what_is_taken_from_all_destinations_is_told_above_them() {
    let full = ("0.0.0.0:443".parse().unwrap(), AcceptQueue { waiting: 2, backlog: 1 });
    let taken = TakenPorts { bound: [40001].into(), used: [40001, 40002].into(), full: vec![full] };
    let set = PortSettings { bound: taken.bound.clone(), ..example() };
    let there = [destination("10.0.0.7:443", None)];
    let shown = crate::plain::plain(USUAL_WIDTH, |out| {
        text(&set, &there, &taken, UnseenPorts { sides: 0, likely: 5, owners: 0 }, out)
    });
    insta::assert_snapshot!(shown, @r"
    28231 ports for connections to each destination
      1 more port of the range, bound to sockets: never picked
      for `bind` before `connect`: 28230 free, for all destinations together
      DESTINATION   IN USE   FREE  TIME_WAIT  FIRST ENDS  LAST ENDS
      10.0.0.7:443      14  28217          2      300 ms    59.10 s
      0.0.0.0:443 has a full accept queue (2 wait, backlog 1): what dials it stays
      in SYN_SENT

    A single look tells no rate and no maker of TIME_WAIT: --watch 10 looks on.

    5 sockets counted, as many share their peer's address: most likely a client's
    ");
}

#[test]
fn a_single_look_says_what_it_cannot_tell() {
    insta::assert_snapshot!(shown(&[destination("10.0.0.7:443", None)]), @r"
    28232 ports for connections to each destination
      DESTINATION   IN USE   FREE  TIME_WAIT  FIRST ENDS  LAST ENDS
      10.0.0.7:443      14  28218          2      300 ms    59.10 s

    A single look tells no rate and no maker of TIME_WAIT: --watch 10 looks on.

    3 sockets not counted: nothing tells whether they are a client's
    2 sockets of other users: root alone sees who makes their TIME_WAIT

    Settings
      ip_local_port_range      32768-60999  470 closed a second, they last for ever
      ip_local_reserved_ports  none         left out of the range
      tcp_tw_reuse             2            TIME_WAIT gives it up early on loopback
      tcp_tw_reuse_delay       1s           how early, at best
      tcp_max_tw_buckets       131072       beyond, a close leaves no TIME_WAIT
    ");
}

#[test]
fn a_report_fits_every_width_from_60_on_and_names_what_it_leaves_out() {
    let fast = BurnRate { opened: 743.2, burnt: 743.2, growth: 0.0 };
    let there = [
        destination("203.0.113.255:65535", Some(fast)),
        destination("127.0.0.1:8080", None),
        PortDestination {
            from: "10.0.0.2".parse().unwrap(),
            ..destination("127.0.0.1:8080", None)
        },
    ];
    let set = example();
    for width in 60..=200 {
        let shown = crate::plain::plain(width, |out| {
            let unseen = UnseenPorts { sides: 3, likely: 5, owners: 2 };
            text(&set, &there, &TakenPorts::default(), unseen, out)?;
            settings(&set, out)
        });
        assert!(shown.contains("203.0.113.255:65535"), "{width}: {shown}");
        let whole = shown.contains("LAST ENDS") || shown.contains("left out for want of room");
        assert!(whole, "{width}: {shown}");
        let all = ["DESTINATION", "FREE", "FIRST ENDS", "LAST ENDS", "OPENED/S", "FORECAST"];
        let is_whole = all.iter().all(|title| shown.contains(title));
        assert!(is_whole || width < 120, "{width}: {shown}");
    }
}
