//! What may be asked of a private network: checked here, in the kernel's names and units.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

const LOCAL_PORTS: &str = "net.ipv4.ip_local_port_range";
const TW_REUSE: &str = "net.ipv4.tcp_tw_reuse";
const TW_REUSE_DELAY: &str = "net.ipv4.tcp_tw_reuse_delay";
const MAX_TW_BUCKETS: &str = "net.ipv4.tcp_max_tw_buckets";
const FIN_TIMEOUT: &str = "net.ipv4.tcp_fin_timeout";
const SOMAXCONN: &str = "net.core.somaxconn";
const RETRIES2: &str = "net.ipv4.tcp_retries2";
const KEEPALIVE_PROBES: &str = "net.ipv4.tcp_keepalive_probes";
const SLOW_START_AFTER_IDLE: &str = "net.ipv4.tcp_slow_start_after_idle";
const CONGESTION_CONTROL: &str = "net.ipv4.tcp_congestion_control";
const NO_METRICS_SAVE: &str = "net.ipv4.tcp_no_metrics_save";

/// Ports below this are servers' (`net.ipv4.ip_unprivileged_port_start` of a fresh network).
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;
/// `TCP_PAWS_MSL`: the kernel takes no longer delay.
const LONGEST_REUSE_DELAY: Duration = Duration::from_secs(60);
/// The kernel counts it in ticks, of which it has up to 1000 a second, in 31 bits.
const LONGEST_FIN_TIMEOUT: Duration = Duration::from_secs(i32::MAX as u64 / 1000);

/// The settings of a private network. `None` stands for the kernel's default for a fresh one,
/// which does not depend on what the machine's own network is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSettings {
    /// `net.ipv4.ip_local_port_range`: the ports from which clients get theirs, the first and the
    /// last included. The kernel's default is 32768 to 60999.
    pub local_ports: Option<(u16, u16)>,
    /// `net.ipv4.tcp_tw_reuse`: whether a new connection may take the place of one of its own
    /// machine in `TIME_WAIT`; 0 never, 1 always, 2 on loopback alone, which is the default.
    pub tcp_tw_reuse: Option<u8>,
    /// `net.ipv4.tcp_tw_reuse_delay`: how long that place must have been silent; whole
    /// milliseconds up to 60 s, by default 1 s. Kernels before Linux 6.14 do not have it.
    pub tcp_tw_reuse_delay: Option<Duration>,
    /// `net.ipv4.tcp_max_tw_buckets`: how many sockets may be in `TIME_WAIT` at a time; the next
    /// connection skips the state.
    pub tcp_max_tw_buckets: Option<u32>,
    /// `net.ipv4.tcp_fin_timeout`: how long a closed socket waits in `FIN_WAIT2` for its peer;
    /// whole seconds, by default 60.
    pub tcp_fin_timeout: Option<Duration>,
    /// `net.core.somaxconn`: how many connections may wait to be accepted at most, whatever a
    /// server asks for; by default 4096. Concerns servers that begin to listen after it is set.
    pub somaxconn: Option<u16>,
    /// `net.ipv4.tcp_retries2`: how often data is sent again on an established connection before
    /// the kernel gives it up; by default 15. The kernel makes a time of it, as if the first
    /// repetition came after 200 ms and each pause were twice the one before.
    pub tcp_retries2: Option<u8>,
    /// `net.ipv4.tcp_keepalive_probes`: how many probes of TCP keepalive may stay unanswered; by
    /// default 9.
    pub tcp_keepalive_probes: Option<u8>,
    /// `net.ipv4.tcp_slow_start_after_idle`: whether a connection that was idle for longer than its
    /// retransmission timer begins with a small window again, as it does by default.
    pub tcp_slow_start_after_idle: Option<bool>,
    /// `net.ipv4.tcp_no_metrics_save`: whether a connection that ends leaves nothing behind from
    /// which the next one to the same host could learn; by default it does.
    pub tcp_no_metrics_save: Option<bool>,
    /// `net.ipv4.tcp_congestion_control`: the algorithm by which connections find out how much the
    /// way takes, such as `reno`, which every Linux has. A fresh network has that of the machine,
    /// and may change it for those in `net.ipv4.tcp_allowed_congestion_control`.
    pub tcp_congestion_control: Option<String>,
}

