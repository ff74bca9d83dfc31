//! Runs on two hosts with a cable between them: what a distance does, and what a packet that gets
//! lost does.

#[path = "program/files.rs"]
mod files;

use std::process::{Command, Stdio};

use files::own;
use serde_json::Value;

/// The only run of an experiment, with all of its evidence; `None` where there is no cable to be had.
fn run(source: &str) -> Option<Value> {
    let directory = tempfile::tempdir().unwrap();
    let file = own(&directory, source);
    let arguments = ["run", "--format", "json", "--evidence", &file];
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let words = || String::from_utf8_lossy(&output.stderr).into_owned();
    let value: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", words()));
    let run = value["experiments"][0]["runs"][0].clone();
    if run["verdict"] == "skipped" {
        eprintln!("SKIPPED: {}", run["because"]);
        return None;
    }
    assert_eq!(run["verdict"], "held", "{run:#}");
    Some(run)
}

/// The segments that the cable took, as `client S`, with what became of them unless they passed.
fn packets(run: &Value) -> Vec<String> {
    let told = |passage: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let fate = match &passage["fate"] {
            Value::String(fate) if fate == "passed" => String::new(),
            Value::String(fate) => format!(" {fate}"),
            other => format!(" {}", other.as_object().unwrap().keys().next().unwrap()),
        };
        format!("{} {}{fate}", text(&passage["from"]), text(&passage["segment"]["flags"]))
    };
    run["evidence"]["outcome"]["wire"]["Ok"]["passages"]
        .as_array()
        .unwrap()
        .iter()
        .map(told)
        .collect()
}

/// Two hosts, ten requests after each other, and what a test wants besides.
fn experiment(network: &str, rest: &str) -> String {
    format!(
        "question = 'What does the cable do?'\n\
         transports = ['go']\n\
         [network]\nhosts = 2\n{network}\n{rest}"
    )
}

#[test]
fn a_new_connection_costs_a_round_trip_more_than_a_used_one() {
    let rest = "[client]\nkeep_alives = false\n[workload]\nrequests = 4\n\
        [[predict]]\nexpect.least_time = '2 * round_trip ..'\nexpect.'wire.client.syn' = 'requests'\n\
        because = 'each request waits for a handshake, then for its response'";
    if run(&experiment("delay = '15ms'", rest)).is_none() {
        return;
    }
    let rest = "[workload]\nrequests = 4\n\
        [[predict]]\nexpect.least_time = 'round_trip .. 2 * round_trip'\nexpect.'wire.client.syn' = 1\n\
        because = 'all but the first wait for their response alone'";
    run(&experiment("delay = '60ms'", rest)).unwrap();
}

#[test]
fn a_servers_close_that_crosses_a_request_is_answered_with_a_reset() {
    // The server closes 300 ms after its response; the client's request leaves while the FIN is on
    // its way.
    let rest = "[server]\nidle_timeout = '300ms'\n[workload]\nkind = 'script'\n\
        steps = [{ request = {} }, { wait = '200ms' }, { request = { post = 'x' } }, { wait = '500ms' }]\n\
        [[predict]]\nexpect.failed = 1\nexpect.opened = 1\nexpect.'wire.server.rst' = '1 ..'\n\
        because = 'nobody listens any more, and a POST is not sent twice'";
    let Some(run) = run(&experiment("delay = '200ms'", rest)) else { return };
    let packets = packets(&run);
    let place = |what: &str| packets.iter().position(|packet| packet == what).unwrap();
    let request = packets.iter().rposition(|packet| packet == "client P.").unwrap();
    assert!(place("server F.") < request, "the FIN was on its way: {packets:?}");
    assert!(request < place("server R"), "{packets:?}");
}

#[test]
fn a_syn_that_gets_lost_costs_a_second() {
    let rest = "cable = [{ from = 'client', flags = 'S', do = 'lose' }]\n\
        [workload]\nrequests = 1\n\
        [[predict]]\nexpect.elapsed = '1 .. 3'\nexpect.'wire.client.syn' = 2\nexpect.'wire.client.again' = 1\n\
        expect.'wire.client.lost' = 1\nexpect.'counter.client.TcpRetransSegs' = 1\n\
        because = 'the kernel waits for a second before it sends a first SYN again'";
    let Some(run) = run(&experiment("", rest)) else { return };
    assert_eq!(packets(&run)[..3], ["client S lost", "client S", "server S."]);
}

#[test]
fn a_reset_in_the_middle_ends_the_connection_at_both_hosts() {
    let rest = "cable = [{ from = 'client', data = true, nth = 2, do = 'reset' }]\n\
        [workload]\nrequests = 3\n\
        [[predict]]\nexpect.opened = 2\nexpect.failed = 0\nexpect.'closed_by.reset' = 1\n\
        because = 'the second request met with a reset, and was sent again on a new connection'";
    let Some(run) = run(&experiment("", rest)) else { return };
    assert_eq!(packets(&run).iter().filter(|packet| packet.ends_with("reset")).count(), 1);
}

