//! The lives of connections over some looks: which were used again, and who closed first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use evidence::{Inspected, Owner, ServerAddr, Side, Socket, TcpState};
use socket_table::{AddressPair, SocketChange};

use super::standing::ConnectionStanding;

/// Two ticks of the slowest clock that Linux is built with: a shorter silence is none.
const TICKS: Duration = Duration::from_millis(20);
/// A close after a shorter silence came with the answer, not of idleness.
pub(super) const IDLE: Duration = Duration::from_millis(100);
/// So often the client has to speak after an answer to be certainly past every handshake of TLS.
const TURNS: u32 = 4;

/// The pool of a connection: who holds it, if that was seen, and to which server it goes.
pub(super) type PoolKey = (Option<Owner>, ServerAddr);

/// What the lives of a pool's connections were, those that are gone included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolLives {
    /// Connections that were seen to go on after an answer: they carried another exchange.
    pub(crate) used_again: usize,
    /// Connections opened while looking that are still open and were not used again.
    pub(crate) kept: usize,
    /// Connections opened while another lay idle, and stayed so.
    pub(crate) passed_over: usize,
    /// Connections that were closed while looking, first by the client.
    pub(crate) by_client: usize,
    /// First by the server, with its answer or right after it.
    pub(crate) by_server: usize,
    /// First by the server, when they had been idle.
    pub(crate) by_server_idle: usize,
    /// First by the server, and the looks were too far apart to tell which of the two.
    pub(crate) by_server_unclear: usize,
    /// Gone without `TIME_WAIT` at the client's end: the server closed first, or there was a reset.
    pub(crate) gone: usize,
    /// The shortest time that one of [`PoolLives::by_server_idle`] was silent.
    pub(crate) server_silence: Option<Duration>,
}

impl PoolLives {
    /// Returns true if any was seen to be closed.
    pub(crate) fn tells_closes(&self) -> bool {
        self.by_client + self.by_servers() + self.gone > 0
    }

    /// All that were closed first by the server.
    pub(crate) fn by_servers(&self) -> usize {
        self.by_server + self.by_server_idle + self.by_server_unclear
    }

    fn add(&mut self, life: &LifeRecord) {
        self.used_again += usize::from(life.used_again);
        self.passed_over += usize::from(life.passed_over);
        let open = life.closed.is_none() && life.gone.is_none();
        self.kept += usize::from(life.came && open && !life.used_again);
        match life.closed {
            _ if life.was_closed => {}
            Some(Side::Client) => self.by_client += 1,
            Some(Side::Server) => match life.silence_at_close {
                (least, _) if least >= IDLE => {
                    self.by_server_idle += 1;
                    let known = self.server_silence.map_or(least, |known| known.min(least));
                    self.server_silence = Some(known);
                }
                (_, most) if most < IDLE => self.by_server += 1,
                _ => self.by_server_unclear += 1,
            },
            None => self.gone += usize::from(life.gone.is_some()),
        }
    }
}

/// What the looks have shown of one connection.
#[derive(Clone, Debug)]
struct LifeRecord {
    holder: Option<Owner>,
    /// True if it came while looking.
    came: bool,
    /// The bytes that had gone either way at the latest look.
    bytes: Option<(u64, u64)>,
    /// How often the client went on after an answer.
    turns: u32,
    used_again: bool,
    passed_over: bool,
    /// True if it is known already which others lay idle when it came.
    compared: bool,
    /// The latest look that saw it open.
    open_at: u64,
    /// How long it was idle at the latest look that saw it so, and for how many looks by now.
    idle: Option<Duration>,
    idle_looks: u32,
    /// The end that closed first.
    closed: Option<Side>,
    /// How long it had been silent when it was closed, at the least and at the most.
    silence_at_close: (Duration, Duration),
    /// True if it was closed before anybody looked.
    was_closed: bool,
    /// The look that did not list it any more.
    gone: Option<u64>,
}

