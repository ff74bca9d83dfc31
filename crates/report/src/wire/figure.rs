//! The state diagram of RFC 9293 (figure 5), drawn in letters.

use anstyle::Style;
use evidence::TcpState::{
    self, CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen,
    SynReceived, SynSent, TimeWait,
};

use crate::words::{self, FAINT};

/// Row and column.
type Place = (usize, usize);

/// A line between two states.
struct FigureEdge {
    from: TcpState,
    to: TcpState,
    /// Its corners; the last is its head.
    path: &'static [Place],
    /// Where the sign of those stands that took it.
    sign: Place,
}

/// The rows and columns that are needed.
const ROWS: usize = 25;
pub(super) const COLUMNS: usize = 63;

/// Every state, and the middle of its name. A connection that is over is drawn twice, as in the RFC.
const STATES: [(TcpState, Place); 12] = [
    (Closed, (0, 32)),
    (Listen, (4, 8)),
    (SynSent, (4, 56)),
    (SynReceived, (8, 8)),
    (Established, (12, 32)),
    (FinWait1, (16, 8)),
    (CloseWait, (16, 56)),
    (FinWait2, (20, 8)),
    (Closing, (20, 32)),
    (LastAck, (20, 56)),
    (TimeWait, (24, 32)),
    (Closed, (24, 56)),
];

const fn edge(from: TcpState, to: TcpState, path: &'static [Place], sign: Place) -> FigureEdge {
    FigureEdge { from, to, path, sign }
}

/// The edges that figure 5 has.
const EDGES: [FigureEdge; 20] = [
    edge(Closed, Listen, &[(0, 27), (0, 6), (3, 6)], (0, 14)),
    edge(Closed, SynSent, &[(0, 38), (0, 58), (3, 58)], (0, 46)),
    edge(Listen, SynReceived, &[(5, 6), (7, 6)], (6, 7)),
    edge(Listen, SynSent, &[(4, 14), (4, 50)], (4, 30)),
    edge(Listen, Closed, &[(3, 10), (2, 10), (2, 30), (1, 30)], (2, 18)),
    edge(SynSent, SynReceived, &[(5, 54), (8, 54), (8, 15)], (8, 30)),
    edge(SynSent, Established, &[(5, 58), (12, 58), (12, 40)], (12, 46)),
    edge(SynSent, Closed, &[(3, 54), (2, 54), (2, 34), (1, 34)], (2, 42)),
    edge(SynReceived, Established, &[(9, 10), (12, 10), (12, 24)], (12, 14)),
    edge(SynReceived, FinWait1, &[(9, 6), (15, 6)], (13, 7)),
    edge(SynReceived, Listen, &[(7, 10), (5, 10)], (6, 11)),
    edge(Established, FinWait1, &[(13, 30), (14, 30), (14, 10), (15, 10)], (14, 18)),
    edge(Established, CloseWait, &[(13, 34), (14, 34), (14, 56), (15, 56)], (14, 42)),
    edge(FinWait1, FinWait2, &[(17, 8), (19, 8)], (18, 9)),
    edge(FinWait1, Closing, &[(16, 16), (16, 32), (19, 32)], (16, 20)),
    edge(FinWait2, TimeWait, &[(21, 8), (24, 8), (24, 25)], (24, 14)),
    edge(Closing, TimeWait, &[(21, 32), (23, 32)], (22, 33)),
    edge(CloseWait, LastAck, &[(17, 56), (19, 56)], (18, 57)),
    edge(LastAck, Closed, &[(21, 56), (23, 56)], (22, 57)),
    edge(TimeWait, Closed, &[(24, 39), (24, 51)], (24, 43)),
];

/// Returns true if figure 5 has this edge.
pub(super) fn has_edge(from: TcpState, to: TcpState) -> bool {
    EDGES.iter().any(|edge| (edge.from, edge.to) == (from, to))
}

/// An edge that was taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FigureMark {
    pub(super) from: TcpState,
    pub(super) to: TcpState,
    /// Who took it, and as which of its changes: `C1`.
    pub(super) sign: String,
    pub(super) style: Style,
}

/// A letter in its style.
pub(super) type Ink = (char, Style);

