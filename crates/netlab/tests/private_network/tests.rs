//! The findings.

use std::fs;
use std::time::Duration;

use netlab::NetworkSettings;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::child::{Child, Who, is_root, seen_by};
use crate::runner::{Skipped, Test};

macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

pub(crate) const ALL: &[Test] = tests![
    a_fresh_private_network_has_no_sockets_and_a_loopback_that_works,
    an_ordinary_user_needs_no_root_and_is_root_inside,
    root_gets_a_private_network_too,
    a_program_is_who_it_is_outside_and_rules_nothing,
    two_private_networks_have_two_port_tables,
    settings_are_read_back_as_asked,
    settings_that_nobody_asked_for_are_the_kernel_s_defaults,
    the_machine_s_own_settings_stay_as_they_are,
    values_that_the_kernel_would_not_take_are_refused_before_the_move,
    the_kernel_takes_the_least_and_the_greatest_value_that_is_not_refused,
    a_process_with_two_threads_is_refused_and_stays_where_it_is,
    whoever_may_have_no_user_namespace_is_told_which_limit_forbids_it,
    whoever_administers_the_network_needs_no_user_namespace,
    one_connection_is_opened_once_and_accepted_once,
    a_body_of_100_kb_takes_as_many_segments_as_on_a_wire_where_that_is_asked_for,
    a_process_dies_with_its_parent_also_in_a_private_network,
    an_orphan_that_knows_its_parent_dies_at_once,
    an_orphan_in_the_care_of_process_1_dies_at_once,
    each_of_two_hosts_sees_its_own_end_and_counts_for_itself,
    every_packet_passes_the_cable_and_the_handshake_in_its_order,
    a_round_trip_takes_twice_the_delay_of_the_cable_or_longer,
    the_end_whose_fin_is_not_acknowledged_sends_it_again,
    a_cable_without_a_law_loses_nothing_of_much,
    a_reset_that_nobody_sent_ends_a_connection_at_the_host_that_gets_it,
    whoever_may_not_open_the_device_is_told_so,
    whoever_may_not_open_the_device_gets_a_cable_all_the_same,
];

const NOTHING: Value = Value::Null;

/// Settings that are nobody's default.
fn settings() -> NetworkSettings {
    NetworkSettings {
        local_ports: Some((50_000, 50_019)),
        tcp_tw_reuse: Some(1),
        tcp_tw_reuse_delay: delay(Duration::from_millis(230)),
        tcp_max_tw_buckets: Some(31),
        tcp_fin_timeout: Some(Duration::from_secs(7)),
        somaxconn: Some(3),
        tcp_retries2: Some(3),
        tcp_keepalive_probes: Some(2),
        tcp_slow_start_after_idle: Some(false),
        tcp_no_metrics_save: Some(true),
        tcp_congestion_control: Some("reno".to_owned()),
    }
}

/// The one setting that an older kernel does not have.
fn delay(wanted: Duration) -> Option<Duration> {
    let known = fs::exists("/proc/sys/net/ipv4/tcp_tw_reuse_delay").unwrap();
    if !known {
        eprintln!("SKIPPED: tcp_tw_reuse_delay: this kernel does not have it");
    }
    known.then_some(wanted)
}

fn read_back(who: Who, asked: &NetworkSettings) -> Result<NetworkSettings, Skipped> {
    let seen = seen_by(who, "set", &json!(asked))?;
    Ok(serde_json::from_value(seen).unwrap())
}

fn a_fresh_private_network_has_no_sockets_and_a_loopback_that_works() -> Result<(), Skipped> {
    let _in_the_machine_s_network = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let seen = seen_by(Who::Ordinary, "look around", &NOTHING)?;
    assert_eq!(seen["sockets_at_first"], 0);
    assert_eq!(seen["sockets_with_a_connection"], 3, "a listener and two ends");
    Ok(())
}

