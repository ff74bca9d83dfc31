//! Sockets in depth, without the walk through all processes: cheap enough to be read many times.

use evidence::{Inspected, Observed};

use crate::system::Row;
use crate::{Error, Filter, rows};

/// Lists what [`crate::inspect`] lists, without the processes that hold the sockets and without
/// their control groups: both are [`Observed::NotObservable`].
///
/// It asks the kernel, and nobody else, as [`crate::snapshot`] does; the answer is some three times
/// as long.
///
/// # Errors
/// Those of [`crate::snapshot`].
pub fn inspect_without_owners(filter: &Filter) -> Result<Vec<Inspected>, Error> {
    let in_depth = rows(filter, true)?.into_iter().map(Row::in_depth);
    let inspected = in_depth.map(|(socket, info, _)| Inspected {
        socket,
        info,
        cgroup: Observed::NotObservable,
    });
    Ok(inspected.collect())
}
