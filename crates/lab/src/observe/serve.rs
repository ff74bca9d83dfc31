//! The lab's own server for a program that is observed: on another host, at any name and port.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use hello::Routes;
use netlab::{CablePlan, Host, SERVER_HOST};
use observe::{EverywhereLaw, NameAnswers, ObservedGround, ServerWords};
use server::{BACKLOG, OpenListener, Server, ServerEvent, ServerLimits, ServerMoment};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{ServeArgs, near_names};

/// The port of the server that `{url}` names.
const PORT: u16 = 80;

/// The words in a command that stand for the server.
const WORDS: [&str; 3] = ["{url}", "{host}", "{port}"];

/// The lab's server, while it serves.
#[derive(Debug)]
pub(super) struct LabServer {
    tally: Arc<ServedTally>,
}

/// What the server has seen.
#[derive(Debug, Default)]
struct ServedTally {
    accepted: AtomicU64,
    requests: AtomicU64,
}

impl server::Observer for ServedTally {
    fn event(&self, event: ServerEvent) {
        match event.moment {
            ServerMoment::Accepted => self.accepted.fetch_add(1, Ordering::Relaxed),
            ServerMoment::Request { .. } => self.requests.fetch_add(1, Ordering::Relaxed),
            _ => return,
        };
    }
}

impl LabServer {
    /// Makes the far host, and a server that listens at whichever of its ports is dialled.
    pub(super) fn start(args: &ServeArgs, ground: &mut ObservedGround) -> anyhow::Result<Self> {
        let tally = Arc::new(ServedTally::default());
        let (listeners, to_serve) = unbounded_channel();
        let place: Arc<OnceLock<Arc<Host>>> = Arc::default();
        let opener = opener(listeners, Arc::clone(&place));
        let plan = CablePlan { delay: args.round_trip / 2, ..CablePlan::default() };
        let names = NameAnswers::default();
        let law = EverywhereLaw::new(opener, names.clone());
        let host = ground.second_host(plan, Box::new(law))?;
        near_names::answer_here(move |question, _, back| {
            if let Some(answer) = names.answer(question) {
                back.answer(&answer);
            }
        });
        // Nothing passes the cable before the program is started.
        let _ = place.set(host);
        let (answer, limits) = (args.answer(), args.limits());
        let seen = Arc::clone(&tally);
        std::thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || serve(to_serve, &answer, limits, &seen))
            .context("cannot start the thread of the server")?;
        Ok(Self { tally })
    }

    /// What the server has seen up to now.
    pub(super) fn words(&self) -> ServerWords {
        ServerWords {
            accepted: self.tally.accepted.load(Ordering::Relaxed),
            requests: self.tally.requests.load(Ordering::Relaxed),
        }
    }
}

/// Listens on a port of the far host, before the SYN that asks for it arrives there.
fn opener(
    listeners: UnboundedSender<OpenListener>,
    place: Arc<OnceLock<Arc<Host>>>,
) -> observe::PortOpener {
    Box::new(move |port| {
        let Some(host) = place.get() else { return };
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        // Where nobody can listen, the kernel refuses, and the packets say so.
        if let Ok(Ok(open)) = host.run(move || OpenListener::open(address, BACKLOG)) {
            let _ = listeners.send(open);
        }
    })
}

fn serve(
    mut to_serve: UnboundedReceiver<OpenListener>,
    answer: &server::Answer,
    limits: ServerLimits,
    tally: &Arc<ServedTally>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let mut running = Vec::new();
        while let Some(open) = to_serve.recv().await {
            let Ok(server) = Server::on(open, answer.clone()) else { continue };
            let server = server
                .answered_by(Arc::new(Routes::new(answer.clone())))
                .limits(limits)
                .observed_by(Arc::<ServedTally>::clone(tally));
            running.push(server.start());
        }
    });
}

/// Returns true if a command names the lab's server.
pub(super) fn is_named_in(command: &[OsString]) -> bool {
    let named = |word: &OsString| {
        word.to_str().is_some_and(|word| WORDS.iter().any(|named| word.contains(named)))
    };
    command.iter().any(named)
}

/// Returns the command with the server's address in the place of these words.
pub(super) fn with_address(command: &[OsString]) -> Vec<OsString> {
    let host = SERVER_HOST.to_string();
    let values = [format!("http://{host}/"), host, PORT.to_string()];
    let replaced = |word: &OsString| match word.to_str() {
        Some(text) => {
            let put = |text: String, (word, value): (&str, &String)| text.replace(word, value);
            let text = WORDS.into_iter().zip(&values).fold(text.to_owned(), put);
            OsString::from(text)
        }
        None => AsRef::<OsStr>::as_ref(word).to_owned(),
    };
    command.iter().map(replaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_words_are_replaced_wherever_they_stand() {
        let command: Vec<OsString> =
            ["curl", "{url}a?b", "{host}:{port}", "{}"].map(OsString::from).to_vec();
        assert!(is_named_in(&command) && !is_named_in(&command[3..]));
        let expected = ["curl", "http://10.0.0.2/a?b", "10.0.0.2:80", "{}"];
        assert_eq!(with_address(&command), expected.map(OsString::from));
    }
}
