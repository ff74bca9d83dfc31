//! The kernel's table as a witness: this run's sockets at the moments that matter.

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evidence::{Ends, Reading, ServerAddr, Side, Socket, SocketTable, TcpState, Unreadable};
use socket_table::SocketFilter;
use tokio::time::{Instant, MissedTickBehavior};

use crate::far::ServersHost;
use crate::recorder::ClientWitness;
use crate::{lock, with_causes};

/// The time between two readings that have to agree.
const BETWEEN_READINGS: Duration = Duration::from_millis(25);

/// How long a table may keep moving before it is shown as it is. Loopback settles within
/// milliseconds; a peer that never closes its end never does.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait for further connections before the busiest moment is looked at.
const BREATH: Duration = Duration::from_millis(4);

/// Which sockets are this run's: those of its connections, and no others. An earlier run's
/// `TIME_WAIT` on the same port, or somebody else's connection to the same server, is not.
struct OwnSockets {
    ends: HashSet<Ends>,
    filter: SocketFilter,
    servers: ServersHost,
}

impl OwnSockets {
    fn of(client: &ClientWitness, host: &ServersHost) -> Self {
        let ends: HashSet<Ends> = client.all_ends().into_iter().collect();
        let servers: HashSet<ServerAddr> = ends.iter().map(|ends| ends.server).collect();
        let filter = servers.into_iter().fold(SocketFilter::default(), |filter, server| {
            filter.port(server.port()).server(server.port())
        });
        Self { ends, filter, servers: host.clone() }
    }

    /// Reads the table or, on two hosts, both.
    fn read(&self) -> Result<SocketTable, Unreadable> {
        if self.ends.is_empty() {
            return Ok(SocketTable::default());
        }
        let mut table = socket_table::snapshot(&self.filter).map_err(|error| unreadable(&error))?;
        if !self.servers.is_here() {
            let filter = self.filter.clone();
            let far = self.servers.run(move || socket_table::snapshot(&filter));
            let far = far.map_err(|error| unreadable(&error))?;
            table.sockets.extend(far.map_err(|error| unreadable(&error))?.sockets);
        }
        table.sockets.retain(|socket| socket.ends().is_some_and(|ends| self.ends.contains(&ends)));
        Ok(table)
    }
}

fn unreadable(error: &dyn std::error::Error) -> Unreadable {
    Unreadable(with_causes(error))
}

/// Reads the table until it has settled: the client has carried out every close it decided on,
/// no end is in a passing state, the trace's open connections are just the kernel's, but for held
/// ones that are gone without the client's having noticed, and two readings in a row agree. Gives
/// up after [`PATIENCE`] and says so.
pub(crate) async fn settled(client: &ClientWitness, host: &ServersHost) -> Reading {
    let deadline = Instant::now() + PATIENCE;
    let mut before: Option<Vec<WatchedSocket>> = None;
    let mut time = tokio::time::interval(BETWEEN_READINGS);
    time.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        time.tick().await;
        let table = match OwnSockets::of(client, host).read() {
            Ok(table) => table,
            Err(unreadable) => return Reading { table: Err(unreadable), settled: false },
        };
        let rows = rows(&table);
        let at_rest =
            client.is_quiet() && !is_moving(&table) && client.open_are(&not_closed(&table));
        if at_rest && before.as_ref() == Some(&rows) {
            return Reading { table: Ok(table), settled: true };
        }
        if Instant::now() >= deadline {
            return Reading { table: Ok(table), settled: false };
        }
        before = Some(rows);
    }
}

/// The connections whose client has not closed its end.
fn not_closed(table: &SocketTable) -> HashSet<Ends> {
    let is_open = |state| matches!(state, TcpState::Established | TcpState::CloseWait);
    table
        .sockets
        .iter()
        .filter(|socket| socket.side == Some(Side::Client) && is_open(socket.state))
        .filter_map(Socket::ends)
        .collect()
}

/// Returns true if an end is on its way through a passing state. An end in `FIN_WAIT_2` is not, as
/// long as the other's process has not closed its own, which is in `CLOSE_WAIT` for as long.
fn is_moving(table: &SocketTable) -> bool {
    let is_in = |state| move |socket: &&Socket| socket.state == state;
    let kept_open = table.sockets.iter().filter(is_in(TcpState::CloseWait));
    let kept_open: HashSet<Ends> = kept_open.filter_map(Socket::ends).collect();
    let waits = |socket: &Socket| {
        socket.state == TcpState::FinWait2
            && socket.ends().is_some_and(|ends| kept_open.contains(&ends))
    };
    table.sockets.iter().any(|socket| socket.state.is_passing() && !waits(socket))
}

/// Returns true if the kernel has as many `TIME_WAIT` sockets as `net.ipv4.tcp_max_tw_buckets` lets
/// it keep: those that came later are not in its table. `false` where it does not tell.
pub(crate) fn time_wait_is_full(host: &ServersHost) -> bool {
    host.both(|| Some(time_wait_is_full_here())).contains(&Some(true))
}

fn time_wait_is_full_here() -> bool {
    let most = fs::read_to_string("/proc/sys/net/ipv4/tcp_max_tw_buckets").ok();
    let most = most.and_then(|most| most.trim().parse::<u64>().ok());
    let now = fs::read_to_string("/proc/thread-self/net/sockstat").ok();
    matches!((now.as_deref().and_then(time_wait_in), most), (Some(now), Some(most)) if now >= most)
}