impl LifeRecord {
    fn new(came: bool) -> Self {
        Self {
            holder: None,
            came,
            bytes: None,
            turns: 0,
            used_again: false,
            passed_over: false,
            compared: false,
            open_at: 0,
            idle: None,
            idle_looks: 0,
            closed: None,
            silence_at_close: (Duration::ZERO, Duration::ZERO),
            was_closed: false,
            gone: None,
        }
    }

    /// Takes note of who closed first, if that is told: after the look before, which was so long
    /// `ago`. `silent` is how long nothing has gone over it, if its end still tells.
    fn close(&mut self, first: Option<Side>, ago: Duration, silent: Option<Duration>) {
        if self.closed.is_none() && first.is_some() {
            let least = self.idle.take().unwrap_or_default();
            let most = silent.unwrap_or_else(|| least.saturating_add(ago));
            (self.closed, self.silence_at_close) = (first, (least, most));
            self.idle_looks = 0;
        }
    }

    /// Takes note of an open connection as a look shows it.
    fn note(&mut self, row: &Inspected) {
        let sent = row.sent_once().known().or(row.info.bytes_sent.known());
        let bytes = sent.zip(row.info.bytes_received.known());
        if let (Some(before), Some(now)) = (self.bytes, bytes)
            && now.0 > before.0
            && before.1 > 0
        {
            self.turns = self.turns.saturating_add(1);
            self.used_again |= self.turns >= TURNS || self.idle.is_some_and(|idle| idle >= TICKS);
        }
        self.bytes = bytes.or(self.bytes);
        let standing = ConnectionStanding::of(row, None, Duration::MAX);
        let idle = row.info.silent_for().filter(|_| standing == ConnectionStanding::Idle);
        self.idle_looks = if idle.is_some() { self.idle_looks.saturating_add(1) } else { 0 };
        self.idle = idle;
    }
}

/// Returns which end closed first, if the client's end in this state tells.
fn closed_first(state: TcpState) -> Option<Side> {
    match state {
        TcpState::CloseWait | TcpState::LastAck => Some(Side::Server),
        TcpState::FinWait1 | TcpState::FinWait2 | TcpState::TimeWait => Some(Side::Client),
        _ => None,
    }
}

/// The lives of all connections that the looks have shown.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionLives {
    looks: u64,
    /// The time from the look before to the latest.
    ago: Duration,
    lives: HashMap<AddressPair, LifeRecord>,
    /// Those that are over.
    past: BTreeMap<PoolKey, PoolLives>,
}

impl ConnectionLives {
    /// Takes in a look: what has changed at the clients' ends, these ends as they are now, and
    /// those of servers on this machine; `ago` is when the look before was. `holder` tells who holds
    /// an end.
    pub(super) fn look(
        &mut self,
        changes: &[SocketChange],
        clients: &[Inspected],
        servers: &[Inspected],
        ago: Duration,
        holder: impl Fn(&Socket) -> Option<Owner>,
    ) {
        self.looks += 1;
        self.ago = ago;
        for change in changes {
            self.change(change);
        }
        for row in clients {
            let place = AddressPair::of(&row.socket).canonical();
            let is_first = self.looks == 1;
            if row.socket.state == TcpState::TimeWait && !self.lives.contains_key(&place) {
                continue; // what was closed before anybody looked
            }
            let life = self.lives.entry(place).or_insert_with(|| LifeRecord::new(false));
            life.holder = holder(&row.socket).or(life.holder.take());
            life.close(closed_first(row.socket.state), ago, row.info.silent_for());
            life.was_closed |= is_first && life.closed.is_some();
            if matches!(row.socket.state, TcpState::SynSent | TcpState::Established) {
                life.open_at = self.looks;
                life.note(row);
            }
        }
        for row in servers {
            // The other end's state tells the same from the other side.
            let first = closed_first(row.socket.state).map(Side::opposite);
            let client = AddressPair::of(&row.socket).canonical().turned();
            // What is left of a connection before may be listed beside the one that is open now.
            if let Some(life) = self.lives.get_mut(&client)
                && life.open_at != self.looks
            {
                life.close(first, ago, None);
            }
        }
        self.compare();
        self.bury();
    }