#[test]
fn what_is_sent_into_a_cut_cable_comes_through_when_it_is_healed() {
    let rest = "[workload]\nkind = 'script'\n\
        steps = [{ request = {} }, { cable = 'cut' }, { start = {} }, { wait = '300ms' }, { cable = 'heal' }, 'finish']\n\
        [[predict]]\nexpect.opened = 1\nexpect.failed = 0\nexpect.most_time = '0.3 ..'\n\
        expect.'wire.client.lost' = '1 ..'\nexpect.'wire.client.again' = '1 ..'\n\
        because = 'the request is sent again until it arrives, and the connection lives'";
    run(&experiment("", rest));
}

#[test]
fn with_a_rate_a_body_takes_as_long_as_its_bits() {
    let rest = "rate = '8Mbit/s'\n[server]\nbytes = '100KiB'\n[workload]\nrequests = 1\n\
        [[predict]]\nexpect.elapsed = 'bytes * 8 / 8000000 ..'\nexpect.'wire.lost' = 0\n\
        because = 'eight million bits go through each second'";
    run(&experiment("", rest));
}

/// Both kinds of load: connections that are used again and again, and new ones as fast as they go.
#[test]
fn workers_that_never_rest_lose_no_packet_on_a_cable_without_a_rule() {
    for (client, opened) in
        [("per_host = 64", "workers"), ("keep_alives = false", "workers * requests")]
    {
        let rest = format!(
            "[client]\n{client}\n[workload]\nkind = 'concurrent'\nworkers = 64\nrequests = 5\n\
             [[predict]]\nexpect.opened = '{opened}'\nexpect.failed = 0\nexpect.'wire.lost' = 0\n\
             expect.'wire.client.syn' = '{opened} ..'\n\
             because = 'what is sent arrives, and nothing has to be sent in vain'"
        );
        let Some(run) = run(&experiment("", &rest)) else { return };
        let wire = &run["evidence"]["outcome"]["wire"]["Ok"];
        // A packet that a host loses before the cable, or does not take from it, no rule has lost.
        assert_eq!((&wire["missed"], &wire["refused"]), (&0.into(), &0.into()), "{opened}");
    }
}

#[test]
fn what_makes_no_cable_is_refused_with_the_key() {
    let refused = |network: &str, step: &str| {
        let directory = tempfile::tempdir().unwrap();
        let source = format!(
            "question = 'What?'\n[network]\n{network}\n[workload]\nkind = 'script'\n\
             steps = [{{ request = {{}} }}{step}]\n[[predict]]\nexpect.opened = 1\nbecause = 'b'\n"
        );
        let output = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["run", &own(&directory, &source)])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    for (network, step, why) in [
        ("delay = '20ms'", "", "network.delay: there is no cable unless network.hosts = 2"),
        ("hosts = 3", "", "network.hosts: one, or two with a cable"),
        ("", ", { cable = 'cut' }", "workload.steps: there is no cable unless network.hosts = 2"),
        ("hosts = 2\nrate = '10'", "", "`10`: no unit; expected bits a second as in \"10Mbit/s\""),
        ("hosts = 2\nloss = '101%'", "", "`101%`: not between 0 % and 100 %"),
        ("hosts = 2\ncable = [{ flags = 'X', do = 'lose' }]", "", "`X` is no TCP flags"),
        ("hosts = 2\ncable = [{ nth = 0, do = 'lose' }]", "", "count from 1"),
    ] {
        let told = refused(network, step);
        assert!(told.contains(why), "{network}: {told}");
    }
}

#[test]
fn a_connection_that_the_clients_system_gives_up_was_not_closed_by_the_server() {
    let rest = "[client]\ntcp_user_timeout = '300ms'\n[workload]\nkind = 'script'\n\
        steps = [{ request = {} }, { cable = 'forget' }, { request = { post = 'x' } }, { request = {} }]\n\
        [[predict]]\nexpect.failed = 1\nexpect.'failures.timed_out' = 1\nexpect.opened = 2\n\
        expect.'closed_by.server' = 0\nexpect.'running.server.established' = 2\n\
        because = 'nobody answers, so the kernel gives up; the server notices nothing'";
    let Some(run) = run(&experiment("", rest)) else { return };
    let first = &run["evidence"]["outcome"]["connections"][0]["close"];
    assert_eq!(first["why"]["known"], "given_up", "{first:#}");
    assert_eq!(run["evidence"]["outcome"]["disagreements"].as_array().unwrap().len(), 0);
}
