//! A change to the settings of a run, and how it is typed.

use std::time::Duration;

use evidence::{BodyPolicy, CommandFlag, Preset, Setup};

/// A setting that is to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Transport(Preset),
    Body(BodyPolicy),
    Requests(usize),
    Interval(Duration),
    PerHost(usize),
    MaxIdle(usize),
    NoMaxConns,
    IdleTimeout(Option<Duration>),
    KeepAlives,
    Bytes(u64),
    Delay(Duration),
    PauseBeforeBody(Duration),
}

impl Change {
    /// The settings after all these changes.
    pub(super) fn all(changes: &[Self], setup: &Setup) -> Setup {
        let mut setup = setup.clone();
        for change in changes {
            change.apply(&mut setup);
        }
        setup
    }

    fn apply(self, setup: &mut Setup) {
        match self {
            Self::Transport(preset) => {
                let is_typed = setup.flags.iter().any(|flag| flag.name == "max-idle");
                if !is_typed {
                    // The default, which only Go's rules have.
                    setup.max_idle = (preset != Preset::HyperUtil).then_some(100);
                }
                setup.preset = preset;
            }
            Self::Body(body) => setup.body = body,
            Self::Requests(requests) => setup.requests = requests,
            Self::Interval(interval) => setup.interval = interval,
            Self::PerHost(per_host) => setup.per_host = per_host,
            Self::MaxIdle(max_idle) => setup.max_idle = Some(max_idle),
            Self::NoMaxConns => setup.max_conns_per_host = None,
            Self::IdleTimeout(limit) => setup.idle_timeout = limit,
            Self::KeepAlives => setup.keep_alives = true,
            Self::Bytes(bytes) => setup.server.bytes = Some(bytes),
            Self::Delay(delay) => setup.server.delay = delay,
            Self::PauseBeforeBody(pause) => setup.server.pause_before_body = pause,
        }
    }

    /// Returns what was typed with all these changes: in its place what was there, at the end what
    /// was not.
    pub(super) fn flags(changes: &[Self], typed: &[CommandFlag]) -> Vec<CommandFlag> {
        let mut flags = typed.to_vec();
        for change in changes {
            let (name, value) = change.flag();
            let place = flags.iter().position(|flag| flag.name == name);
            match (place, value) {
                (Some(place), None) => drop(flags.remove(place)),
                (Some(place), value) => flags[place].value = value,
                (None, None) => {}
                (None, value) => flags.push(CommandFlag { name: name.to_owned(), value }),
            }
        }
        flags
    }

    /// The flag and its value; without one it is left out.
    fn flag(self) -> (&'static str, Option<String>) {
        let (name, value) = match self {
            Self::Transport(preset) => ("transport", preset.name().to_owned()),
            Self::Body(body) => ("body", body.name().to_owned()),
            Self::Requests(requests) => ("requests", requests.to_string()),
            Self::Interval(interval) => ("interval", time(interval)),
            Self::PerHost(per_host) => ("per-host", per_host.to_string()),
            Self::MaxIdle(max_idle) => ("max-idle", max_idle.to_string()),
            Self::NoMaxConns => ("max-conns-per-host", "none".to_owned()),
            Self::IdleTimeout(limit) => ("idle-timeout", limit.map_or("none".into(), time)),
            Self::KeepAlives => return ("no-keep-alives", None),
            Self::Bytes(bytes) => ("bytes", size(bytes)),
            Self::Delay(delay) => ("delay", time(delay)),
            Self::PauseBeforeBody(pause) => ("pause-before-body", time(pause)),
        };
        (name, Some(value))
    }
}

/// `90s`, `30ms`.
fn time(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// `11`, `64KiB`, `1MiB`.
fn size(bytes: u64) -> String {
    let text = evidence::ByteCount(bytes).to_string();
    match text.strip_suffix(" B") {
        Some(number) => number.to_owned(),
        None => text.replace(' ', ""),
    }
}
