//! A connection as a ladder: the client's states left, the server's right, its packets between.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use anstyle::Style;
use evidence::{
    Certainty, LifeChange, LifeEvent, LifeMoment, Outcome, Side, TcpState, Untold, WireLife,
    WirePlace, WireRecord,
};

use super::kinds::{TalkKind, kinds};
use super::lane::{LadderLane, remarks};
use super::list::{cut, moment, style};
use super::numbers::{OriginBook, SequenceOrigins};
use super::talks::{WireTalk, talks};
use super::{PacketOptions, begins, place, table, unheard};
use crate::page::Page;
use crate::page::heading;
use crate::words::{self, FAINT};

/// The first moments that are shown of a long connection, and the last.
const FIRST: usize = 60;
const LAST: usize = 20;
/// The width of a state with its sign.
const STATE: usize = 12;
/// A silence that is longer gets a line.
const SILENCE: Duration = Duration::from_millis(5);

/// Writes one ladder for each kind of connection.
pub(super) fn text(
    outcome: &Outcome,
    record: &WireRecord,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    let talks = talks(outcome, record);
    let (shown, others) = kinds(&talks, options);
    if shown.is_empty() {
        heading("Ladder", &place(record), out)?;
        return unheard(options, out);
    }
    for kind in &shown {
        ladder(outcome, record, kind, options, out)?;
    }
    if others > 0 {
        let said = format!("… and {} of other kinds", words::count(others, "connection"));
        writeln!(out, "  {FAINT}{said}{FAINT:#}")?;
    }
    Ok(())
}

/// A line of a ladder.
#[derive(Clone, Debug, Default)]
struct Rung {
    at: String,
    left: Option<(TcpState, Certainty)>,
    lane: String,
    style: Style,
    right: Option<(TcpState, Certainty)>,
}

fn ladder(
    outcome: &Outcome,
    record: &WireRecord,
    kind: &TalkKind<'_>,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    let TalkKind { talk, alike } = *kind;
    let life = WireLife::of(&talk.conversation, record);
    let ends = talk.conversation.ends;
    let mut meaning = format!("{} to {}, {}", ends.client, ends.server, place(record));
    if alike > 0 {
        meaning.push_str(&format!("; {alike} more look alike"));
    }
    heading(&format!("Ladder of {}", talk.name()), &meaning, out)?;
    let origins = SequenceOrigins::of_each(&talk.conversation, options.absolute);
    let last = life.events.last().map_or(Duration::ZERO, |event| event.at);
    let time = moment(last).chars().count().max(8);
    let around = 2 + time + 1 + STATE + 3 + 2 + STATE;
    let lane = LadderLane {
        width: out.width().saturating_sub(around).max(14),
        slants: matches!(record.place, WirePlace::Cable { .. }),
    };
    let rungs = rungs(&life, record, talk, &origins, lane);
    let wide = lane.width + 2;
    let head = format!("  {:>time$} {:>STATE$} {:wide$} SERVER", "SECONDS", "CLIENT", "");
    writeln!(out, "{FAINT}{head}{FAINT:#}")?;
    rungs.iter().try_for_each(|rung| rung.write(time, lane, out))?;
    notes(&life, record, out)?;
    table::text(outcome, record, talk, &life, out)?;
    writeln!(out)
}

/// The sign behind a state: how sure it is.
pub(super) fn sign(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Shown => "",
        Certainty::Presumed => "~",
        Certainty::Unseen => "?",
    }
}

impl Rung {
    fn write(&self, time: usize, lane: LadderLane, out: &mut impl Page) -> io::Result<()> {
        let Self { at, left, lane: arrow, style, right } = self;
        write!(out, "  {FAINT}{at:>time$}{FAINT:#} ")?;
        match left {
            None => write!(out, "{:STATE$}", "")?,
            Some((state, certainty)) => {
                let text = format!("{state}{}", sign(*certainty));
                let style = words::state_style(*state);
                write!(out, "{style}{text:>STATE$}{style:#}")?;
            }
        }
        let padding = lane.width.saturating_sub(arrow.chars().count());
        write!(out, " │{style}{arrow}{style:#}{:padding$}│", "")?;
        if let Some((state, certainty)) = right {
            let style = words::state_style(*state);
            write!(out, " {style}{state}{}{style:#}", sign(*certainty))?;
        }
        writeln!(out)
    }

