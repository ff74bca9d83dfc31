//! Machines that no single machine is.

use netlab::NetworkSettings;
use report::page::PageWriter;

use super::facts::{
    AttemptOutcome, DescriptorLimit, DoctorFacts, ExperimentNeeds, LocalPorts, Refusal, SysctlFact,
    SystemFacts, ToolFact, TrialNeeds,
};
use super::{json, judge, text};

fn works(seen: &str) -> AttemptOutcome {
    AttemptOutcome::Works(seen.to_owned())
}

fn refused(what: &str, by: &str, fix: &str) -> AttemptOutcome {
    let [what, by, fix] = [what, by, fix].map(ToOwned::to_owned);
    AttemptOutcome::Refused(Refusal { what, by, fix, apparmor: false })
}

fn not_tried() -> AttemptOutcome {
    super::no_network()
}

fn few_ports() -> NetworkSettings {
    NetworkSettings { local_ports: Some((40_000, 40_019)), ..NetworkSettings::default() }
}

/// One that runs anywhere, one with settings of its own, two on two hosts, one half of whose runs is.
fn experiments() -> Vec<ExperimentNeeds> {
    let any = TrialNeeds {
        private: false,
        settings: NetworkSettings::default(),
        two_hosts: false,
        packets: false,
    };
    let with_settings = TrialNeeds { private: true, settings: few_ports(), ..any.clone() };
    let hosts = TrialNeeds { private: true, two_hosts: true, packets: true, ..any.clone() };
    let experiment = |name: &str, trials: &[TrialNeeds]| ExperimentNeeds {
        name: name.to_owned(),
        trials: trials.to_vec(),
    };
    vec![
        experiment("01-sequential-drained", std::slice::from_ref(&any)),
        experiment("13-port-exhaustion", &[with_settings]),
        experiment("16-cost", &[any, hosts.clone()]),
        experiment("32-last-ack", std::slice::from_ref(&hosts)),
        experiment("33-old-duplicate", std::slice::from_ref(&hosts)),
        experiment("34-round-trip", &[hosts]),
    ]
}

/// A machine on which everything works.
fn healthy() -> DoctorFacts {
    let ok = |name, value: &str| SysctlFact { name, value: Ok(value.to_owned()) };
    DoctorFacts {
        system: SystemFacts {
            os: "linux".to_owned(),
            kernel: Some("6.12.48+deb13-amd64".to_owned()),
            user: Some(1000),
        },
        private: works("a server on its port 80 was reached"),
        settings: vec![(few_ports(), works(""))],
        tun: works("a connection went through it, in 5 packets"),
        cable: works("a connection went through it, in 5 packets"),
        packets_inside: works("8 packets of a connection were heard"),
        observing: works("8 packets of a connection were heard"),
        packets_here: works("8 packets of a connection were heard"),
        tracepoint: works("sock:inet_sock_set_state may be enabled, at /sys/kernel/tracing"),
        sysctls: vec![
            ok("net.ipv4.ip_local_port_range", "32768 60999"),
            ok("net.ipv4.tcp_tw_reuse", "2"),
            ok("net.ipv4.tcp_abort_on_overflow", "1"),
        ],
        descriptors: Some(DescriptorLimit { soft: Some(1024), hard: Some(524_288) }),
        ports: Some(LocalPorts { all: 28_232, used: 17 }),
        tools: vec![
            ToolFact { name: "go", adds: "lab run --transport real-go", version: None },
            ToolFact {
                name: "tcpdump",
                adds: "hears and reads the same packets",
                version: Some("tcpdump version 4.99.5".to_owned()),
            },
        ],
        experiments: experiments(),
    }
}

fn no_private(outcome: AttemptOutcome) -> DoctorFacts {
    DoctorFacts {
        private: outcome,
        settings: Vec::new(),
        tun: not_tried(),
        cable: not_tried(),
        packets_inside: not_tried(),
        observing: not_tried(),
        ..healthy()
    }
}

fn docker() -> DoctorFacts {
    DoctorFacts {
        tracepoint: refused(
            "reading /sys/kernel/tracing refused",
            "the kernel, which lets root of the machine alone do it, or by a guard",
            "run socket-inspector trace as root, outside of any container",
        ),
        ..no_private(refused(
            "unshare refused (EPERM)",
            "a seccomp filter, as containers have one",
            "docker run --security-opt seccomp=unconfined",
        ))
    }
}

fn ubuntu() -> DoctorFacts {
    let no_packets = refused(
        "opening a packet socket refused (EPERM)",
        "the kernel, as this process lacks CAP_NET_RAW",
        "enter a private network first, or sudo setcap cap_net_raw+ep /usr/local/bin/lab",
    );
    DoctorFacts {
        packets_here: no_packets,
        ..no_private(AttemptOutcome::Refused(Refusal {
            what: "writing /proc/self/uid_map refused (EPERM)".to_owned(),
            by: "AppArmor's switch kernel.apparmor_restrict_unprivileged_userns = 1".to_owned(),
            fix: "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0".to_owned(),
            apparmor: true,
        }))
    }
}

