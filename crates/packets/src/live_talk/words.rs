//! The same for people.

use evidence::{Side, WireClose};

use super::LiveTalk;

impl LiveTalk {
    /// Returns who ended it first: `FIN of the client first`.
    #[must_use]
    pub fn first_words(&self) -> String {
        match self.close() {
            None => "neither FIN nor RST was heard".to_owned(),
            Some(WireClose::First(side)) => format!("FIN of the {} first", side.name()),
            Some(WireClose::Both) => "FINs of both, which crossed".to_owned(),
            Some(WireClose::Reset(side)) => format!("RST of the {} first", side.name()),
        }
    }

    /// Returns what came after that: `then FIN of the server`; `None` if there is nothing to say.
    #[must_use]
    pub fn then_words(&self) -> Option<String> {
        let close = self.close()?;
        let is_told = |side, is_reset: bool| match close {
            WireClose::First(first) => !is_reset && first == side,
            WireClose::Both => !is_reset,
            WireClose::Reset(first) => is_reset && first == side,
        };
        let mut then = Vec::new();
        for side in [Side::Client, Side::Server] {
            let end = self.end(side);
            let ended = [(end.has_fin(), false, "FIN"), (end.reset, true, "RST")];
            for (is_there, is_reset, name) in ended {
                if is_there && !is_told(side, is_reset) {
                    then.push(format!("{name} of the {}", side.name()));
                }
            }
        }
        let silent = [Side::Client, Side::Server].into_iter().find(|side| {
            let end = self.end(*side);
            close == WireClose::First(side.opposite()) && !end.has_fin() && !end.reset
        });
        match (then.is_empty(), silent) {
            (false, _) => Some(format!("then {}", then.join(" and "))),
            (true, Some(side)) => Some(format!("no FIN of the {} by now", side.name())),
            (true, None) => None,
        }
    }

    /// Returns what was sent again: `sent again: 2 by the client`; `None` if nothing was.
    #[must_use]
    pub fn again_words(&self) -> Option<String> {
        let sides = [Side::Client, Side::Server].into_iter();
        let told: Vec<String> = sides
            .filter(|side| self.end(*side).again > 0)
            .map(|side| format!("{} by the {}", self.end(side).again, side.name()))
            .collect();
        (!told.is_empty()).then(|| format!("sent again: {}", told.join(", ")))
    }
}