fn an_ordinary_user_needs_no_root_and_is_root_inside() -> Result<(), Skipped> {
    let seen = seen_by(Who::Ordinary, "look around", &NOTHING)?;
    assert_ne!(seen["user_outside"], 0);
    assert_eq!(seen["user_inside"], 0);
    Ok(())
}

fn root_gets_a_private_network_too() -> Result<(), Skipped> {
    if !is_root() {
        return Err(Skipped("only root can try".to_owned()));
    }
    let seen = seen_by(Who::Caller, "look around", &NOTHING)?;
    assert_eq!((&seen["user_outside"], &seen["user_inside"]), (&json!(0), &json!(0)));
    assert_eq!(seen["sockets_at_first"], 0);
    Ok(())
}

fn a_program_is_who_it_is_outside_and_rules_nothing() -> Result<(), Skipped> {
    let seen = seen_by(Who::Ordinary, "enter as oneself", &NOTHING)?;
    assert_eq!(seen["before"], seen["program"]);
    assert_ne!(seen["program"], "0");
    assert_eq!(seen["capabilities"], "0000000000000000");
    Ok(())
}

fn two_private_networks_have_two_port_tables() -> Result<(), Skipped> {
    let both = [(); 2].map(|()| Child::start("hold a port", &NOTHING, Who::Ordinary));
    let (one, other) = (both[0].report()?, both[1].report()?);
    assert_eq!((&one["holds"], &other["holds"]), (&json!(8080), &json!(8080)));
    assert_ne!(one["network"], other["network"]);
    Ok(())
}

fn settings_are_read_back_as_asked() -> Result<(), Skipped> {
    for who in [Who::Ordinary, Who::Caller] {
        assert_eq!(read_back(who, &settings())?, settings(), "{who:?}");
    }
    Ok(())
}

fn settings_that_nobody_asked_for_are_the_kernel_s_defaults() -> Result<(), Skipped> {
    let seen = read_back(Who::Ordinary, &NetworkSettings::default())?;
    assert_eq!(seen.local_ports, Some((32768, 60999)));
    assert_eq!(seen.tcp_fin_timeout, Some(Duration::from_secs(60)));
    assert_eq!(seen.tcp_tw_reuse, Some(2));
    Ok(())
}

fn the_machine_s_own_settings_stay_as_they_are() -> Result<(), Skipped> {
    const ALL: [&str; 5] = [
        "ip_local_port_range",
        "tcp_tw_reuse",
        "tcp_tw_reuse_delay",
        "tcp_max_tw_buckets",
        "tcp_fin_timeout",
    ];
    let now = || ALL.map(|name| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok());
    let before = now();
    // As root, if possible: an ordinary user could not change them by mistake.
    let inside = read_back(Who::Caller, &settings())?;
    assert_eq!(inside, settings());
    assert_eq!(now(), before);
    assert_ne!(before[0].as_deref().map(str::trim), Some("50000\t50019"), "no way to tell");
    Ok(())
}

fn values_that_the_kernel_would_not_take_are_refused_before_the_move() -> Result<(), Skipped> {
    let backwards =
        NetworkSettings { local_ports: Some((50_019, 50_000)), ..NetworkSettings::default() };
    let seen = seen_by(Who::Ordinary, "enter with", &json!(backwards))?;
    let error = seen["error_text"].as_str().unwrap();
    assert!(error.starts_with("net.ipv4.ip_local_port_range cannot be 50019 50000"), "{error}");
    assert_eq!(seen["moved"], false);
    Ok(())
}

