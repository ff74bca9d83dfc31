//! What goes through the sockets of this machine, as the kernel tells it (since Linux 6.3).
//!
//! The events have no ports, so that those of every TCP socket come. They have an instance of
//! their own: whatever floods that, no change of a state is overwritten.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::page::page;
use super::tracefs::{TraceInstance, Tracefs};
use super::transfer::{Transfer, TransferLayout, events};

/// The room that the buffers of all processors may take together: half a million calls.
const BUFFERS_KIB: usize = 16 * 1024;

/// The two events, enabled in an instance of their own.
#[derive(Debug)]
pub(crate) struct TrafficWitness {
    layout: TransferLayout,
    instance: TraceInstance,
    waiting: Vec<Transfer>,
    missed: bool,
    unknown: u64,
}

impl TrafficWitness {
    /// Enables the events in the instance `name`.
    pub(crate) fn open(tracefs: &Rc<Tracefs>, name: String) -> anyhow::Result<Self> {
        let instance = TraceInstance::new(tracefs, name, &events(), BUFFERS_KIB)
            .context("sock:sock_send_length cannot be enabled (it takes Linux 6.3)")?;
        let layout = TransferLayout::read(|path| instance.format(path))
            .context("cannot read the layout of sock:sock_send_length")?
            .ok_or_else(|| anyhow!("the layout of sock:sock_send_length is new"))?;
        Ok(Self { layout, instance, waiting: Vec::new(), missed: false, unknown: 0 })
    }

    /// Reads what the kernel has recorded, and returns what happened before `until`, in order.
    pub(crate) fn before(&mut self, until: Duration) -> std::io::Result<Vec<Transfer>> {
        let Self { layout, instance, waiting, missed, unknown } = self;
        instance.read(|bytes| match page(bytes) {
            Some(page) => {
                *missed |= page.missed;
                let records = page.records.into_iter();
                waiting.extend(records.filter_map(|(time, record)| layout.transfer(time, record)));
            }
            None => {
                *missed = true;
                *unknown = unknown.saturating_add(1);
            }
        })?;
        waiting.sort_by_key(|transfer| transfer.at);
        let later = waiting.partition_point(|transfer| transfer.at <= until);
        let rest = waiting.split_off(later);
        Ok(std::mem::replace(waiting, rest))
    }

    /// Returns true if records were lost since this was asked last.
    pub(crate) fn missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// How many records were lost so far, as the kernel counts them.
    pub(crate) fn lost(&self) -> std::io::Result<u64> {
        Ok(self.instance.lost()?.saturating_add(self.unknown))
    }
}