/// A setting as the kernel takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sysctl {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

impl NetworkSettings {
    /// Returns true if nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what the kernel is to be told, if it would take it.
    pub(crate) fn checked(&self) -> Result<Vec<Sysctl>, Error> {
        let all = [
            self.local_ports.map(local_ports),
            self.tcp_tw_reuse.map(tw_reuse),
            self.tcp_tw_reuse_delay.map(tw_reuse_delay),
            self.tcp_max_tw_buckets.map(max_tw_buckets),
            self.tcp_fin_timeout.map(fin_timeout),
            self.somaxconn.map(|most| plain(SOMAXCONN, most.to_string())),
            self.tcp_retries2.map(|times| plain(RETRIES2, times.to_string())),
            self.tcp_keepalive_probes.map(keepalive_probes),
            self.tcp_slow_start_after_idle.map(|is_on| switch(SLOW_START_AFTER_IDLE, is_on)),
            self.tcp_no_metrics_save.map(|is_on| switch(NO_METRICS_SAVE, is_on)),
            self.tcp_congestion_control.as_deref().map(congestion_control),
        ];
        all.into_iter().flatten().collect()
    }

    /// The settings of a network whose sysctls `read` reads. One that does not exist is `None`.
    pub(crate) fn told_by(read: impl Fn(&str) -> io::Result<String>) -> Result<Self, Error> {
        Ok(Self {
            local_ports: told(LOCAL_PORTS, &read, two_ports)?,
            tcp_tw_reuse: told(TW_REUSE, &read, |text| text.parse().ok())?,
            tcp_tw_reuse_delay: told(TW_REUSE_DELAY, &read, |text| {
                text.parse().ok().map(Duration::from_millis)
            })?,
            tcp_max_tw_buckets: told(MAX_TW_BUCKETS, &read, |text| text.parse().ok())?,
            tcp_fin_timeout: told(FIN_TIMEOUT, &read, |text| {
                text.parse().ok().map(Duration::from_secs)
            })?,
            somaxconn: told(SOMAXCONN, &read, |text| text.parse().ok())?,
            tcp_retries2: told(RETRIES2, &read, |text| text.parse().ok())?,
            tcp_keepalive_probes: told(KEEPALIVE_PROBES, &read, |text| text.parse().ok())?,
            tcp_slow_start_after_idle: told(SLOW_START_AFTER_IDLE, &read, is_on)?,
            tcp_no_metrics_save: told(NO_METRICS_SAVE, &read, is_on)?,
            tcp_congestion_control: told(CONGESTION_CONTROL, &read, |name| Some(name.to_owned()))?,
        })
    }
}

fn local_ports((first, last): (u16, u16)) -> Result<Sysctl, Error> {
    let range = format!("{first} {last}");
    if first > last {
        return refuse(LOCAL_PORTS, &range, "its first port is greater than its last");
    }
    if first < FIRST_UNPRIVILEGED_PORT {
        return refuse(LOCAL_PORTS, &range, "ports below 1024 are not given to clients");
    }
    Ok(Sysctl { name: LOCAL_PORTS, value: range })
}

fn tw_reuse(choice: u8) -> Result<Sysctl, Error> {
    if choice > 2 {
        return refuse(TW_REUSE, &choice, "it is 0 (never), 1 (always) or 2 (on loopback)");
    }
    Ok(Sysctl { name: TW_REUSE, value: choice.to_string() })
}

fn tw_reuse_delay(delay: Duration) -> Result<Sysctl, Error> {
    let whole = Duration::from_millis(1)..=LONGEST_REUSE_DELAY;
    if !whole.contains(&delay) || !delay.subsec_nanos().is_multiple_of(1_000_000) {
        let why = "it is a whole number of milliseconds, from 1 ms to 60 s";
        return refuse(TW_REUSE_DELAY, &format!("{delay:?}"), why);
    }
    Ok(Sysctl { name: TW_REUSE_DELAY, value: delay.as_millis().to_string() })
}

fn max_tw_buckets(most: u32) -> Result<Sysctl, Error> {
    if i32::try_from(most).is_err() {
        return refuse(MAX_TW_BUCKETS, &most, "it is at most 2147483647");
    }
    Ok(Sysctl { name: MAX_TW_BUCKETS, value: most.to_string() })
}