/// How many resets this network, or both hosts, have sent so far, whoever let them (`TcpOutRsts`).
/// `None` where the kernel does not tell.
pub(crate) fn resets_sent(host: &ServersHost) -> Option<u64> {
    let here =
        || count_in(&fs::read_to_string("/proc/thread-self/net/snmp").ok()?, "Tcp", "OutRsts");
    host.both(here).into_iter().sum()
}

/// How often an accept queue of the servers' network was full so far, and the kernel dropped a SYN
/// or the last ACK of a handshake for it (`TcpExtListenOverflows`). `None` where the kernel does not
/// tell.
pub(crate) fn listen_overflows(host: &ServersHost) -> Option<u64> {
    let look = || {
        let counters = fs::read_to_string("/proc/thread-self/net/netstat").ok()?;
        count_in(&counters, "TcpExt", "ListenOverflows")
    };
    host.run(look).ok().flatten()
}

/// The number below a name: of each protocol there are two lines, one of names and one of values.
fn count_in(counters: &str, protocol: &str, name: &str) -> Option<u64> {
    let of_protocol = |line| str::strip_prefix(line, protocol)?.strip_prefix(": ");
    let mut lines = counters.lines().filter_map(of_protocol);
    let names = lines.next()?.split_whitespace();
    let mut both = names.zip(lines.next()?.split_whitespace());
    both.find(|(known, _)| *known == name)?.1.parse().ok()
}

/// The number after `tw` in the line `TCP: inuse 5 orphan 0 tw 4 alloc 6 mem 1`.
fn time_wait_in(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_whitespace().skip_while(|word| *word != "tw").nth(1)?.parse().ok()
}

type WatchedSocket = (Option<Ends>, Option<Side>, TcpState);

/// Returns what has to agree between two readings: not the queues, nor the timers.
fn rows(table: &SocketTable) -> Vec<WatchedSocket> {
    let mut rows: Vec<WatchedSocket> =
        table.sockets.iter().map(|socket| (socket.ends(), socket.side, socket.state)).collect();
    rows.sort_unstable();
    rows
}

/// Keeps the reading with the most open connections.
#[derive(Default)]
pub(crate) struct Busiest(Mutex<Option<SocketTable>>);

impl Busiest {
    /// Reads the table each time more connections are open than ever before. Never ends.
    pub(crate) async fn watch(self: Arc<Self>, client: Arc<ClientWitness>, host: ServersHost) {
        let mut breath = BREATH;
        loop {
            client.busier.notified().await;
            tokio::time::sleep(breath).await;
            let started = Instant::now();
            if let Ok(table) = OwnSockets::of(&client, &host).read() {
                let mut busiest = lock(&self.0);
                if busiest.as_ref().is_none_or(|busiest| open(&table) > open(busiest)) {
                    *busiest = Some(table);
                }
            }
            // A large table takes long to read; a witness must not become the main event.
            breath = BREATH.max(started.elapsed() * 10);
        }
    }

    /// The reading with the most open connections, this one among them.
    pub(crate) fn or(&self, last: &Reading) -> Option<SocketTable> {
        let busiest = lock(&self.0).take();
        let last = last.table.as_ref().ok();
        let tables = [busiest.as_ref(), last].into_iter().flatten();
        tables.filter(|table| open(table) > 0).max_by_key(|table| open(table)).cloned()
    }
}

fn open(table: &SocketTable) -> usize {
    table.count(Side::Client, TcpState::Established)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_its_time_wait_sockets() {
        let sockstat = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 4 alloc 6 mem 1\nUDP: inuse 0\n";
        assert_eq!(time_wait_in(sockstat), Some(4));
        assert_eq!(time_wait_in("TCP: inuse 5"), None);
        assert_eq!(time_wait_in(""), None);
    }

    #[test]
    fn a_counter_of_the_kernel_is_the_number_below_its_name() {
        let snmp = "Ip: OutRsts\nIp: 1\nTcp: InErrs OutRsts InCsumErrors\nTcp: 0 38 2\nUdp: A\n";
        let resets = |snmp| count_in(snmp, "Tcp", "OutRsts");
        assert_eq!(resets(snmp), Some(38));
        assert_eq!(resets("Tcp: OutRsts\n"), None);
        assert_eq!(resets("Tcp: Other\nTcp: 1\n"), None);
        assert_eq!(resets("TcpExt: OutRsts\nTcpExt: 1\n"), None);
        let netstat = "TcpExt: TW ListenOverflows\nTcpExt: 7 286\n";
        assert_eq!(count_in(netstat, "TcpExt", "ListenOverflows"), Some(286));
    }

    #[test]
    fn a_connection_that_one_end_has_closed_and_the_other_keeps_is_at_rest() {
        let [client, server] =
            [("127.0.0.1:50000", "127.0.0.1:80"), ("127.0.0.1:80", "127.0.0.1:50000")];
        let end = |(local, peer): (&str, &str), side, state| Socket {
            local: local.parse().unwrap(),
            peer: peer.parse().unwrap(),
            state,
            side: Some(side),
            recv_queue: evidence::Observed::NotObservable,
            send_queue: evidence::Observed::NotObservable,
            timer: evidence::Observed::NotObservable,
            cookie: evidence::Observed::NotObservable,
            owners: evidence::Observed::NotObservable,
        };
        let table = |state| SocketTable {
            sockets: vec![
                end(client, Side::Client, state),
                end(server, Side::Server, TcpState::FinWait2),
            ],
        };
        assert!(!is_moving(&table(TcpState::CloseWait)));
        for state in [TcpState::Established, TcpState::LastAck, TcpState::TimeWait] {
            assert!(is_moving(&table(state)), "{}", state.name());
        }
    }
}
