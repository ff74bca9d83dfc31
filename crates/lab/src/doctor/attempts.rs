//! Trying one thing, in the child: thin, and as the lab does it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use evidence::{Segment, SegmentFlags};
use netlab::{CablePlan, DeviceChoice, Error, HostsPlan, NetworkSettings, NothingHappens};
use observe::ObservedGround;
use packets::{Capture, CaptureError, CaptureSetup, Recording};
use report::words::count;

use super::facts::{Attempt, AttemptOutcome, Refusal};

/// A port that in the machine's own network takes root.
const PORT: u16 = 80;
/// A connection that does not come to be is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tries it. This process may be in another network afterwards.
pub(crate) fn attempt(attempt: &Attempt) -> AttemptOutcome {
    match attempt {
        Attempt::Private => private(),
        Attempt::Settings(settings) => with_settings(settings),
        Attempt::Tun => cable(DeviceChoice::Tun),
        Attempt::Cable => cable(DeviceChoice::Auto),
        Attempt::PacketsInside => packets_inside(),
        Attempt::Observing => observing(),
        Attempt::PacketsHere => packets_here(),
        Attempt::Tracepoint => tracepoint(),
    }
}

fn private() -> AttemptOutcome {
    if let Err(error) = netlab::enter(&NetworkSettings::default()) {
        return of_network(error);
    }
    match connection((Ipv4Addr::LOCALHOST, PORT).into()) {
        Ok(_) => AttemptOutcome::Works(format!("a server on its port {PORT} was reached")),
        Err(error) => failed("connecting in it failed", &error),
    }
}

fn with_settings(settings: &NetworkSettings) -> AttemptOutcome {
    match netlab::enter(settings).and_then(|network| network.settings()) {
        Ok(_) => AttemptOutcome::Works(String::new()),
        Err(error) => of_network(error),
    }
}

fn cable(device: DeviceChoice) -> AttemptOutcome {
    let cable = CablePlan { device, ..CablePlan::default() };
    let plan = HostsPlan { cable, ..HostsPlan::default() };
    let hosts = match netlab::enter_hosts(&plan, Box::new(NothingHappens)) {
        Ok(hosts) => hosts,
        Err(error) => return of_network(error),
    };
    let address = SocketAddr::from((netlab::SERVER_HOST, PORT));
    let listener = match hosts.server.run(move || TcpListener::bind(address)) {
        Ok(Ok(listener)) => listener,
        Ok(Err(error)) => return failed("listening on the second host failed", &error),
        Err(error) => return of_network(error),
    };
    if let Err(error) = exchange(&listener) {
        return failed("connecting through it failed", &error);
    }
    match hosts.cable.unplug() {
        Ok(tally) => {
            let arrived = count(usize::try_from(tally.arrived).unwrap_or(usize::MAX), "packet");
            AttemptOutcome::Works(format!("a connection went through it, in {arrived}"))
        }
        Err(error) => of_network(error),
    }
}

fn packets_inside() -> AttemptOutcome {
    let network = match netlab::enter(&NetworkSettings::default()) {
        Ok(network) => network,
        Err(error) => return of_network(error),
    };
    if let Err(error) = network.as_on_a_wire() {
        return of_network(error);
    }
    heard(&CaptureSetup::on("lo"), (Ipv4Addr::LOCALHOST, PORT).into())
}

fn packets_here() -> AttemptOutcome {
    // Of the machine's own network nothing is heard but a port that nobody else has.
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(listener) => listener,
        Err(error) => return failed("listening on 127.0.0.1 failed", &error),
    };
    match listener.local_addr() {
        Ok(address) => {
            let setup = CaptureSetup::on("lo").ports([address.port()]);
            heard_of(&setup, &listener)
        }
        Err(error) => failed("listening on 127.0.0.1 failed", &error),
    }
}

fn heard(setup: &CaptureSetup, address: SocketAddr) -> AttemptOutcome {
    match TcpListener::bind(address) {
        Ok(listener) => heard_of(setup, &listener),
        Err(error) => failed("listening failed", &error),
    }
}

/// Makes a connection, and looks whether its handshake was heard.
fn heard_of(setup: &CaptureSetup, listener: &TcpListener) -> AttemptOutcome {
    let capture = match Capture::start(setup, Instant::now()) {
        Ok(capture) => capture,
        Err(error) => return of_capture(error),
    };
    if let Err(error) = exchange(listener) {
        return AttemptOutcome::NotTried(format!("nothing to hear: connecting failed: {error}"));
    }
    let recording = match capture.stop() {
        Ok(recording) => recording,
        Err(error) => return of_capture(error),
    };
    seen_in(&recording)
}