    fn with(mut self, change: &LifeChange) -> Self {
        let state = Some((change.to, change.certainty));
        match change.side {
            Side::Client => self.left = state,
            Side::Server => self.right = state,
        }
        self
    }
}

/// The lines of a ladder.
fn rungs(
    life: &WireLife<'_>,
    record: &WireRecord,
    talk: &WireTalk<'_>,
    origins: &OriginBook,
    lane: LadderLane,
) -> Vec<Rung> {
    let began = |side| life.first_state(side).map(|state| (state, Certainty::Shown));
    let mut all =
        vec![Rung { left: began(Side::Client), right: began(Side::Server), ..Rung::default() }];
    if all.iter().all(|rung| rung.left.is_none() && rung.right.is_none()) {
        all.clear();
    }
    let silence = match record.place {
        WirePlace::Loopback | WirePlace::Device => SILENCE,
        WirePlace::Cable { delay } => SILENCE.max(delay.saturating_mul(3)),
    };
    let count = life.events.len();
    let left_out = if count > FIRST + LAST { count - FIRST - LAST } else { 0 };
    let mut under_way = UnderWay::default();
    let mut before: Option<Duration> = None;
    for (n, event) in life.events.iter().enumerate() {
        under_way.take(event);
        if left_out > 0 && n >= FIRST && n < FIRST + left_out {
            if n == FIRST {
                let lane = format!("  … {left_out} moments of packets left out");
                all.push(Rung { lane, style: FAINT, ..Rung::default() });
            }
            before = None;
            under_way.leave(event);
            continue;
        }
        let gap = before.map_or(Duration::ZERO, |before| event.at.saturating_sub(before));
        if gap > silence {
            let (client, server) = under_way.before(event);
            let what = if client || server { "later" } else { "of silence" };
            let text = format!("  {} {what}", words::short(gap));
            let text = lane.with_under_way(&text, client, server);
            all.push(Rung { at: "⋮".into(), lane: text, style: FAINT, ..Rung::default() });
        }
        before = Some(event.at);
        all.extend(event_rungs(event, talk, origins, lane, &under_way));
        under_way.leave(event);
    }
    all
}

/// The lines of one moment.
fn event_rungs(
    event: &LifeEvent<'_>,
    talk: &WireTalk<'_>,
    origins: &OriginBook,
    lane: LadderLane,
    under_way: &UnderWay,
) -> Vec<Rung> {
    let (client, server) = under_way.others(event);
    let origins = origins.get(&event.passage.number).copied().unwrap_or_default();
    let (arrow, left) = lane.arrow(event.passage, event.moment, origins);
    let style = style(event.passage.segment.flags);
    let lane_text = lane.with_under_way(&arrow, client, server);
    let mut rung = Rung { at: moment(event.at), lane: lane_text, style, ..Rung::default() };
    let mut states = Vec::new();
    for change in &event.changes {
        let taken = match change.side {
            Side::Client => rung.left.is_some(),
            Side::Server => rung.right.is_some(),
        };
        if taken {
            states.push(change);
        } else {
            rung = rung.with(change);
        }
    }
    let mut rungs = vec![rung];
    let (client, server) = under_way.after(event);
    let below = |text: &str| Rung {
        lane: lane.with_under_way(text, client, server),
        style: FAINT,
        ..Rung::default()
    };
    rungs.extend(states.into_iter().map(|change| below("").with(change)));
    if event.moment == LifeMoment::Arrives {
        return rungs;
    }
    let says = begins(event.passage).is_some();
    let number = talk.exchange(event.passage).filter(|_| says);
    let mut remarks = remarks(event.passage);
    if let (Some(number), Some(begins)) = (number, remarks.first_mut()) {
        *begins = format!("{number} {begins}");
    }
    let (indent, room) = lane.below();
    if says && let Some(begins) = remarks.first_mut() {
        *begins = cut(begins, room);
    }
    for text in left.into_iter().chain(remarks) {
        let lines = words::fold(&text, room);
        rungs.extend(lines.iter().map(|line| below(&format!("{:indent$}{}", "", line.trim_end()))));
    }
    rungs
}

