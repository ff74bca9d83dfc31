//! Name servers at loopback addresses, such as systemd's at 127.0.0.53: in a private network nobody is
//! there, unless the lab is.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// Says which name servers this machine asks.
const RESOLVER: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// Longer questions are none.
const LONGEST: usize = 4096;

/// The way back to whoever has asked.
#[derive(Clone, Debug)]
pub(super) struct QuestionerAddr {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
}

impl QuestionerAddr {
    /// Sends the answer.
    pub(super) fn answer(&self, answer: &[u8]) {
        // Who has asked may be gone.
        let _ = self.socket.send_to(answer, self.address);
    }
}

/// Answers with `answer` the questions that are put to loopback addresses of this network. Where this
/// machine asks other name servers, the questions pass the cable.
pub(super) fn answer_here(
    answer: impl FnMut(&[u8], SocketAddr, QuestionerAddr) + Clone + Send + 'static,
) {
    let text = std::fs::read_to_string(RESOLVER).unwrap_or_default();
    for server in servers(&text) {
        // Where something else listens already, the program asks that.
        let Ok(socket) = UdpSocket::bind(server) else { continue };
        let (socket, mut answer) = (Arc::new(socket), answer.clone());
        let thread = std::thread::Builder::new().name("names".to_owned());
        // Without the thread, questions stay unanswered, as without this file.
        let _ = thread.spawn(move || {
            let mut question = [0; LONGEST];
            while let Ok((length, address)) = socket.recv_from(&mut question) {
                let back = QuestionerAddr { socket: Arc::clone(&socket), address };
                answer(question.get(..length).unwrap_or_default(), server, back);
            }
        });
    }
}

/// The name servers at loopback addresses; without any server the system asks 127.0.0.1
/// (`resolv.conf(5)`).
fn servers(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let named: Vec<IpAddr> = named.filter_map(|address| address.trim().parse().ok()).collect();
    let all = if named.is_empty() { vec![IpAddr::from([127, 0, 0, 1])] } else { named };
    let near = all.into_iter().filter(IpAddr::is_loopback);
    near.map(|address| (address, PORT).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_at_loopback_addresses_are_answered_here() {
        let text = "# by systemd\nnameserver 127.0.0.53\nnameserver 10.0.0.7\noptions edns0\n";
        assert_eq!(servers(text), ["127.0.0.53:53".parse().unwrap()]);
        assert_eq!(servers("nameserver 8.8.8.8\n"), []);
        assert_eq!(servers(""), ["127.0.0.1:53".parse().unwrap()]);
    }
}