fn no_tun() -> DoctorFacts {
    DoctorFacts {
        tun: refused(
            "opening /dev/net/tun refused (ENOENT)",
            "a system without it: the kernel's module tun is not loaded, or a container was started \
             without the device",
            "sudo modprobe tun, or in a container: docker run --device /dev/net/tun",
        ),
        cable: refused(
            "making a pair of veth devices refused (EOPNOTSUPP)",
            "a kernel without such devices: its module veth is not loaded, or it has none",
            "sudo modprobe veth",
        ),
        ..healthy()
    }
}

fn told(facts: &DoctorFacts) -> String {
    let mut page = PageWriter::new(Vec::new(), 80);
    text::write(&judge::judge(facts), &mut page).unwrap();
    let text = String::from_utf8(page.into_inner()).unwrap();
    let plain = anstream::adapter::strip_str(&text).to_string();
    assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
    plain
}

/// The rows and the summary, without the machine's settings and tools.
fn in_short(facts: &DoctorFacts) -> String {
    let bare = DoctorFacts {
        sysctls: Vec::new(),
        descriptors: None,
        ports: None,
        tools: Vec::new(),
        ..facts.clone()
    };
    let told = told(&bare);
    let (rows, rest) = told.split_once("\n\nBeside the lab").unwrap();
    format!("{rows}\n\n{}", rest.rsplit_once("\n\n").unwrap().1.trim())
}

