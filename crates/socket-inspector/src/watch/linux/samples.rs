//! Sockets, and looks at them, for tests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evidence::{Observed, Owner, Side, Socket, SocketTable, TcpState, Timer, TimerKind};
use socket_table::{SocketLedger, TableLook};

use super::app::WatchApp;

/// The client's end of a connection from port 40000 and something.
pub(crate) fn client(port: u16, state: TcpState) -> Socket {
    socket(port, state, Side::Client)
}

/// The server's end of it.
pub(crate) fn server(port: u16, state: TcpState) -> Socket {
    socket(port, state, Side::Server)
}

fn socket(port: u16, state: TcpState, side: Side) -> Socket {
    let client = SocketAddr::from(([127, 0, 0, 1], 40000 + port));
    let server = SocketAddr::from(([127, 0, 0, 1], 8080));
    let (local, peer, pid, process) = match side {
        Side::Client => (client, server, 4711, "curl"),
        Side::Server => (server, client, 4712, "hello"),
    };
    let waits = state == TcpState::TimeWait;
    let timer = Timer { kind: TimerKind::TimeWait, left: Duration::from_millis(57_300) };
    let owner = Owner { pid, process: process.to_owned() };
    Socket {
        local,
        peer,
        state,
        side: Some(side),
        recv_queue: Observed::Known(0),
        send_queue: Observed::Known(0),
        timer: Observed::Known(waits.then_some(timer)),
        cookie: Observed::NotObservable,
        owners: Observed::Known(if waits { [].into() } else { [owner].into() }),
    }
}

/// An application that has looked at these sockets, one look a second.
pub(crate) fn looked(looks: &[Vec<Socket>]) -> (WatchApp, SocketLedger) {
    let begun = Instant::now();
    let mut ledger = SocketLedger::default();
    let about = "with port 8080 at either end".to_owned();
    let mut app = WatchApp::new(about, Duration::from_secs(1), begun);
    for (number, sockets) in looks.iter().enumerate() {
        take_in(&mut app, &mut ledger, sockets, begun + Duration::from_secs(number as u64));
    }
    (app, ledger)
}

/// Has it look once more.
pub(crate) fn take_in(
    app: &mut WatchApp,
    ledger: &mut SocketLedger,
    sockets: &[Socket],
    at: Instant,
) {
    let found = if at == app.begun { sockets.to_vec() } else { vec![] };
    let changes = ledger.record(sockets, at);
    let table = SocketTable { sockets: sockets.to_vec() };
    let look = TableLook { table, found, changes, unattributed: 0, since: None, at };
    app.take_in(&look, ledger);
}