/// Looks whether a handshake is among the packets.
fn seen_in(recording: &Recording) -> AttemptOutcome {
    let (segments, _) = recording.segments();
    let synchronised = |it: &&Segment| it.has(SegmentFlags::SYN);
    match segments.iter().filter(synchronised).count() {
        2 => {
            let packets = count(segments.len(), "packet");
            AttemptOutcome::Works(format!("{packets} of a connection were heard"))
        }
        heard => {
            let of = format!("of a handshake {heard} of 2 SYNs were heard");
            AttemptOutcome::Failed(of)
        }
    }
}

/// As `lab observe` does it, whose program is to run as the user who started it.
fn observing() -> AttemptOutcome {
    let mut ground = match ObservedGround::enter(Instant::now()) {
        Ok(ground) => ground,
        Err(error) => return of_network(error),
    };
    if let Err(error) = ground.begin() {
        return of_capture(error);
    }
    if let Err(error) = connection((Ipv4Addr::LOCALHOST, 0).into()) {
        return failed("connecting in it failed", &error);
    }
    match ground.end() {
        Ok(heard) => seen_in(&heard.loopback),
        Err(error) => of_capture(error),
    }
}

fn connection(address: SocketAddr) -> io::Result<()> {
    exchange(&TcpListener::bind(address)?)
}

/// Connects, and sends a byte.
fn exchange(listener: &TcpListener) -> io::Result<()> {
    let mut client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"!")?;
    server.read_exact(&mut [0])
}

fn of_network(error: Error) -> AttemptOutcome {
    match error {
        Error::Refused(refused) | Error::NoCable(refused) => {
            AttemptOutcome::Refused(Refusal::from(&refused))
        }
        Error::Setting { name, value, source }
            if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
        {
            AttemptOutcome::Refused(Refusal {
                what: format!("setting {name} to {value} refused"),
                by: "a /proc/sys that is read-only, as containers have it".to_owned(),
                fix: "in a container: docker run --security-opt systempaths=unconfined".to_owned(),
                apparmor: false,
            })
        }
        other => AttemptOutcome::Failed(format!("{:#}", anyhow::Error::new(other))),
    }
}

fn of_capture(error: CaptureError) -> AttemptOutcome {
    match error {
        CaptureError::Refused(refused) => AttemptOutcome::Refused(Refusal::from(&refused)),
        other => AttemptOutcome::Failed(format!("{:#}", anyhow::Error::new(other))),
    }
}

fn failed(what: &str, error: &io::Error) -> AttemptOutcome {
    AttemptOutcome::Failed(format!("{what}: {error}"))
}

/// The event that `socket-inspector trace` asks for.
#[cfg(target_os = "linux")]
const EVENT: &str = "events/sock/inet_sock_set_state/enable";

/// Opens what enables the event, and does not enable it.
#[cfg(target_os = "linux")]
fn tracepoint() -> AttemptOutcome {
    use std::fs;
    use std::path::Path;

    let refused = |what: String| {
        AttemptOutcome::Refused(Refusal {
            what,
            by: "the kernel, which lets root of the machine alone do it, or by a guard".to_owned(),
            fix: "run socket-inspector trace as root, outside of any container".to_owned(),
            apparmor: false,
        })
    };
    let told = |place: &str, error: &io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => refused(format!("{place} refused")),
        _ => failed(&format!("{place} failed"), error),
    };
    for place in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        match fs::read_dir(Path::new(place).join("instances")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return told(&format!("reading {place}"), &error),
            Ok(_) => {
                return match may_be_enabled(Path::new(place)) {
                    Ok(()) => AttemptOutcome::Works(format!(
                        "sock:inet_sock_set_state may be enabled, at {place}"
                    )),
                    Err(error) => told(&format!("opening {place}/{EVENT}"), &error),
                };
            }
        }
    }
    match mounted_unseen() {
        Ok(()) => AttemptOutcome::Works(
            "sock:inet_sock_set_state may be enabled; tracefs is mounted nowhere, and could be"
                .to_owned(),
        ),
        Err(error) => told("mounting tracefs, which is mounted nowhere,", &error),
    }
}

#[cfg(target_os = "linux")]
fn may_be_enabled(root: &std::path::Path) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(root.join(EVENT)).map(drop)
}

/// Mounts tracefs without a place in the tree of files, as `socket-inspector` does: it ends with its
/// descriptor.
#[cfg(target_os = "linux")]
fn mounted_unseen() -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen,
    };

    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    may_be_enabled(std::path::Path::new(&format!("/proc/self/fd/{}", mount.as_raw_fd())))
}

/// There are none elsewhere.
#[cfg(not(target_os = "linux"))]
fn tracepoint() -> AttemptOutcome {
    AttemptOutcome::Failed(format!("{} has no tracepoints of Linux", std::env::consts::OS))
}
