//! Who hears what, if several observe and each wants something else.

mod common;

use std::sync::{Arc, Mutex};

use common::{Site, answer, bind};
use server::{ConnState, Observer, ObserverWants, ServedExchange, ServerEvent, ServerMoment};

/// Hears what it wants.
struct Ear {
    wants: ObserverWants,
    heard: Mutex<Vec<ServerMoment>>,
}

impl Observer for Ear {
    fn event(&self, event: ServerEvent) {
        self.heard.lock().unwrap().push(event.moment);
    }

    fn wants(&self) -> ObserverWants {
        self.wants
    }
}

impl Ear {
    fn at(site: common::Bound, wants: ObserverWants) -> (Site, Arc<Self>) {
        let ear = Arc::new(Self { wants, heard: Mutex::default() });
        let observer = Arc::clone(&ear);
        (Site::of(site.map(|server| server.observed_by(observer))), ear)
    }

    fn heard<T>(&self, of: impl Fn(&ServerMoment) -> Option<T>) -> Vec<T> {
        self.heard.lock().unwrap().iter().filter_map(of).collect()
    }
}

const ALL: ObserverWants = ObserverWants {
    states: true,
    tcp: true,
    steps: true,
    exchanges: true,
    traffic: true,
    bytes: true,
};

#[test]
fn an_observer_hears_no_more_than_it_wants_whatever_others_want() {
    let (site, ear) = Ear::at(bind(answer()).1, ALL);
    let mut client = site.connect();
    client.get("/");
    drop(client);
    assert_eq!(site.story().len(), 4, "accepted, request, done, closed");
    let all = ear.heard(|moment| Some(moment.clone()));
    assert!(all.len() > 12, "{all:?}");
    assert!(all.iter().all(|moment| ALL.covers(moment)));
}

#[test]
fn a_connection_is_idle_between_exchanges_and_not_after_the_last() {
    let (site, ear) =
        Ear::at(bind(answer()).1, ObserverWants { states: true, ..ObserverWants::default() });
    let mut client = site.connect();
    client.get("/");
    client.get("/?close");
    client.sees_the_close().unwrap();
    site.until_closed(1);
    let states = ear.heard(|moment| match moment {
        ServerMoment::State { to, .. } => Some(*to),
        _ => None,
    });
    use ConnState::{Active, Closed, Idle, New};
    assert_eq!(states, [New, Active, Idle, Active, Closed]);
}

#[test]
fn pipelined_requests_keep_their_own_lengths() {
    let (site, ear) = Ear::at(bind(answer()).1, ALL);
    let mut client = site.connect();
    client.send(
        "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nHello\
         GET /three HTTP/1.1\r\nHost: abc\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    client.response();
    client.response();
    client.head();
    drop(client);
    site.until_closed(1);
    let heads = ear.heard(|moment| match moment {
        ServerMoment::RequestHead(head) => Some((head.number, head.bytes)),
        _ => None,
    });
    assert_eq!(heads, [(1, Some(50)), (2, Some(34)), (3, Some(28))]);
    let bodies = ear.heard(|moment| match moment {
        ServerMoment::ResponseWritten { number, body, .. } => Some((*number, body.bytes)),
        _ => None,
    });
    assert_eq!(bodies.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((bodies[1].1, bodies[2].1), (11, 0), "HEAD has no body, whatever its head says");
}

#[test]
fn an_exchange_is_summed_up_when_it_is_over() {
    let wants = ObserverWants { exchanges: true, ..ObserverWants::default() };
    let (site, ear) = Ear::at(bind(answer()).1, wants);
    let mut client = site.connect();
    client.get("/?bytes=100003&chunked");
    client.ask("GET", "/?delay=1h");
    site.until_requests(2);
    drop(client);
    site.until_closed(1);
    let exchanges: Vec<ServedExchange> = ear.heard(|moment| match moment {
        ServerMoment::Exchange(exchange) => Some(ServedExchange::clone(exchange)),
        _ => None,
    });
    let [answered, given_up] = &exchanges[..] else { panic!("{exchanges:?}") };
    assert_eq!((answered.body_bytes, answered.complete), (100_003, true));
    assert_eq!((given_up.status, given_up.complete), (None, false));
}
