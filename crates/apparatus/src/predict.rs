//! How many connections a run will open, told before it runs. Pure.
//!
//! The model knows what each transport does with a body, and what a cap on idle connections does
//! to workers that are all busy at once. Where the outcome hangs on the scheduler the prediction
//! is a range, and where the model does not reach there is none.

use std::time::Duration;

use evidence::{BodyPolicy, Prediction, Preset, Setup};

/// From this server delay on, all workers are busy before the first is done.
const SURE_OVERLAP: Duration = Duration::from_millis(10);

/// hyper reads this much by itself: a response that fits, head included, never needs a reader.
const HYPER_FIRST_READ: u64 = 8192;

/// Go reads this much along with the head: what fits is there before anybody drains it.
const GO_FIRST_READ: u64 = 4096;

/// An upper bound for the head of a response of ours.
const HEAD_AT_MOST: u64 = 256;

/// A dropped body of up to this size survives hyper's one further read; measured between 24,000
/// and 28,000 bytes.
const HYPER_DROP_SURVIVES: u64 = 16 * 1024;
const HYPER_DROP_FAILS: u64 = 32 * 1024;

/// The effect of each exchange on its connection.
enum PerExchange {
    /// The connection can be used again.
    Reused(&'static str),
    /// The connection is lost to other exchanges.
    Lost(&'static str),
    /// It depends on timing.
    Either(&'static str),
}

/// The number of connections that `setup` will open, as far as the model reaches.
#[must_use]
pub fn opened(setup: &Setup) -> Option<Prediction> {
    let all = setup.exchanges();
    if all == 0 {
        return None;
    }
    if setup.max_conns_per_host.is_some() || !outlives_the_pauses(setup) {
        return None;
    }
    if !setup.keep_alives {
        let because = "without keep-alives every request has its own connection";
        return Some(exact(all, String::new(), because));
    }
    if setup.per_host == 0 {
        let because = "one for each request: the pool keeps nothing";
        return Some(exact(all, String::new(), because));
    }
    match per_exchange(setup)? {
        PerExchange::Lost(because) => {
            let because = format!("one for each request: {because}");
            let formula = match setup.workers {
                1 => String::new(),
                workers => format!("{workers} x {}", setup.requests),
            };
            Some(exact(all, formula, &because))
        }
        PerExchange::Either(because) => {
            let least = if all_start_together(setup) { setup.workers } else { 1 };
            Some(Prediction { least, most: all, formula: String::new(), because: because.into() })
        }
        PerExchange::Reused(because) => {
            let mut prediction = pooled(setup, because);
            if !setup.server.in_process {
                prediction.because.push_str(", if the server keeps its connections open");
            }
            Some(prediction)
        }
    }
}

/// Returns true if no connection reaches its idle timeout, or comes near it, between two exchanges.
fn outlives_the_pauses(setup: &Setup) -> bool {
    let longest_pause = setup.interval.saturating_add(Duration::from_millis(500));
    setup.idle_timeout.is_none_or(|limit| limit > longest_pause)
}

fn exact(opened: usize, formula: String, because: &str) -> Prediction {
    Prediction { least: opened, most: opened, formula, because: because.into() }
}

/// Returns true if the first exchange of every worker begins before any of them ends.
fn all_start_together(setup: &Setup) -> bool {
    setup.server.delay >= SURE_OVERLAP && setup.workers <= 100
}

/// Returns true if a connection that comes back in a task of its own is there before the next
/// request: the pause is long enough for what all workers have to do in it, on a busy machine too.
fn comes_back_in_time(setup: &Setup) -> bool {
    let workers = u32::try_from(setup.workers).unwrap_or(u32::MAX);
    setup.interval >= SURE_OVERLAP.saturating_mul(workers.saturating_add(1))
}

/// Workers that all hold a connection at once, of which the pool keeps only some.
///
/// Only the first round is certain: all have asked before the first is answered. In a later one a
/// worker that the system holds up, for no longer than the server's delay, finds a connection that
/// another has just put back. On a busy machine that happens in a run of ten rounds.
fn pooled(setup: &Setup, because: &str) -> Prediction {
    let (workers, requests) = (setup.workers, setup.requests);
    let kept = setup.per_host.min(setup.max_idle.unwrap_or(usize::MAX)).min(workers);
    let most = workers + (requests - 1) * (workers - kept);
    if workers == 1 {
        return match kept {
            0 => exact(requests, String::new(), "one for each request: the pool keeps nothing"),
            _ => exact(1, String::new(), because),
        };
    }
    let formula = format!("{workers} + {} x ({workers} - {kept})", requests - 1);
    if all_start_together(setup) {
        let rounds = match kept {
            _ if requests == 1 => "all workers hold a connection at once".to_owned(),
            kept if kept == workers => "the pool keeps a connection for every worker".to_owned(),
            _ if setup.interval.is_zero() && setup.preset != Preset::HyperUtil => {
                let because =
                    "without a pause each worker takes up the connection it has just put back";
                return exact(workers, String::new(), because);
            }
            kept => format!(
                "each round finds {kept} idle and dials {} more, if all are busy at once; fewer when one is held up",
                workers - kept
            ),
        };
        let because = format!("workers + (requests - 1) x (workers - kept idle): {rounds}");
        if requests == 1 || kept == workers {
            return exact(most, formula, &because);
        }
        return Prediction { least: workers, most, formula, because };
    }
    let because = "workers + (requests - 1) x (workers - kept idle) if they are all busy at once in every round; fewer when they are not";
    Prediction { least: 1, most, formula, because: because.into() }
}

fn per_exchange(setup: &Setup) -> Option<PerExchange> {
    use PerExchange::{Either, Lost, Reused};
    let late = setup.server.pause_before_body > Duration::ZERO;
    let bytes = setup.server.bytes;
    let empty = bytes == Some(0);
    Some(match (setup.preset, setup.body) {
        (Preset::HyperUtil, BodyPolicy::Drain)
            if bytes.is_none_or(|b| b > HYPER_FIRST_READ / 2) =>
        {
            if !comes_back_in_time(setup) {
                Either("hyper-util puts a connection back in a task of its own, maybe too late")
            } else {
                Reused("a drained connection goes back to the pool")
            }
        }
        (_, BodyPolicy::Drain) => Reused("a drained connection goes back to the pool"),
        (_, _) if empty => Reused("a response without a body is over with its head"),
        (Preset::Go | Preset::Go127, BodyPolicy::Hold) => {
            Lost("a body that is kept unread keeps its connection busy")
        }
        (Preset::Go, BodyPolicy::Drop) => {
            Lost("up to Go 1.26 a body closed unread costs its connection")
        }
        (Preset::Go127, BodyPolicy::Drop) => match bytes? {
            bytes if bytes > 256 * 1024 => Lost("Go 1.27 drains no more than 256 KiB"),
            _ if setup.server.pause_before_body >= Duration::from_millis(100) => {
                Lost("Go 1.27 drains for no longer than 50 ms")
            }
            _ if late || !comes_back_in_time(setup) => {
                Either("the drain in the background may not be done in time")
            }
            bytes if bytes + HEAD_AT_MOST > GO_FIRST_READ => Either(
                "Go 1.27 drains up to 256 KiB by itself, if it is done within 50 ms and before the next request",
            ),
            _ => Reused("Go 1.27 drains up to 256 KiB by itself"),
        },
        (Preset::HyperUtil, policy) => {
            let bytes = bytes?;
            let fits_first_read = bytes + HEAD_AT_MOST <= HYPER_FIRST_READ;
            match policy {
                BodyPolicy::Drop if late => Lost("what comes late finds nobody reading"),
                BodyPolicy::Hold if late && setup.interval <= setup.server.pause_before_body => {
                    Either("the body may come too late for the next request")
                }
                _ if fits_first_read && (comes_back_in_time(setup) || !late) => {
                    Reused("hyper reads a body by itself that comes with its head")
                }
                BodyPolicy::Hold if bytes > HYPER_FIRST_READ => {
                    Lost("hyper reads ahead 8 KiB at most, the rest waits for the reader")
                }
                BodyPolicy::Drop if bytes > HYPER_DROP_FAILS => {
                    Lost("hyper drains no more than one further read")
                }
                BodyPolicy::Drop if bytes > HYPER_DROP_SURVIVES => {
                    Either("one further read may or may not reach the end")
                }
                _ => Either("hyper may or may not reach the end by itself"),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::ServerSetup;
    use proptest::prelude::*;

    fn setup(preset: Preset, body: BodyPolicy, bytes: u64) -> Setup {
        Setup {
            program: evidence::Program::Sequential,
            preset,
            body,
            workers: 1,
            requests: 10,
            interval: Duration::from_secs(1),
            per_host: 2,
            max_idle: None,
            max_conns_per_host: None,
            idle_timeout: Some(Duration::from_secs(90)),
            keep_alives: true,
            server: ServerSetup {
                in_process: true,
                url: String::new(),
                bytes: Some(bytes),
                delay: Duration::ZERO,
                pause_before_body: Duration::ZERO,
            },
            flags: Vec::new(),
        }
    }

    fn workers(workers: usize, requests: usize, per_host: usize) -> Setup {
        let mut setup = setup(Preset::Go, BodyPolicy::Drain, 11);
        (setup.workers, setup.requests, setup.per_host) = (workers, requests, per_host);
        setup.server.delay = Duration::from_millis(20);
        setup
    }

    fn range(setup: &Setup) -> Option<(usize, usize)> {
        opened(setup).map(|predicted| (predicted.least, predicted.most))
    }

    #[test]
    fn what_a_body_costs_depends_on_whose_rules_hold() {
        use BodyPolicy::{Drain, Drop, Hold};
        use Preset::{Go, Go127, HyperUtil};
        for (preset, body, bytes, expected) in [
            (Go, Drain, 11, (1, 1)),
            (Go, Drop, 11, (10, 10)),
            (Go, Hold, 11, (10, 10)),
            (Go, Drop, 0, (1, 1)),
            (Go127, Drop, 3 * 1024, (1, 1)),
            (Go127, Drop, 4 * 1024, (1, 10)),
            (Go127, Drop, 256 * 1024, (1, 10)),
            (Go127, Drop, 256 * 1024 + 1, (10, 10)),
            (Go127, Hold, 11, (10, 10)),
            (HyperUtil, Drop, 11, (1, 1)),
            (HyperUtil, Hold, 11, (1, 1)),
            (HyperUtil, Drop, 24_000, (1, 10)),
            (HyperUtil, Drop, 1 << 20, (10, 10)),
            (HyperUtil, Hold, 64 * 1024, (10, 10)),
        ] {
            let name = preset.name();
            assert_eq!(
                range(&setup(preset, body, bytes)),
                Some(expected),
                "{name} {body:?} {bytes}"
            );
        }
    }

    #[test]
    fn surplus_connections_are_dialled_anew_in_every_round() {
        for (per_host, most) in [(0, 100), (1, 91), (2, 82), (5, 55), (10, 10), (11, 10)] {
            let (_, predicted) = range(&workers(10, 10, per_host)).unwrap();
            assert_eq!(predicted, most, "{per_host}");
        }
    }

    #[test]
    fn what_the_scheduler_decides_is_a_range() {
        let mut quick = workers(10, 10, 2);
        quick.server.delay = Duration::ZERO;
        assert_eq!(range(&quick), Some((1, 82)));
        // With a slow server the first round is certain, and the later ones are not.
        assert_eq!(range(&workers(10, 10, 2)), Some((10, 82)));
        assert_eq!(range(&workers(10, 1, 2)), Some((10, 10)));
        assert_eq!(range(&workers(10, 10, 0)), Some((100, 100)));
        // A pool that is large enough does not care.
        assert_eq!(range(&workers(10, 60, 10)), Some((10, 10)));
    }

    #[test]
    fn a_drain_in_the_background_is_sure_to_be_done_only_in_a_pause_that_grows_with_the_workers() {
        let drops = |many, pause| {
            let mut setup = workers(many, 5, many);
            (setup.preset, setup.body) = (Preset::Go127, BodyPolicy::Drop);
            setup.interval = Duration::from_millis(pause);
            range(&setup)
        };
        assert_eq!(drops(1, 10), Some((1, 5)));
        assert_eq!(drops(1, 20), Some((1, 1)));
        assert_eq!(drops(30, 100), Some((30, 150)));
        assert_eq!(drops(30, 1000), Some((30, 30)));
    }

    #[test]
    fn where_the_model_does_not_reach_there_is_no_number() {
        let mut capped = workers(10, 10, 2);
        capped.max_conns_per_host = Some(4);
        assert_eq!(opened(&capped), None);
        let mut short = workers(10, 10, 2);
        short.idle_timeout = Some(Duration::from_millis(100));
        assert_eq!(opened(&short), None);
    }

    proptest! {
        #[test]
        fn a_prediction_lies_between_one_connection_and_one_for_each_request(
            (many, requests, per_host) in (1_usize..200, 1_usize..200, 0_usize..50),
            (preset, body) in (prop::sample::select(&Preset::ALL[..]), prop::sample::select(&BodyPolicy::ALL[..])),
            (bytes, delay, pause, interval) in (0_u64..300_000, 0_u64..50, 0_u64..120, 0_u64..200),
        ) {
            let mut setup = workers(many, requests, per_host);
            (setup.preset, setup.body) = (preset, body);
            setup.interval = Duration::from_millis(interval);
            setup.server.bytes = Some(bytes);
            setup.server.delay = Duration::from_millis(delay);
            setup.server.pause_before_body = Duration::from_millis(pause);
            if let Some((least, most)) = range(&setup) {
                prop_assert!(1 <= least && least <= most && most <= setup.exchanges());
            }
        }
    }
}
