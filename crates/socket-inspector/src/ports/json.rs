//! The budget of ports for programs.

use std::io::{self, Write};

use super::budget::{PortBurner, PortDestination, PortForecast, PortSettings, UnseenPorts};
use super::taken::TakenPorts;
use report::json::SCHEMA;
use serde_json::json;

/// Writes one JSON object in one line. `forecast` is `steady`, `exhausted` or `exhausted_in`, and
/// `null` after a single look. `side_unknown_sockets` are not counted; `likely_client_sockets` are,
/// by the address that most of them share; `owner_unseen_sockets` are, but a burner whose `process`
/// is `null` may be one of theirs. `bound_ports` are in the range and are not picked, so that they
/// are not among the `usable_ports`; `free_for_bind_ports` are in use by nobody, towards whomever.
///
/// `opened_per_s` and `burnt_per_s` are what was seen: the least there was. So `steady` is not
/// certain, and ports may run out earlier than `exhausted_in_ms` says.
///
/// # Errors
/// Those of `out`.
pub(crate) fn ports(
    settings: &PortSettings,
    destinations: &[PortDestination],
    taken: &TakenPorts,
    unseen: UnseenPorts,
    out: &mut impl Write,
) -> io::Result<()> {
    let range = |range: &std::ops::RangeInclusive<u16>| json!([range.start(), range.end()]);
    let destination = |there: &PortDestination| {
        let (forecast, left) = match there.forecast(settings) {
            None => (None, None),
            Some(PortForecast::Steady) => (Some("steady"), None),
            Some(PortForecast::Exhausted) => (Some("exhausted"), Some(0)),
            Some(PortForecast::In(left)) => (Some("exhausted_in"), Some(left.as_millis())),
        };
        let burner =
            |burner: &PortBurner| json!({ "process": burner.process, "ports": burner.ports });
        json!({
            "destination": there.address.to_string(),
            "from": there.from.to_string(),
            "in_use_ports": there.in_use(),
            "time_wait_ports": there.time_wait.len(),
            "first_ends_ms": there.time_wait.first().map(std::time::Duration::as_millis),
            "last_ends_ms": there.time_wait.last().map(std::time::Duration::as_millis),
            "burners": there.burners.iter().map(burner).collect::<Vec<_>>(),
            "opened_per_s": there.rate.map(|rate| rate.opened),
            "burnt_per_s": there.rate.map(|rate| rate.burnt),
            "forecast": forecast,
            "exhausted_in_ms": left,
        })
    };
    let object = json!({
        "schema": SCHEMA,
        "usable_ports": settings.usable(),
        "bound_ports": taken.bound.len(),
        "free_for_bind_ports":
            settings.usable().saturating_sub(taken.used.difference(&taken.bound).count()),
        "ip_local_port_range": range(&settings.range),
        "ip_local_reserved_ports": settings.reserved.iter().map(range).collect::<Vec<_>>(),
        "tcp_tw_reuse": settings.tw_reuse,
        "tcp_tw_reuse_delay_ms": settings.tw_reuse_delay.as_millis(),
        "tcp_max_tw_buckets": settings.max_tw_buckets,
        "destinations": destinations.iter().map(destination).collect::<Vec<_>>(),
        "side_unknown_sockets": unseen.sides,
        "likely_client_sockets": unseen.likely,
        "owner_unseen_sockets": unseen.owners,
    });
    writeln!(out, "{object}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_not_seen_is_counted_beside_what_was() {
        let settings = PortSettings {
            range: 32768..=60999,
            reserved: vec![],
            bound: std::collections::BTreeSet::new(),
            tw_reuse: Some(2),
            tw_reuse_delay: Duration::from_secs(1),
            max_tw_buckets: None,
        };
        let there = PortDestination {
            address: "10.0.0.7:443".parse().unwrap(),
            from: "10.0.0.1".parse().unwrap(),
            live: 12,
            time_wait: vec![Duration::from_millis(300)],
            burners: vec![PortBurner { process: None, ports: 1 }],
            rate: None,
        };
        let mut out = Vec::new();
        let taken = TakenPorts::default();
        let unseen = UnseenPorts { sides: 3, likely: 0, owners: 2 };
        ports(&settings, &[there], &taken, unseen, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1);
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        insta::assert_snapshot!(format!("{object:#}"), @r#"
        {
          "bound_ports": 0,
          "destinations": [
            {
              "burners": [
                {
                  "ports": 1,
                  "process": null
                }
              ],
              "burnt_per_s": null,
              "destination": "10.0.0.7:443",
              "exhausted_in_ms": null,
              "first_ends_ms": 300,
              "forecast": null,
              "from": "10.0.0.1",
              "in_use_ports": 13,
              "last_ends_ms": 300,
              "opened_per_s": null,
              "time_wait_ports": 1
            }
          ],
          "free_for_bind_ports": 28232,
          "ip_local_port_range": [
            32768,
            60999
          ],
          "ip_local_reserved_ports": [],
          "likely_client_sockets": 0,
          "owner_unseen_sockets": 2,
          "schema": 1,
          "side_unknown_sockets": 3,
          "tcp_max_tw_buckets": null,
          "tcp_tw_reuse": 2,
          "tcp_tw_reuse_delay_ms": 1000,
          "usable_ports": 28232
        }
        "#);
    }
}
