//! The budget of ports for programs.

use std::io::{self, Write};

use evidence::ports::{Burner, Destination, Forecast, PortSettings};
use serde_json::json;

use super::SCHEMA;

/// Writes one JSON object in one line. `forecast` is `steady`, `exhausted` or `exhausted_in`, and
/// `null` after a single look.
///
/// # Errors
/// Those of `out`.
pub fn ports(
    settings: &PortSettings,
    destinations: &[Destination],
    out: &mut impl Write,
) -> io::Result<()> {
    let range = |range: &std::ops::RangeInclusive<u16>| json!([range.start(), range.end()]);
    let destination = |there: &Destination| {
        let (forecast, left) = match there.forecast(settings) {
            None => (None, None),
            Some(Forecast::Steady) => (Some("steady"), None),
            Some(Forecast::Exhausted) => (Some("exhausted"), Some(0)),
            Some(Forecast::In(left)) => (Some("exhausted_in"), Some(left.as_millis())),
        };
        let burner = |burner: &Burner| json!({ "process": burner.process, "ports": burner.ports });
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
        "ip_local_port_range": range(&settings.range),
        "ip_local_reserved_ports": settings.reserved.iter().map(range).collect::<Vec<_>>(),
        "tcp_tw_reuse": settings.tw_reuse,
        "tcp_tw_reuse_delay_ms": settings.tw_reuse_delay.as_millis(),
        "tcp_max_tw_buckets": settings.max_tw_buckets,
        "destinations": destinations.iter().map(destination).collect::<Vec<_>>(),
    });
    writeln!(out, "{object}")
}
