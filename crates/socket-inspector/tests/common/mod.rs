//! What several tests need.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::net::TcpListener;

use socket_table::{SocketFilter, snapshot};

/// A listener on a port that no connection of the past still has.
///
/// `SO_REUSEADDR`, which the standard library sets, lets the system pick a port whose last server
/// still has connections in `TIME_WAIT`.
pub fn unhaunted_listener() -> TcpListener {
    unhaunted_listener_at("127.0.0.1:0").unwrap()
}

/// The same at another address; `None` where there is no such address.
pub fn unhaunted_listener_at(address: &str) -> Option<TcpListener> {
    let mut haunted = Vec::new();
    loop {
        let listener = TcpListener::bind(address).ok()?;
        let port = listener.local_addr().unwrap().port();
        if snapshot(&SocketFilter::default().port(port)).unwrap().sockets.len() == 1 {
            return Some(listener);
        }
        haunted.push(listener); // keeps the system from picking it again
        assert!(haunted.len() < 1000, "no port without a past");
    }
}
