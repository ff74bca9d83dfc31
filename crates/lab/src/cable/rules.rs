//! What becomes of a packet. Pure, but for the chance that was asked for; the same seed has the same.

use std::collections::HashMap;
use std::net::SocketAddr;

use evidence::{PassageFate, Segment, SegmentFlags, Side};
use fastrand::Rng;

use crate::settings::{CableDeed, CableRule, Count, LimitSetting, Time};

/// Where chance begins, if nobody says.
const SEED: u64 = 1;

/// The rules of one cable, and how far they have been used up.
#[derive(Debug)]
pub(crate) struct CableRules {
    rules: Vec<(CableRule, RuleUse)>,
    /// Of a hundred packets so many get lost by chance.
    loss: f64,
    chance: Rng,
    /// The hosts whose packets do not arrive, whatever the rules say.
    pub(crate) cut: Vec<Side>,
    connections: HashMap<(SocketAddr, SocketAddr), ConnectionSoFar>,
    /// How many connections there were so far.
    begun: usize,
    /// The connections up to this number are cut, whoever sends.
    forgotten: usize,
}

/// How often a rule has been met.
#[derive(Clone, Copy, Debug, Default)]
struct RuleUse {
    matching: usize,
    done: usize,
}

/// A connection, as far as it has been heard.
#[derive(Clone, Copy, Debug, Default)]
struct ConnectionSoFar {
    number: usize,
    by_client: SegmentFlags,
    by_server: SegmentFlags,
}

impl ConnectionSoFar {
    fn sent_by(&mut self, side: Side) -> &mut SegmentFlags {
        match side {
            Side::Client => &mut self.by_client,
            Side::Server => &mut self.by_server,
        }
    }
}

impl CableRules {
    pub(crate) fn new(rules: Vec<CableRule>, loss: f64, seed: Option<u64>) -> Self {
        Self {
            rules: rules.into_iter().map(|rule| (rule, RuleUse::default())).collect(),
            loss,
            chance: Rng::with_seed(seed.unwrap_or(SEED)),
            cut: Vec::new(),
            connections: HashMap::new(),
            begun: 0,
            forgotten: 0,
        }
    }

    /// Cuts every connection that has begun.
    pub(crate) fn forget(&mut self) {
        self.forgotten = self.begun;
    }

    /// Lets everything through again that was cut.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.forgotten = 0;
    }

    /// Decides what becomes of the next segment that the host of `from` sends. The first rule that
    /// is for it counts; a packet that no rule is for may get lost by chance.
    pub(crate) fn decide(&mut self, from: Side, segment: &Segment) -> PassageFate {
        let key = match from {
            Side::Client => (segment.source, segment.destination),
            Side::Server => (segment.destination, segment.source),
        };
        let is_first = segment.has(SegmentFlags::SYN) && !segment.has(SegmentFlags::ACK);
        let known = self.connections.entry(key).or_default();
        // A SYN that is sent again begins nothing.
        let is_new = known.by_server != SegmentFlags::default() || known.number == 0;
        if is_first && from == Side::Client && is_new {
            self.begun += 1;
            *known = ConnectionSoFar { number: self.begun, ..ConnectionSoFar::default() };
        }
        let so_far = *known;
        let sent = known.sent_by(from);
        *sent = sent.with(segment.flags);
        if self.cut.contains(&from) || so_far.number <= self.forgotten && so_far.number > 0 {
            return PassageFate::Cut;
        }
        let ruled = self.rules.iter_mut().filter_map(|(rule, used)| {
            (matches(rule, from, segment, so_far) && used.applies(rule)).then_some(rule.deed)
        });
        // Each rule counts what it is for, also if another one decides.
        let ruled: Vec<CableDeed> = ruled.collect();
        // Every packet takes its chance, so that a rule does not change that of the others.
        let is_unlucky = self.loss > 0.0 && self.chance.f64() * 100.0 < self.loss;
        match ruled.first() {
            Some(CableDeed::Lose) => PassageFate::Lost,
            Some(CableDeed::Hold(Time(time))) => PassageFate::Held { time: *time },
            Some(CableDeed::Duplicate(Time(time))) => PassageFate::Doubled { time: *time },
            Some(CableDeed::Reset) => PassageFate::Reset,
            None if is_unlucky => PassageFate::LostByChance,
            None => PassageFate::Passed,
        }
    }
}

impl RuleUse {
    /// Counts a packet that the rule describes. Returns true if it is for this one.
    fn applies(&mut self, rule: &CableRule) -> bool {
        let count = |count: Option<Count>| count.map_or(1, |Count(count)| count);
        let most = match rule.times {
            None => 1,
            Some(LimitSetting(None)) => usize::MAX,
            Some(LimitSetting(most)) => count(most),
        };
        self.matching += 1;
        let applies = self.matching >= count(rule.nth) && self.done < most;
        self.done += usize::from(applies);
        applies
    }
}