    /// Takes note of a connection of which nothing was seen but what the server's end has left: the
    /// server closed first.
    pub(super) fn left_by_server(&mut self, server_end: &Socket) {
        let client = AddressPair::of(server_end).canonical().turned();
        let life = LifeRecord {
            closed: Some(Side::Server),
            gone: Some(self.looks),
            silence_at_close: (Duration::ZERO, self.ago),
            ..LifeRecord::new(true)
        };
        if let Some(before) = self.lives.insert(client, life) {
            self.tell(client, &before);
        }
    }

    /// Returns true if something is known of the connection of which this is the server's end.
    pub(super) fn knows(&self, server_end: &Socket) -> bool {
        let client = AddressPair::of(server_end).canonical().turned();
        self.lives.contains_key(&client)
    }

    /// Returns true if the connection of this client's end, which nobody had seen, was told by what
    /// the server's end left.
    pub(super) fn was_left_by_server(&self, client_end: &Socket) -> bool {
        let life = self.lives.get(&AddressPair::of(client_end).canonical());
        client_end.state == TcpState::LastAck
            && life.is_some_and(|life| life.gone.is_some() && life.closed == Some(Side::Server))
    }

    fn change(&mut self, change: &SocketChange) {
        let place = AddressPair::of(&change.socket).canonical();
        if change.to == TcpState::Closed {
            if let Some(life) = self.lives.get_mut(&place) {
                life.close(closed_first(change.from), self.ago, None);
                life.gone = Some(self.looks);
            }
            return;
        }
        if change.from != TcpState::Closed {
            return;
        }
        // What is on its way into TIME_WAIT may be missing from a look; and what the server's end
        // was seen to leave may still be there at the client's.
        let closing = matches!(change.to, TcpState::TimeWait | TcpState::LastAck);
        match self.lives.get_mut(&place) {
            Some(life) if closing && life.gone.is_some_and(|gone| gone + 2 >= self.looks) => {
                life.gone = None;
            }
            Some(_) | None => {
                if let Some(before) = self.lives.insert(place, LifeRecord::new(true)) {
                    self.tell(place, &before);
                }
            }
        }
    }

    /// Finds which connections were opened while another of the same pool lay idle, before and
    /// after.
    fn compare(&mut self) {
        let idle: BTreeSet<PoolKey> = self
            .lives
            .iter()
            .filter(|(_, life)| life.idle_looks > 1 && life.gone.is_none())
            .map(|(place, life)| (life.holder.clone(), ServerAddr::new(place.peer)))
            .collect();
        for (place, life) in &mut self.lives {
            if life.came && !life.compared && life.holder.is_some() {
                life.compared = true;
                life.passed_over =
                    idle.contains(&(life.holder.clone(), ServerAddr::new(place.peer)));
            }
        }
    }

    /// Puts away what has been gone for some looks: nobody tells more of it.
    fn bury(&mut self) {
        let looks = self.looks;
        let over = |life: &LifeRecord| life.gone.is_some_and(|gone| gone + 3 < looks);
        let gone: Vec<AddressPair> =
            self.lives.iter().filter(|(_, life)| over(life)).map(|(place, _)| *place).collect();
        for place in gone {
            if let Some(life) = self.lives.remove(&place) {
                self.tell(place, &life);
            }
        }
    }

    fn tell(&mut self, place: AddressPair, life: &LifeRecord) {
        let key = (life.holder.clone(), ServerAddr::new(place.peer));
        self.past.entry(key).or_default().add(life);
    }

    /// Returns the lives of each pool.
    pub(super) fn of_pools(&self) -> BTreeMap<PoolKey, PoolLives> {
        let mut pools = self.past.clone();
        for (place, life) in &self.lives {
            let key = (life.holder.clone(), ServerAddr::new(place.peer));
            pools.entry(key).or_default().add(life);
        }
        pools
    }
}
