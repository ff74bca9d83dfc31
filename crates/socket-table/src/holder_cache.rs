//! Who holds the sockets that are watched, without asking all processes at every look.
//!
//! To find a socket's holders takes a walk through the descriptors of every process, which costs
//! more than the table itself. What a walk has found is remembered, and walks are rationed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evidence::{Observed, Owner};

use crate::system::TableRow;
use crate::{Error, owners, system};

/// Of all time, walks take no more than one part in so many.
const SHARE: u32 = 50;
/// The same where what is shown depends on who holds it.
const LARGE_SHARE: u32 = 3;
/// A descriptor may be handed to another process: what is older than this is looked up again.
const AGE: Duration = Duration::from_secs(5);

/// The holders that walks have found.
#[derive(Debug)]
pub(crate) struct HolderCache {
    share: u32,
    known: HashMap<u32, Observed<Arc<[Owner]>>>,
    /// When the last walk ended, and what it took.
    walked: Option<(Instant, Duration)>,
}

impl HolderCache {
    /// Nothing is known yet. If it `matters` who holds a socket, walks may take more of the time.
    pub(crate) fn new(matters: bool) -> Self {
        let share = if matters { LARGE_SHARE } else { SHARE };
        Self { share, known: HashMap::new(), walked: None }
    }

    /// Returns who holds each of `rows`. A socket that is new since the last walk is not observable
    /// until the next.
    pub(crate) fn of(&mut self, rows: &[TableRow]) -> Result<Vec<Observed<Arc<[Owner]>>>, Error> {
        let is_known = |row: &TableRow| match row.handle() {
            Some(0) => true,
            Some(handle) => self.known.contains_key(&handle),
            None => false,
        };
        let tells_at_once = rows.first().is_some_and(|row| row.handle().is_none());
        let (aged, allowed) = self.walked.map_or((true, true), |(ended, took)| {
            let since = ended.elapsed();
            (since >= AGE, since >= took.saturating_mul(self.share.saturating_sub(1)))
        });
        if tells_at_once || (allowed && (aged || !rows.iter().all(is_known))) {
            return self.walk(rows);
        }
        let remembered = |row: &TableRow| match row.handle() {
            Some(0) => Observed::Known(Arc::default()),
            handle => handle
                .and_then(|handle| self.known.get(&handle).cloned())
                .unwrap_or(Observed::NotObservable),
        };
        Ok(rows.iter().map(remembered).collect())
    }

    fn walk(&mut self, rows: &[TableRow]) -> Result<Vec<Observed<Arc<[Owner]>>>, Error> {
        let begun = Instant::now();
        let owners = owners::named(system::holders(rows)?)?;
        let handles = rows.iter().map(|row| row.handle().unwrap_or(0));
        self.known =
            handles.zip(owners.iter().cloned()).filter(|(handle, _)| *handle != 0).collect();
        self.walked = Some((Instant::now(), begun.elapsed()));
        Ok(owners)
    }
}