fn matches(rule: &CableRule, from: Side, segment: &Segment, so_far: ConnectionSoFar) -> bool {
    let mut so_far = so_far;
    let other = from.opposite();
    rule.from.is_none_or(|host| Side::from(host) == from)
        && rule.flags.is_none_or(|flags| segment.has(flags))
        && rule.data.is_none_or(|data| data == (segment.payload_bytes > 0))
        && rule.after.is_none_or(|flags| so_far.sent_by(other).contains(flags))
        && rule.connection.is_none_or(|Count(number)| number == so_far.number)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::settings::Network;

    fn rules(toml: &str) -> CableRules {
        let network: Network = toml::from_str(toml).unwrap();
        let loss = network.loss.map_or(0.0, |loss| loss.0);
        CableRules::new(network.cable.unwrap_or_default(), loss, network.seed)
    }

    fn segment(from: Side, port: u16, flags: &str, payload_bytes: u32) -> Segment {
        let client = SocketAddr::from(([10, 0, 0, 1], port));
        let server = SocketAddr::from(([10, 0, 0, 2], 8080));
        let (source, destination) = match from {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        Segment {
            at: Duration::ZERO,
            source,
            destination,
            seq: 0,
            ack: 0,
            flags: flags.to_owned().try_into().unwrap(),
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload_bytes,
            tcp_header_bytes: 20,
            ip_header_bytes: 20,
        }
    }

    fn fates(rules: &mut CableRules, packets: &[(Side, u16, &str, u32)]) -> Vec<PassageFate> {
        let decide = |&(from, port, flags, payload): &(Side, u16, &str, u32)| {
            rules.decide(from, &segment(from, port, flags, payload))
        };
        packets.iter().map(decide).collect()
    }

    use PassageFate::{Cut, Doubled, Lost, Passed};
    use Side::{Client, Server};

    #[test]
    fn the_ack_after_the_servers_fin_is_lost_once_on_each_connection_that_is_named() {
        let mut rules = rules(
            r#"cable = [{ from = "client", after = "F", data = false, connection = 2, do = "lose" }]"#,
        );
        let close = |port| {
            [
                (Client, port, "S", 0),
                (Server, port, "S.", 0),
                (Client, port, ".", 0),
                (Client, port, "F.", 0),
                (Server, port, "F.", 0),
                (Client, port, ".", 0),
                (Server, port, "F.", 0),
                (Client, port, ".", 0),
            ]
        };
        assert!(fates(&mut rules, &close(1)).iter().all(|fate| *fate == Passed));
        let second = fates(&mut rules, &close(2));
        assert_eq!(second[5], Lost);
        assert_eq!(second.iter().filter(|fate| **fate == Lost).count(), 1);
    }

    #[test]
    fn a_syn_that_is_sent_again_is_the_same_connection() {
        let mut rules = rules(r#"cable = [{ connection = 2, times = "none", do = "lose" }]"#);
        let syns =
            [(Client, 1, "S", 0), (Client, 1, "S", 0), (Client, 2, "S", 0), (Client, 2, "S", 0)];
        assert_eq!(fates(&mut rules, &syns), [Passed, Passed, Lost, Lost]);
    }

    #[test]
    fn the_nth_and_so_many_after_it_and_the_first_rule_decides() {
        let mut rules = rules(
            r#"cable = [
                { data = true, nth = 2, times = 2, do = { duplicate = "2s" } },
                { data = true, nth = 3, times = "none", do = "lose" },
            ]"#,
        );
        let doubled = Doubled { time: Duration::from_secs(2) };
        let data = [(Server, 1, "P.", 5); 5];
        assert_eq!(fates(&mut rules, &data), [Passed, doubled.clone(), doubled, Lost, Lost]);
    }

    #[test]
    fn a_cut_in_one_direction_lets_the_other_through() {
        let mut rules = rules("");
        rules.cut = vec![Server];
        assert_eq!(fates(&mut rules, &[(Client, 1, "S", 0), (Server, 1, "S.", 0)]), [Passed, Cut]);
    }

    #[test]
    fn what_is_forgotten_is_cut_both_ways_and_a_connection_that_begins_later_is_not() {
        let mut rules = rules("");
        let old = [(Client, 1, "P.", 9), (Server, 1, "P.", 9)];
        assert_eq!(
            fates(&mut rules, &[(Client, 1, "S", 0), (Server, 1, "S.", 0)]),
            [Passed, Passed]
        );
        rules.forget();
        assert_eq!(fates(&mut rules, &old), [Cut, Cut]);
        assert_eq!(
            fates(&mut rules, &[(Client, 2, "S", 0), (Server, 2, "S.", 0)]),
            [Passed, Passed]
        );
        assert_eq!(fates(&mut rules, &old), [Cut, Cut]);
        rules.heal();
        assert_eq!(fates(&mut rules, &old), [Passed, Passed]);
    }

    proptest! {
        #[test]
        fn the_same_seed_loses_the_same_packets_and_about_as_many_as_were_asked_for(seed: u64) {
            let network = format!("loss = \"20%\"\nseed = {}", seed >> 1);
            let packets = [(Client, 1, ".", 0); 2000];
            let first = fates(&mut rules(&network), &packets);
            prop_assert_eq!(&first, &fates(&mut rules(&network), &packets));
            let lost = first.iter().filter(|fate| **fate == PassageFate::LostByChance).count();
            prop_assert!((250..550).contains(&lost), "{} of 2000", lost);
        }
    }
}