fn the_kernel_takes_the_least_and_the_greatest_value_that_is_not_refused() -> Result<(), Skipped> {
    let least = NetworkSettings {
        local_ports: Some((1024, 1024)),
        tcp_tw_reuse: Some(0),
        tcp_tw_reuse_delay: delay(Duration::from_millis(1)),
        tcp_max_tw_buckets: Some(0),
        tcp_fin_timeout: Some(Duration::ZERO),
        somaxconn: Some(0),
        tcp_retries2: Some(0),
        tcp_keepalive_probes: Some(1),
        tcp_slow_start_after_idle: Some(false),
        tcp_no_metrics_save: Some(false),
        tcp_congestion_control: Some("reno".to_owned()),
    };
    let greatest = NetworkSettings {
        local_ports: Some((u16::MAX, u16::MAX)),
        tcp_tw_reuse: Some(2),
        tcp_tw_reuse_delay: delay(Duration::from_secs(60)),
        tcp_max_tw_buckets: Some(i32::MAX.unsigned_abs()),
        tcp_fin_timeout: Some(Duration::from_secs(2_147_483)),
        somaxconn: Some(u16::MAX),
        tcp_retries2: Some(u8::MAX),
        tcp_keepalive_probes: Some(127),
        tcp_slow_start_after_idle: Some(true),
        tcp_no_metrics_save: Some(true),
        tcp_congestion_control: Some("reno".to_owned()),
    };
    for asked in [least, greatest] {
        assert_eq!(read_back(Who::Ordinary, &asked)?, asked);
    }
    Ok(())
}

fn a_process_with_two_threads_is_refused_and_stays_where_it_is() -> Result<(), Skipped> {
    let seen = seen_by(Who::Ordinary, "enter with threads", &NOTHING)?;
    let error = seen["error_text"].as_str().unwrap();
    assert!(error.starts_with("cannot enter a private network with 2 threads"), "{error}");
    assert!(error.contains("before any runtime is built"), "{error}");
    assert_eq!(seen["moved"], false);
    Ok(())
}

fn whoever_may_have_no_user_namespace_is_told_which_limit_forbids_it() -> Result<(), Skipped> {
    let seen = seen_by(Who::Ordinary, "enter again", &json!({ "as_root": false }))?;
    assert_eq!(seen["what"], "unshare refused (ENOSPC)");
    assert_eq!(seen["by"], "the limit user.max_user_namespaces = 0");
    assert_eq!(seen["fix"], "sudo sysctl user.max_user_namespaces=15000");
    assert_eq!(seen["moved"], false);
    Ok(())
}

fn whoever_administers_the_network_needs_no_user_namespace() -> Result<(), Skipped> {
    let seen = seen_by(Who::Ordinary, "enter again", &json!({ "as_root": true }))?;
    assert_eq!((&seen["line"], &seen["moved"]), (&NOTHING, &json!(true)));
    Ok(())
}

fn one_connection_is_opened_once_and_accepted_once() -> Result<(), Skipped> {
    let seen = seen_by(Who::Ordinary, "connect once", &NOTHING)?;
    let count = |when: &str, name: &str| seen[when][name].as_u64().unwrap();
    assert_eq!(count("before", "TcpOutSegs"), 0, "its counters start at zero");
    for when in ["open", "closed"] {
        assert_eq!(count(when, "TcpActiveOpens"), 1, "{when}");
        assert_eq!(count(when, "TcpPassiveOpens"), 1, "{when}");
    }
    assert_eq!(count("open", "TcpOutSegs"), 3, "SYN, SYN+ACK, ACK");
    assert_eq!(count("open", "TcpCurrEstab"), 2, "both ends are here");
    assert_eq!(count("closed", "TcpCurrEstab"), 0);
    Ok(())
}

/// Kills a process when the test is over, should it have failed.
struct Leftover(Pid);

