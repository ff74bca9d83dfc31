//! The way of a connection back to the pool, or to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evidence::{CloseReason, ExchangeId, Moment, NotPooled};
use http_body::Body as _;
use tokio::runtime::Handle;

use crate::expect::Withheld;
use crate::failure::error::Error;
use crate::pool::{Lease, Pool};
use crate::read_ahead::AskedBody;
use crate::rules;
use crate::seen::record::Record;
use crate::seen::trace::Tracer;

/// The right and the duty of a body to give its connection back.
pub(crate) struct GiveBack {
    pub(crate) lease: Lease,
    /// Allows another exchange, or says why not.
    pub(crate) fate: Result<(), NotPooled>,
    pub(crate) exchange: ExchangeId,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tracer: Tracer,
    /// Where what cannot be done in a destructor is done.
    pub(crate) runtime: Handle,
    /// Keeps the connection of a request whose body is not sent until the response is read.
    pub(crate) _withheld: Option<Withheld>,
}

impl GiveBack {
    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.lease.record
    }

    /// The body was read to its end: the connection goes to the pool, once hyper has done with
    /// the request, or is refused.
    pub(crate) async fn at_the_end(mut self) {
        if let Err(refused) = self.fate {
            return self.refuse(refused);
        }
        match tokio::time::timeout(rules::BUSY_GRACE, self.lease.sender.ready()).await {
            Ok(Ok(())) => {
                let Self { lease, exchange, pool, tracer, .. } = self;
                lease.record.exchange_is_over();
                // Before somebody else has it and wants the next response.
                lease.demand.nothing();
                let (at, id) = (Instant::now(), lease.record.info.id);
                let refused = pool.put(lease).err();
                tracer.tell_at(at, Some(exchange), Some(id), || Moment::PutIdleConn { refused });
            }
            Ok(Err(_)) => self.refuse(NotPooled::ConnectionBroken),
            Err(_) => {
                // Still busy with the request: letting go of the lease would not stop hyper.
                let lease = self.tell_refusal(NotPooled::ConnectionBroken);
                lease.kill(CloseReason::NotPooled(NotPooled::ConnectionBroken));
            }
        }
    }

    /// The connection is not pooled, for this reason or for the one that was known before.
    pub(crate) fn refuse(self, refused: NotPooled) {
        let refused = self.fate.err().unwrap_or(refused);
        self.tell_refusal(refused).close(CloseReason::NotPooled(refused));
    }

    fn tell_refusal(self, refused: NotPooled) -> Lease {
        let Self { lease, exchange, tracer, .. } = self;
        tracer.tell(Some(exchange), Some(lease.record.info.id), || Moment::PutIdleConn {
            refused: Some(refused),
        });
        lease
    }

    /// The body failed: there is nothing to give back.
    pub(crate) fn fail(self, error: &Error) {
        self.lease.close(error.reason());
    }

    /// Tells what is left of the body is read in the background, within limits.
    pub(crate) async fn drain(self, mut rest: AskedBody, limit: u64, time: Duration) {
        use http_body_util::BodyExt;
        let mut read = 0;
        let to_the_end = async {
            while let Some(frame) = rest.frame().await {
                let Ok(frame) = frame else { return false };
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > limit {
                    return false;
                }
            }
            true
        };
        match tokio::time::timeout(time, to_the_end).await {
            Ok(true) => self.at_the_end().await,
            Ok(false) | Err(_) => {
                let left = rest.size_hint().exact();
                self.refuse(NotPooled::BodyUnread { left });
            }
        }
    }
}