fn fin_timeout(timeout: Duration) -> Result<Sysctl, Error> {
    if timeout > LONGEST_FIN_TIMEOUT || timeout.subsec_nanos() != 0 {
        let why = "it is a whole number of seconds, up to 2147483";
        return refuse(FIN_TIMEOUT, &format!("{timeout:?}"), why);
    }
    Ok(Sysctl { name: FIN_TIMEOUT, value: timeout.as_secs().to_string() })
}

fn keepalive_probes(probes: u8) -> Result<Sysctl, Error> {
    if !(1..=127).contains(&probes) {
        return refuse(KEEPALIVE_PROBES, &probes, "it is from 1 to 127");
    }
    plain(KEEPALIVE_PROBES, probes.to_string())
}

/// The names of algorithms are those of modules (`TCP_CA_NAME_MAX`).
fn congestion_control(name: &str) -> Result<Sysctl, Error> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !(1..16).contains(&name.len()) || !name.chars().all(is_word) {
        return refuse(
            CONGESTION_CONTROL,
            &name,
            "a name has up to 15 small letters, digits and _",
        );
    }
    plain(CONGESTION_CONTROL, name.to_owned())
}

fn switch(name: &'static str, is_on: bool) -> Result<Sysctl, Error> {
    plain(name, u8::from(is_on).to_string())
}

#[allow(clippy::unnecessary_wraps, reason = "it stands beside those that refuse")]
fn plain(name: &'static str, value: String) -> Result<Sysctl, Error> {
    Ok(Sysctl { name, value })
}

fn refuse(name: &'static str, value: &dyn ToString, why: &'static str) -> Result<Sysctl, Error> {
    Err(Error::Invalid { name, value: value.to_string(), why })
}

/// Returns what `read` reads under `name`, understood by `parse`.
fn told<T>(
    name: &'static str,
    read: impl Fn(&str) -> io::Result<String>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let text = match read(name) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::SettingUnreadable { name, source }),
    };
    let unlike = || io::Error::new(io::ErrorKind::InvalidData, format!("the kernel says {text:?}"));
    match parse(text.trim()) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::SettingUnreadable { name, source: unlike() }),
    }
}

/// Any number but zero switches on.
fn is_on(text: &str) -> Option<bool> {
    text.parse::<u64>().ok().map(|number| number > 0)
}

