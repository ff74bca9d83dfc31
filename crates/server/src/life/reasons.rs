//! Where a close gets its reason.

use wire::FirstClose;

use evidence::ServerCloseReason;

/// All that is known so far of why one connection will end. Nobody else keeps a reason; once the
/// socket is let go of, [`settle`](Self::settle) says which it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseReasons {
    /// The reason for which it is ending. The first is the true one.
    given: Option<ServerCloseReason>,
    /// The reason for which it will end, once the response in flight is with the socket.
    planned: Option<ServerCloseReason>,
    /// The response is made, the request's body was not read: hyper may still swallow the rest.
    body_unread: bool,
    /// The server stops.
    stopping: bool,
}

impl CloseReasons {
    /// It ends for this reason, unless it does for another already.
    pub(crate) fn give(&mut self, reason: ServerCloseReason) {
        self.given.get_or_insert(reason);
    }

    /// The client is gone. A reset is no reason yet: it may answer the server's own close, and
    /// [`settle`](Self::settle) is told which it was.
    pub(crate) fn peer_left(&mut self, how: FirstClose) {
        if how == FirstClose::There {
            self.give(ServerCloseReason::ClientClosed);
        }
    }

    /// It will end after the response in flight.
    pub(crate) fn plan(&mut self, reason: ServerCloseReason) {
        self.planned.get_or_insert(reason);
    }

    /// A request is read; what became of the body of the one before is settled.
    pub(crate) fn request_begins(&mut self) {
        self.body_unread = false;
    }

    /// The request's body was let go of before its end.
    pub(crate) fn body_unread(&mut self) {
        self.body_unread = true;
    }

    /// The server stops: at once if no response is in flight, otherwise after it.
    pub(crate) fn stop(&mut self, is_between_exchanges: bool) {
        self.stopping = true;
        self.plan(ServerCloseReason::Stopping);
        if is_between_exchanges {
            self.give(ServerCloseReason::Stopping);
        }
    }

    /// The response in flight is with the socket; behind it may come the rest of a body that
    /// nobody wants. Returns true if the connection ends with that response.
    pub(crate) fn response_is_out(&mut self, rest_of_a_body_follows: bool) -> bool {
        if self.body_unread && rest_of_a_body_follows {
            self.plan(ServerCloseReason::RequestBodyUnread);
        }
        self.given = self.given.or(self.planned);
        self.planned.is_some()
    }

    /// Returns the reason for which a connection has ended, `first` being who closed first as the
    /// socket tells. `None` if nothing but the closed socket tells of it.
    ///
    /// What had been given comes first, but a reset before the server's own close comes before it:
    /// it is what the connection ended with, whatever was to come of it. If a
    /// response was in flight, a plan was not lived to see: then somebody left, or the server
    /// stopped, or the response broke off.
    pub(crate) fn settle(
        &self,
        first: FirstClose,
        response_in_flight: bool,
    ) -> Option<ServerCloseReason> {
        let left = match first {
            FirstClose::Reset => return Some(ServerCloseReason::ClientReset),
            FirstClose::There => Some(ServerCloseReason::ClientClosed), // seen by nobody before
            FirstClose::Here => None,
        };
        let stopping = self.stopping.then_some(ServerCloseReason::Stopping);
        let otherwise = if response_in_flight {
            left.or(stopping).or(Some(ServerCloseReason::Error))
        } else {
            let unread = self.body_unread.then_some(ServerCloseReason::RequestBodyUnread);
            self.planned.or(unread).or(left).or(stopping)
        };
        self.given.or(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FirstClose::{Here, Reset, There};

    fn reasons(known: impl FnOnce(&mut CloseReasons)) -> CloseReasons {
        let mut reasons = CloseReasons::default();
        known(&mut reasons);
        reasons
    }

    #[test]
    fn the_first_reason_counts_but_for_a_reset() {
        let mut known = reasons(|it| it.give(ServerCloseReason::IdleTimeout));
        known.peer_left(There);
        assert_eq!(known.settle(Here, false), Some(ServerCloseReason::IdleTimeout));
        assert_eq!(known.settle(Reset, false), Some(ServerCloseReason::ClientReset));
        known.peer_left(Reset);
        let lingering = known.settle(Here, false);
        assert_eq!(lingering, Some(ServerCloseReason::IdleTimeout), "a reset after the close");
    }

    #[test]
    fn a_plan_that_its_response_did_not_live_to_see_is_no_reason() {
        let mut known = reasons(|it| it.plan(ServerCloseReason::ServerSaidClose));
        assert_eq!(known.settle(There, true), Some(ServerCloseReason::ClientClosed));
        assert_eq!(known.settle(Here, true), Some(ServerCloseReason::Error));
        known.stop(false);
        assert_eq!(known.settle(Here, true), Some(ServerCloseReason::Stopping));
        assert_eq!(known.settle(Here, false), Some(ServerCloseReason::ServerSaidClose));
    }

    #[test]
    fn a_body_that_nobody_read_ends_its_connection_only_if_more_of_it_comes() {
        let mut known = reasons(CloseReasons::body_unread);
        assert!(!known.response_is_out(false), "hyper swallows what has come");
        assert!(known.response_is_out(true));
        assert_eq!(known.settle(Here, false), Some(ServerCloseReason::RequestBodyUnread));
        let mut next = reasons(CloseReasons::body_unread);
        next.request_begins();
        assert_eq!(next.settle(Here, false), None);
    }

    #[test]
    fn nobody_but_the_socket_knows_of_an_idle_connection_that_is_closed() {
        assert_eq!(
            CloseReasons::default().settle(There, false),
            Some(ServerCloseReason::ClientClosed)
        );
        assert_eq!(CloseReasons::default().settle(Here, false), None);
    }
}