impl Leftover {
    fn of(report: &Value) -> Self {
        let pid = i32::try_from(report["pid"].as_i64().unwrap()).unwrap();
        Self(Pid::from_raw(pid).unwrap())
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

fn a_body_of_100_kb_takes_as_many_segments_as_on_a_wire_where_that_is_asked_for()
-> Result<(), Skipped> {
    let segments = |as_on_a_wire: bool| {
        let seen = seen_by(Who::Ordinary, "send a body", &json!({ "as_on_a_wire": as_on_a_wire }))?;
        Ok(seen["segments"].as_u64().unwrap())
    };
    let (wire, loopback) = (segments(true)?, segments(false)?);
    // 1500 bytes less 20 of IP, 20 of TCP and 12 of its time stamps; acknowledgements come on top.
    assert!(wire >= 100_000_u64.div_ceil(1448), "{wire}");
    assert!(loopback < 100_000_u64.div_ceil(1448), "{loopback}");
    Ok(())
}

fn a_process_dies_with_its_parent_also_in_a_private_network() -> Result<(), Skipped> {
    let role = json!({ "role": "die with parent", "ends": false });
    let mut parent = Child::start("start another", &role, Who::Ordinary);
    let _leftover = Leftover::of(&parent.report()?);
    parent.kill();
    parent.wait_until_nobody_is_left();
    Ok(())
}

fn an_orphan_that_knows_its_parent_dies_at_once() -> Result<(), Skipped> {
    let role = json!({ "role": "be an orphan", "ends": true, "told": true });
    let parent = Child::start("start another", &role, Who::Ordinary);
    let _leftover = Leftover::of(&parent.report()?);
    parent.wait_until_nobody_is_left();
    Ok(())
}

fn an_orphan_in_the_care_of_process_1_dies_at_once() -> Result<(), Skipped> {
    let role = json!({ "role": "be an orphan", "ends": true, "told": false });
    let parent = Child::start("start another", &role, Who::Ordinary);
    let report = parent.report()?;
    let orphan = Leftover::of(&report);
    if report["adopted_by"] != 1 {
        let _ = kill_process(orphan.0, Signal::KILL);
        let why = format!("process {} takes in orphans here, not 1", report["adopted_by"]);
        return Err(Skipped(why));
    }
    parent.wait_until_nobody_is_left();
    Ok(())
}

/// Plays a role on two hosts, plugged in by TUN devices and by veth, as far as there is a cable to be
/// had.
fn seen_on_two_hosts(who: Who, role: &str, input: &Value) -> Result<Vec<Value>, Skipped> {
    let mut all = Vec::new();
    let mut skipped = Vec::new();
    for device in ["tun", "veth"] {
        let mut input = if input.is_null() { json!({}) } else { input.clone() };
        input["device"] = json!(device);
        let seen = seen_by(who, role, &input)?;
        match seen.get("no_cable") {
            Some(why) => skipped.push(format!("{device}: {}", text(why))),
            None => all.push(seen),
        }
    }
    if all.is_empty() {
        return Err(Skipped(skipped.join("; ")));
    }
    skipped.iter().for_each(|why| eprintln!("SKIPPED: {role}: {why}"));
    Ok(all)
}

fn each_of_two_hosts_sees_its_own_end_and_counts_for_itself() -> Result<(), Skipped> {
    for seen in seen_on_two_hosts(Who::Caller, "talk from host to host", &json!({ "delay_ms": 0 }))?
    {
        let client = "0100000A"; // 10.0.0.1
        let server = "0200000A:1F90"; // 10.0.0.2:8080
        let of_client = seen["of_client"].as_str().unwrap();
        let of_server = seen["of_server"].as_str().unwrap();
        assert_eq!(of_client.lines().count(), 2, "a heading and one end: {of_client}");
        assert!(of_client.contains(&format!(" {client}")), "{of_client}");
        assert_eq!(of_server.lines().count(), 3, "a heading, a listener and one end: {of_server}");
        assert!(of_server.contains(&format!(": {server} {client}")), "{of_server}");
        assert_eq!(seen["dialled"], json!({ "client": 1, "server": 0 }));
        assert_eq!(seen["accepted"], json!({ "client": 0, "server": 1 }));
    }
    Ok(())
}

fn every_packet_passes_the_cable_and_the_handshake_in_its_order() -> Result<(), Skipped> {
    for seen in seen_on_two_hosts(Who::Caller, "talk from host to host", &json!({ "delay_ms": 0 }))?
    {
        let packets: Vec<&str> = seen["packets"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(packets[..3], ["client S", "server S.", "client ."]);
        for end in ["client F", "server F"] {
            assert_eq!(packets.iter().filter(|packet| packet.starts_with(end)).count(), 1);
        }
        assert_eq!(packets.iter().filter(|packet| packet.contains('P')).count(), 2, "{packets:?}");
        assert_eq!(seen["sent"], packets.len());
        assert_eq!(seen["arrived"], packets.len());
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn a_round_trip_takes_twice_the_delay_of_the_cable_or_longer() -> Result<(), Skipped> {
    let input = json!({ "delay_ms": 30 });
    for seen in seen_on_two_hosts(Who::Caller, "talk from host to host", &input)? {
        for what in ["connecting_ms", "exchange_ms"] {
            assert!(seen[what].as_u64() >= Some(60), "{what} {}", seen[what]);
        }
    }
    Ok(())
}

fn the_end_whose_fin_is_not_acknowledged_sends_it_again() -> Result<(), Skipped> {
    for seen in seen_on_two_hosts(Who::Caller, "lose the last ACK", &NOTHING)? {
        assert_eq!(seen["fins_of_server"].as_u64(), Some(2), "{seen}");
        assert_eq!(seen["retransmitted"], json!({ "client": 0, "server": 1 }));
        assert_eq!(seen["state_of_client"], "06", "TIME_WAIT has answered");
    }
    Ok(())
}

fn a_cable_without_a_law_loses_nothing_of_much() -> Result<(), Skipped> {
    for seen in seen_on_two_hosts(Who::Caller, "send much", &NOTHING)? {
        assert_eq!(seen["received"], seen["written"]);
        assert_eq!(seen["lost_before_the_cable"], json!({ "client": 0, "server": 0 }));
        assert_eq!(seen["sent"], seen["arrived"]);
        assert!(seen["largest"].as_u64() <= Some(1500), "{seen}");
    }
    Ok(())
}

fn a_reset_that_nobody_sent_ends_a_connection_at_the_host_that_gets_it() -> Result<(), Skipped> {
    for seen in seen_on_two_hosts(Who::Caller, "forge a reset", &NOTHING)? {
        assert_eq!(seen["client_sees"], "ConnectionReset");
        assert_eq!(seen["server_state"], "01", "still ESTABLISHED: it was told nothing");
    }
    Ok(())
}

fn whoever_may_not_open_the_device_is_told_so() -> Result<(), Skipped> {
    let device = match fs::metadata("/dev/net/tun") {
        Ok(device) => device,
        Err(_) => return Err(Skipped("there is no /dev/net/tun".to_owned())),
    };
    let seen = seen_by(Who::Ordinary, "make two hosts", &json!({ "device": "tun" }))?;
    let open_to_all = std::os::unix::fs::PermissionsExt::mode(&device.permissions()) & 0o006 == 6;
    if open_to_all {
        assert_eq!(seen["no_cable"], NOTHING);
    } else {
        let why = text(&seen["no_cable"]);
        assert!(
            why.starts_with("no cable between two hosts: opening /dev/net/tun refused (EACCES)"),
            "{why}"
        );
        assert!(why.contains("fix: sudo chmod 666 /dev/net/tun"), "{why}");
    }
    Ok(())
}

fn whoever_may_not_open_the_device_gets_a_cable_all_the_same() -> Result<(), Skipped> {
    if let Err(Skipped(why)) = seen_on_two_hosts(Who::Ordinary, "send much", &NOTHING) {
        return Err(Skipped(why));
    }
    let seen = seen_by(Who::Ordinary, "make two hosts", &NOTHING)?;
    assert_eq!(seen["no_cable"], NOTHING);
    Ok(())
}