/// `32768` and `60999`, a tab between them.
fn two_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(char::is_whitespace)?;
    Some((first.parse().ok()?, last.trim_start().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(settings: &NetworkSettings) -> String {
        settings.checked().unwrap_err().to_string()
    }

    #[test]
    fn the_kernel_is_told_what_is_asked_for_in_its_own_units() {
        let asked = NetworkSettings {
            local_ports: Some((50_000, 50_019)),
            tcp_tw_reuse: Some(1),
            tcp_tw_reuse_delay: Some(Duration::from_millis(1500)),
            tcp_max_tw_buckets: Some(23),
            tcp_fin_timeout: Some(Duration::from_secs(7)),
            somaxconn: Some(3),
            tcp_retries2: Some(3),
            tcp_keepalive_probes: Some(2),
            tcp_slow_start_after_idle: Some(false),
            tcp_no_metrics_save: Some(true),
            tcp_congestion_control: Some("reno".to_owned()),
        };
        let told: Vec<_> =
            asked.checked().unwrap().into_iter().map(|told| (told.name, told.value)).collect();
        let expected = [
            ("net.ipv4.ip_local_port_range", "50000 50019"),
            ("net.ipv4.tcp_tw_reuse", "1"),
            ("net.ipv4.tcp_tw_reuse_delay", "1500"),
            ("net.ipv4.tcp_max_tw_buckets", "23"),
            ("net.ipv4.tcp_fin_timeout", "7"),
            ("net.core.somaxconn", "3"),
            ("net.ipv4.tcp_retries2", "3"),
            ("net.ipv4.tcp_keepalive_probes", "2"),
            ("net.ipv4.tcp_slow_start_after_idle", "0"),
            ("net.ipv4.tcp_no_metrics_save", "1"),
            ("net.ipv4.tcp_congestion_control", "reno"),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(!asked.is_default());
    }

    #[test]
    fn nothing_asked_is_nothing_told() {
        assert!(NetworkSettings::default().is_default());
        assert_eq!(NetworkSettings::default().checked().unwrap(), []);
    }

    #[test]
    fn one_port_is_a_range() {
        let one = NetworkSettings { local_ports: Some((1024, 1024)), ..NetworkSettings::default() };
        assert_eq!(one.checked().unwrap()[0].value, "1024 1024");
    }

    #[test]
    fn a_range_that_runs_backwards_is_refused() {
        let backwards =
            NetworkSettings { local_ports: Some((50_019, 50_000)), ..NetworkSettings::default() };
        assert_eq!(
            refusal(&backwards),
            "net.ipv4.ip_local_port_range cannot be 50019 50000: its first port is greater than \
             its last"
        );
    }

    #[test]
    fn values_that_the_kernel_does_not_take_are_refused_with_its_rule() {
        let default = NetworkSettings::default;
        let ms = Duration::from_millis;
        let cases = [
            (NetworkSettings { local_ports: Some((1023, 2000)), ..default() }, "below 1024"),
            (NetworkSettings { tcp_tw_reuse: Some(3), ..default() }, "0 (never)"),
            (
                NetworkSettings { tcp_congestion_control: Some("a b".to_owned()), ..default() },
                "small letters",
            ),
            (NetworkSettings { tcp_keepalive_probes: Some(0), ..default() }, "from 1 to 127"),
            (NetworkSettings { tcp_tw_reuse_delay: Some(ms(0)), ..default() }, "from 1 ms"),
            (NetworkSettings { tcp_tw_reuse_delay: Some(ms(60_001)), ..default() }, "to 60 s"),
            (
                NetworkSettings {
                    tcp_tw_reuse_delay: Some(Duration::from_micros(1500)),
                    ..default()
                },
                "1.5ms",
            ),
            (NetworkSettings { tcp_max_tw_buckets: Some(1 << 31), ..default() }, "2147483647"),
            (
                NetworkSettings { tcp_fin_timeout: Some(ms(500)), ..default() },
                "whole number of seconds",
            ),
            (
                NetworkSettings { tcp_fin_timeout: Some(Duration::MAX), ..default() },
                "up to 2147483",
            ),
        ];
        for (settings, rule) in cases {
            let refusal = refusal(&settings);
            assert!(refusal.contains(rule), "{refusal:?} should say {rule:?}");
        }
    }

    #[test]
    fn a_setting_that_the_kernel_lacks_is_read_back_as_none() {
        let old_kernel = |name: &str| match name {
            "net.ipv4.ip_local_port_range" => Ok("32768\t60999\n".to_owned()),
            "net.ipv4.tcp_tw_reuse_delay" => Err(io::ErrorKind::NotFound.into()),
            _ => Ok("2\n".to_owned()),
        };
        let expected = NetworkSettings {
            local_ports: Some((32768, 60999)),
            tcp_tw_reuse: Some(2),
            tcp_tw_reuse_delay: None,
            tcp_max_tw_buckets: Some(2),
            tcp_fin_timeout: Some(Duration::from_secs(2)),
            somaxconn: Some(2),
            tcp_retries2: Some(2),
            tcp_keepalive_probes: Some(2),
            tcp_slow_start_after_idle: Some(true),
            tcp_no_metrics_save: Some(true),
            tcp_congestion_control: Some("2".to_owned()),
        };
        assert_eq!(NetworkSettings::told_by(old_kernel).unwrap(), expected);
    }

    #[test]
    fn a_setting_of_an_unknown_shape_is_unreadable_and_not_a_default() {
        let error = NetworkSettings::told_by(|_| Ok("many\n".to_owned())).unwrap_err();
        let Error::SettingUnreadable { name, source } = error else { panic!("{error}") };
        assert_eq!(name, LOCAL_PORTS);
        assert_eq!(source.to_string(), "the kernel says \"many\\n\"");
    }

    #[test]
    fn settings_travel_to_another_process_unchanged() {
        let asked = NetworkSettings {
            local_ports: Some((50_000, 50_019)),
            tcp_tw_reuse_delay: Some(Duration::from_millis(23)),
            ..NetworkSettings::default()
        };
        let json = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<NetworkSettings>(&json).unwrap(), asked);
    }
}