#[test]
fn where_everything_works_it_says_what_was_seen() {
    insta::assert_snapshot!(told(&healthy()), @r"
    What of the lab works here  Linux 6.12.48+deb13-amd64, as user 1000
      private network      works      a server on its port 80 was reached
      its settings         works      every set that an experiment makes could be
                                      made (1)
      TUN device           works      a connection went through it, in 5 packets
      second host, cable   works      a connection went through it, in 5 packets
      packets, in private  works      8 packets of a connection were heard
      observing a program  works      8 packets of a connection were heard
      packets, of machine  works      8 packets of a connection were heard
      tracepoints          works      sock:inet_sock_set_state may be enabled, at
                                      /sys/kernel/tracing

    Settings of this network  runs of the lab have their own
      NAME                   VALUE          WHAT IT MEANS [EXPERIMENT]
      ip_local_port_range    32768 60999    28232 connections at a time to one
                                              server [13]
      tcp_tw_reuse           2              a port in TIME_WAIT may be given away on
                                              loopback alone [13]
      tcp_abort_on_overflow  1              a full accept queue resets [26, 40]
      ports left             28215          of 28232; 17 taken, which may still
                                              serve toward another server
      open files             1024 (524288)  runs raise it to 524288; a connection
                                              takes one at each end [24, 25]

    Beside the lab  it needs none of them
      NAME     ADDS                              VERSION
      go       lab run --transport real-go       not found
      tcpdump  hears and reads the same packets  tcpdump version 4.99.5

    All 6 experiments can run here, each run in a network of its own.
    ");
    assert!(judge::judge(&healthy()).all_works());
}

#[test]
fn docker_s_filter_refuses_the_network_and_the_packets_of_the_container_are_heard() {
    insta::assert_snapshot!(in_short(&docker()), @r"
    What of the lab works here  Linux 6.12.48+deb13-amd64, as user 1000
      private network      does not   unshare refused (EPERM) by a seccomp filter,
                                      as containers have one
                                      cure: docker run --security-opt
                                      seccomp=unconfined
      its settings         not tried  it takes a private network
      TUN device           not tried  it takes a private network
      second host, cable   not tried  it takes a private network
      packets, in private  not tried  it takes a private network
      observing a program  not tried  it takes a private network
      packets, of machine  works      8 packets of a connection were heard
      tracepoints          does not   reading /sys/kernel/tracing refused by the
                                      kernel, which lets root of the machine alone
                                      do it, or by a guard
                                      cure: run socket-inspector trace as root,
                                      outside of any container

    Of 6 experiments 1 can run here as a whole, all in the network of this machine.
    Experiments 13 and 32 to 34, and some runs of 16, would be skipped for want of a
    private network.
    ");
    assert!(!judge::judge(&docker()).all_works());
}

#[test]
fn ubuntu_s_apparmor_is_cured_by_a_profile_for_this_program_alone() {
    insta::assert_snapshot!(in_short(&ubuntu()), @r"
    What of the lab works here  Linux 6.12.48+deb13-amd64, as user 1000
      private network      does not   writing /proc/self/uid_map refused (EPERM) by
                                      AppArmor's switch
                                      kernel.apparmor_restrict_unprivileged_userns =
                                      1
                                      cure: cargo run -p lab -- doctor --apparmor
                                      prints a profile that allows it to this
                                      program alone; to all: sudo sysctl
                                      kernel.apparmor_restrict_unprivileged_userns=0
      its settings         not tried  it takes a private network
      TUN device           not tried  it takes a private network
      second host, cable   not tried  it takes a private network
      packets, in private  not tried  it takes a private network
      observing a program  not tried  it takes a private network
      packets, of machine  does not   opening a packet socket refused (EPERM) by the
                                      kernel, as this process lacks CAP_NET_RAW
                                      cure: enter a private network first, or sudo
                                      setcap cap_net_raw+ep /usr/local/bin/lab
      tracepoints          works      sock:inet_sock_set_state may be enabled, at
                                      /sys/kernel/tracing

    Of 6 experiments 1 can run here as a whole, all in the network of this machine.
    Experiments 13 and 32 to 34, and some runs of 16, would be skipped for want of a
    private network.
    ");
}

#[test]
fn without_tun_and_veth_what_takes_two_hosts_is_skipped_and_the_rest_runs() {
    insta::assert_snapshot!(in_short(&no_tun()), @r"
    What of the lab works here  Linux 6.12.48+deb13-amd64, as user 1000
      private network      works      a server on its port 80 was reached
      its settings         works      every set that an experiment makes could be
                                      made (1)
      TUN device           does not   opening /dev/net/tun refused (ENOENT) by a
                                      system without it: the kernel's module tun is
                                      not loaded, or a container was started without
                                      the device
                                      cure: sudo modprobe tun, or in a container:
                                      docker run --device /dev/net/tun
      second host, cable   does not   making a pair of veth devices refused
                                      (EOPNOTSUPP) by a kernel without such devices:
                                      its module veth is not loaded, or it has none
                                      cure: sudo modprobe veth
      packets, in private  works      8 packets of a connection were heard
      observing a program  works      8 packets of a connection were heard
      packets, of machine  works      8 packets of a connection were heard
      tracepoints          works      sock:inet_sock_set_state may be enabled, at
                                      /sys/kernel/tracing

    Of 6 experiments 2 can run here as a whole, each run in a network of its own.
    Experiments 32 to 34, and some runs of 16, would be skipped for want of a second
    host.
    ");
}

#[test]
fn settings_that_are_read_only_fail_the_runs_that_make_them() {
    let refusal = refused(
        "setting net.ipv4.ip_local_port_range to 40000 40019 refused",
        "a /proc/sys that is read-only, as containers have it",
        "in a container: docker run --security-opt systempaths=unconfined",
    );
    let read_only = DoctorFacts { settings: vec![(few_ports(), refusal)], ..healthy() };
    insta::assert_snapshot!(in_short(&read_only), @r"
    What of the lab works here  Linux 6.12.48+deb13-amd64, as user 1000
      private network      works      a server on its port 80 was reached
      its settings         does not   of 1 set that experiments make 1 cannot be
                                      made; the first: setting
                                      net.ipv4.ip_local_port_range to 40000 40019
                                      refused by a /proc/sys that is read-only, as
                                      containers have it
                                      cure: in a container: docker run
                                      --security-opt systempaths=unconfined
      TUN device           works      a connection went through it, in 5 packets
      second host, cable   works      a connection went through it, in 5 packets
      packets, in private  works      8 packets of a connection were heard
      observing a program  works      8 packets of a connection were heard
      packets, of machine  works      8 packets of a connection were heard
      tracepoints          works      sock:inet_sock_set_state may be enabled, at
                                      /sys/kernel/tracing

    Of 6 experiments 5 can run here as a whole, each run in a network of its own.
    Experiment 13 would fail for want of settings that cannot be made.
    ");
}

#[test]
fn programs_are_told_the_same() {
    let object = json::object(&judge::judge(&no_tun()));
    assert_eq!(object["all_works"], false);
    let row = &object["rows"][3];
    assert_eq!((&row["what"], &row["state"]), (&"second host, cable".into(), &"does_not".into()));
    assert!(row["cure"].as_str().unwrap().starts_with("sudo modprobe veth"));
    let cost = &object["experiments"][2];
    assert_eq!((&cost["can_run"], &cost["runs"]), (&1.into(), &2.into()));
    assert_eq!((&cost["obstacle"], &cost["skipped"]), (&"no_second_host".into(), &true.into()));
    assert_eq!(object["experiments"][0]["obstacle"], serde_json::Value::Null);
}

#[test]
fn every_setting_that_is_told_has_a_meaning() {
    for name in super::meaning::SETTINGS {
        assert!(!super::meaning::of_setting(name, "1").is_empty(), "{name}");
    }
}
