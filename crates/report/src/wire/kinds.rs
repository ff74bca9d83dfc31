//! Connections whose packets look alike, of which one is shown.

use evidence::{Passage, Side};

use super::PacketOptions;
use super::talks::WireTalk;

/// So many kinds are shown.
const KINDS: usize = 3;

/// A connection that stands for others.
pub(super) struct TalkKind<'a> {
    pub(super) talk: &'a WireTalk<'a>,
    /// How many others look like it.
    pub(super) alike: usize,
}

/// Returns the first connection of each kind, as many as are shown, and how many connections there
/// are of other kinds.
pub(super) fn kinds<'a>(
    talks: &'a [WireTalk<'a>],
    options: PacketOptions,
) -> (Vec<TalkKind<'a>>, usize) {
    let mut kinds: Vec<(Vec<_>, TalkKind<'a>)> = Vec::new();
    let mut others = 0;
    let asked =
        |talk: &&WireTalk<'_>| options.connection.is_none() || talk.id == options.connection;
    for talk in talks.iter().filter(asked) {
        let look: Vec<_> = talk.conversation.passages.iter().map(|it| look(it)).collect();
        let has_room = kinds.len() < KINDS;
        match kinds.iter_mut().find(|(known, _)| *known == look) {
            Some((_, kind)) => kind.alike += 1,
            None if has_room => kinds.push((look, TalkKind { talk, alike: 0 })),
            None => others += 1,
        }
    }
    (kinds.into_iter().map(|(_, kind)| kind).collect(), others)
}

/// What makes two packets look alike.
fn look(passage: &Passage) -> (Side, u16, bool, std::mem::Discriminant<evidence::PassageFate>) {
    let Passage { from, segment, fate, .. } = passage;
    (*from, segment.flags.bits(), segment.payload_bytes > 0, std::mem::discriminant(fate))
}
