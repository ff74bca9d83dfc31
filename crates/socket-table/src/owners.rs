//! The processes that hold sockets, by name.

use std::collections::HashMap;
use std::sync::Arc;

use evidence::{Observed, Owner};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::Error;

/// The processes that hold a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketHolders {
    /// These processes, in the order of their ids.
    Pids(Vec<u32>),
    /// A process that this user may not look into.
    Hidden,
}

/// Puts names to process ids. A process that is gone by now is left out.
pub(crate) fn named(holders: Vec<SocketHolders>) -> Result<Vec<Observed<Arc<[Owner]>>>, Error> {
    let names = names_of(&holders)?;
    let owner = |pid: u32| Some(Owner { pid, process: names.get(&pid)?.clone() });
    let named = holders.into_iter().map(|holders| match holders {
        SocketHolders::Pids(pids) => Observed::Known(pids.into_iter().filter_map(owner).collect()),
        SocketHolders::Hidden => Observed::NotObservable,
    });
    Ok(named.collect())
}

fn names_of(holders: &[SocketHolders]) -> Result<HashMap<u32, String>, Error> {
    let mut pids: Vec<Pid> = holders
        .iter()
        .flat_map(|holders| match holders {
            SocketHolders::Pids(pids) => pids.as_slice(),
            SocketHolders::Hidden => &[],
        })
        .map(|&pid| Pid::from_u32(pid))
        .collect();
    pids.sort_unstable();
    pids.dedup();
    if pids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut system =
        System::new().map_err(|source| Error::ProcessesUnreadable { source: source.into() })?;
    let names_only = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, names_only);
    let names = system.processes().iter();
    Ok(names.map(|(pid, p)| (pid.as_u32(), p.name().to_string_lossy().into_owned())).collect())
}