/// Draws the figure with these edges taken: their signs stand on them, and a state that was met is in
/// brackets.
pub(super) fn figure(marks: &[FigureMark], met: &[TcpState], ends: ClosedMet) -> Vec<Vec<Ink>> {
    let mut grid = vec![vec![(' ', Style::new()); COLUMNS]; ROWS];
    let taken = |edge: &FigureEdge| {
        let is_it = |mark: &&FigureMark| (mark.from, mark.to) == (edge.from, edge.to);
        marks.iter().filter(is_it).collect::<Vec<_>>()
    };
    for edge in EDGES.iter().filter(|edge| taken(edge).is_empty()) {
        line(&mut grid, edge.path, FAINT);
    }
    for edge in &EDGES {
        let taken = taken(edge);
        let Some(first) = taken.first() else { continue };
        line(&mut grid, edge.path, first.style);
        let mut column = edge.sign.1;
        for mark in taken {
            column = write(&mut grid, (edge.sign.0, column), &mark.sign, mark.style);
        }
    }
    for (state, (row, middle)) in STATES {
        let is_met = match (state, row) {
            (Closed, 0) => ends.before,
            (Closed, _) => ends.after,
            _ => met.contains(&state),
        };
        let (text, style) = match is_met {
            true => (format!("[{state}]"), words::state_style(state)),
            false => (format!(" {state} "), FAINT),
        };
        let from = (middle + 1).saturating_sub(text.chars().count().div_ceil(2));
        write(&mut grid, (row, from), &text, style);
    }
    grid
}

/// Whether an end was seen in `CLOSED` before the connection, and after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClosedMet {
    pub(super) before: bool,
    pub(super) after: bool,
}

/// Writes `text`, and returns the column behind it.
fn write(grid: &mut [Vec<Ink>], (row, from): Place, text: &str, style: Style) -> usize {
    let mut column = from;
    for letter in text.chars() {
        put(grid, (row, column), letter, style);
        column += 1;
    }
    column
}

fn put(grid: &mut [Vec<Ink>], (row, column): Place, letter: char, style: Style) {
    if let Some(ink) = grid.get_mut(row).and_then(|row| row.get_mut(column)) {
        *ink = (letter, style);
    }
}

/// Draws a line from corner to corner, and its head.
fn line(grid: &mut [Vec<Ink>], path: &[Place], style: Style) {
    let steps: Vec<(Place, Place)> =
        path.windows(2).filter_map(|two| Some((*two.first()?, *two.last()?))).collect();
    for &((row, column), (to_row, to_column)) in &steps {
        let (left, right) = (column.min(to_column), column.max(to_column));
        let (top, bottom) = (row.min(to_row), row.max(to_row));
        if top == bottom {
            (left..=right).for_each(|column| put(grid, (row, column), '─', style));
        } else {
            (top..=bottom).for_each(|row| put(grid, (row, column), '│', style));
        }
    }
    for two in steps.windows(2) {
        let [(before, corner), (_, after)] = two else { continue };
        put(grid, *corner, turn(*before, *corner, *after), style);
    }
    if let Some(&(before, head)) = steps.last() {
        let letter = match (before.0.cmp(&head.0), before.1 < head.1) {
            (std::cmp::Ordering::Less, _) => 'v',
            (std::cmp::Ordering::Greater, _) => '^',
            (_, true) => '>',
            (_, false) => '<',
        };
        put(grid, head, letter, style);
    }
}

/// The letter of a corner, which is reached from one place and left for another.
fn turn(before: Place, corner: Place, after: Place) -> char {
    let up = before.0 < corner.0 || after.0 < corner.0;
    let left = before.1 < corner.1 || after.1 < corner.1;
    match (up, left) {
        (true, true) => '┘',
        (true, false) => '└',
        (false, true) => '┐',
        (false, false) => '┌',
    }
}

#[cfg(test)]
mod tests {
    use evidence::STATE_EDGES;

    use super::*;

    #[test]
    fn the_figure_has_the_edges_of_the_rfc_and_no_others() {
        for edge in STATE_EDGES {
            assert_eq!(has_edge(edge.from, edge.to), edge.drawn, "{} {}", edge.from, edge.to);
        }
        assert_eq!(EDGES.len(), STATE_EDGES.iter().filter(|edge| edge.drawn).count());
        for state in TcpState::ALL {
            assert!(STATES.iter().any(|(drawn, _)| *drawn == state), "{state}");
        }
    }
}