/// How many copies of packets are on their way from each end.
#[derive(Clone, Debug, Default)]
struct UnderWay {
    /// Copies of each packet that are to arrive.
    due: HashMap<u64, (Side, usize)>,
}

impl UnderWay {
    /// A packet leaves: so many copies of it will come.
    fn take(&mut self, event: &LifeEvent<'_>) {
        if event.moment == LifeMoment::Departs {
            let copies = match &event.passage.arrived {
                evidence::Observed::Known(arrived) => arrived.len(),
                evidence::Observed::NotObservable => 0,
            };
            if copies > 0 {
                self.due.insert(event.passage.number, (event.passage.from, copies));
            }
        }
    }

    /// A copy has come.
    fn leave(&mut self, event: &LifeEvent<'_>) {
        let number = event.passage.number;
        let due = self.due.get_mut(&number).filter(|_| event.moment == LifeMoment::Arrives);
        let Some((_, copies)) = due else { return };
        *copies = copies.saturating_sub(1);
        if *copies == 0 {
            self.due.remove(&number);
        }
    }

    /// Returns from which ends other packets than this are under way.
    fn others(&self, event: &LifeEvent<'_>) -> (bool, bool) {
        self.but(|number, copies| number != event.passage.number && copies > 0)
    }

    /// Returns from which ends packets were under way until `event`.
    fn before(&self, event: &LifeEvent<'_>) -> (bool, bool) {
        let leaves = event.moment != LifeMoment::Arrives;
        self.but(|number, copies| copies > 0 && !(leaves && number == event.passage.number))
    }

    /// Returns from which ends packets are under way once `event` is over.
    fn after(&self, event: &LifeEvent<'_>) -> (bool, bool) {
        let spent = usize::from(event.moment == LifeMoment::Arrives);
        self.but(|number, copies| copies > if number == event.passage.number { spent } else { 0 })
    }

    fn but(&self, counts: impl Fn(u64, usize) -> bool) -> (bool, bool) {
        let from = |side| {
            self.due
                .iter()
                .any(|(number, (from, copies))| *from == side && counts(*number, *copies))
        };
        (from(Side::Client), from(Side::Server))
    }
}

/// Writes what packets do not tell of a connection.
pub(super) fn notes(
    life: &WireLife<'_>,
    record: &WireRecord,
    out: &mut impl Page,
) -> io::Result<()> {
    let mut sentences = Vec::new();
    let has = |certainty| {
        life.events.iter().flat_map(|event| &event.changes).any(|it| it.certainty == certainty)
    };
    if has(Certainty::Presumed) {
        sentences
            .push("~ presumed: what leads there was sent, and nobody saw it arrive".to_owned());
    }
    if has(Certainty::Unseen) {
        sentences.push("? no packet tells when".to_owned());
    }
    if life.has_forged_reset() {
        let said = "where the resets of the cable led to, no packet tells";
        sentences.push(said.to_owned());
    }
    let mut closed = false;
    for (side, what) in &life.untold {
        let end = format!("the {}'s end", side.name());
        let missed = record.missed > 0;
        sentences.extend(match what {
            Untold::Beginning if missed => Some(format!("the state of {end} was not heard")),
            Untold::Beginning => Some(format!("no packet tells the state of {end}")),
            Untold::TimeWaitEnd => {
                Some(format!("a timer ends TIME_WAIT of {end}, without a packet"))
            }
            Untold::FinWait2End => {
                Some(format!("no packet tells how long {end} waits in FIN_WAIT_2"))
            }
            Untold::WhoClosed => {
                closed = true;
                None
            }
            Untold::HandshakeAgain => Some(format!(
                "{end} answered the handshake again: its last ACK was lost, or the queue of the \
                 listener was full"
            )),
        });
    }
    if closed {
        let said = "a FIN does not tell who closed, the program or the kernel after its end";
        sentences.push(said.to_owned());
    }
    for line in words::wrap(&sentences.join("; "), out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}
