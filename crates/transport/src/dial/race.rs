//! One of several addresses: those of a family in turn, the two families against each other.
//!
//! The rules are those of Go's `net.Dialer`, a simpler kind of "Happy Eyeballs" (RFC 8305): the
//! family of the resolver's first address has a head start of 300 ms; then, or as soon as all its
//! addresses have failed, the other family is tried beside it. The first to connect wins.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use evidence::{ClientAddr, Moment, ServerAddr};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::dial::given_up::GIVEN_UP;
use crate::failure::error::Error;

/// How long the first family is tried alone (Go's `FallbackDelay`).
const HEAD_START: Duration = Duration::from_millis(300);

/// In which order addresses are tried.
#[derive(Debug, PartialEq, Eq)]
struct RacePlan {
    /// The first address, and all of its family.
    first: VecDeque<SocketAddr>,
    /// Those of the other family.
    other: VecDeque<SocketAddr>,
}

impl RacePlan {
    fn of(addresses: &[SocketAddr]) -> Self {
        let is_first = |address: &SocketAddr| {
            addresses.first().is_none_or(|first| first.is_ipv4() == address.is_ipv4())
        };
        let (first, other): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| is_first(a));
        Self { first: first.into(), other: other.into() }
    }
}

/// How much of the time that is left the next address gets, if so many are still to be tried: an
/// equal share, but not less than two seconds (Go's `partialDeadline`).
fn share(left: Duration, addresses: usize) -> Duration {
    const LEAST: Duration = Duration::from_secs(2);
    let equal = left / u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    equal.max(LEAST.min(left))
}

/// An established connection, and the address that it leads to.
pub(crate) struct Winner {
    pub(crate) stream: TcpStream,
    pub(crate) client: ClientAddr,
    pub(crate) server: ServerAddr,
}

/// The dial of one address.
pub(crate) type AddressDial<'a> =
    Pin<Box<dyn Future<Output = Result<(TcpStream, ClientAddr), Error>> + Send + 'a>>;

/// Connects to one of `addresses` before `deadline`: `connect` dials one of them within a limit,
/// `tell` hears when that starts and how it ends. `None` if there is no address.
///
/// # Errors
/// That of the first address, which Go too thinks the most relevant, if none lets itself be
/// connected to.
pub(crate) async fn run<'a>(
    addresses: &[SocketAddr],
    deadline: Instant,
    connect: impl Fn(SocketAddr, Duration) -> AddressDial<'a>,
    tell: impl Fn(Moment),
) -> Option<Result<Winner, Error>> {
    let RacePlan { first, other } = RacePlan::of(addresses);
    let first = FamilyLane { left: first, current: None, failure: None };
    let other = FamilyLane { left: other, current: None, failure: None };
    let mut lanes = FamilyLanes { first, other, tell };
    let mut head_start = std::pin::pin!(tokio::time::sleep(HEAD_START));
    let mut alone = true;
    let won = std::future::poll_fn(|cx| {
        let next = |address, lane_length| {
            let left = deadline.saturating_duration_since(Instant::now());
            connect(address, share(left, lane_length))
        };
        let FamilyLanes { first, other, tell } = &mut lanes;
        let first_over = match first.poll(cx, &next, tell) {
            Poll::Ready(Some(winner)) => return Poll::Ready(Some(winner)),
            Poll::Ready(None) => true,
            Poll::Pending => false,
        };
        alone = alone && !first_over && head_start.as_mut().poll(cx).is_pending();
        if alone {
            return Poll::Pending;
        }
        match other.poll(cx, &next, tell) {
            Poll::Ready(None) if !first_over => Poll::Pending,
            polled => polled,
        }
    })
    .await;
    let Some(winner) = won else {
        return lanes.first.failure.take().or(lanes.other.failure.take()).map(Err);
    };
    lanes.give_up(&format!("lost the race: {} connected first", winner.server));
    Some(Ok(winner))
}

/// Both families. Dropped before the race is over, they are given up.
struct FamilyLanes<'a, T: Fn(Moment)> {
    first: FamilyLane<'a>,
    other: FamilyLane<'a>,
    tell: T,
}

impl<T: Fn(Moment)> FamilyLanes<'_, T> {
    fn give_up(&mut self, because: &str) {
        for lane in [&mut self.first, &mut self.other] {
            if let Some((server, _given_up)) = lane.current.take() {
                (self.tell)(Moment::ConnectDone { server, result: Err(because.to_owned()) });
            }
        }
    }
}

impl<T: Fn(Moment)> Drop for FamilyLanes<'_, T> {
    fn drop(&mut self) {
        self.give_up(GIVEN_UP);
    }
}

/// The addresses of one family, of which one at a time is dialled.
struct FamilyLane<'a> {
    left: VecDeque<SocketAddr>,
    current: Option<(ServerAddr, AddressDial<'a>)>,
    /// Why the first address failed.
    failure: Option<Error>,
}

impl<'a> FamilyLane<'a> {
    /// Ready with the connection, or with nothing once every address has failed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        next: &impl Fn(SocketAddr, usize) -> AddressDial<'a>,
        tell: &impl Fn(Moment),
    ) -> Poll<Option<Winner>> {
        loop {
            let (server, attempt) = match &mut self.current {
                Some((server, attempt)) => (*server, attempt),
                None => {
                    let addresses = self.left.len();
                    let Some(address) = self.left.pop_front() else { return Poll::Ready(None) };
                    let server = ServerAddr::new(address);
                    tell(Moment::ConnectStart { server });
                    let attempt = next(address, addresses);
                    (server, &mut self.current.insert((server, attempt)).1)
                }
            };
            let result = std::task::ready!(attempt.as_mut().poll(cx));
            self.current = None;
            match result {
                Ok((stream, client)) => {
                    tell(Moment::ConnectDone { server, result: Ok(client) });
                    return Poll::Ready(Some(Winner { stream, client, server }));
                }
                Err(error) => {
                    tell(Moment::ConnectDone { server, result: Err(cause(&error)) });
                    self.failure.get_or_insert(error);
                }
            }
        }
    }
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::sync::Mutex;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_address_decides_which_family_is_tried_first() {
        let six = addresses(&["[::1]:1", "127.0.0.1:2", "[::2]:3", "127.0.0.2:4"]);
        let four = addresses(&["127.0.0.1:2", "[::1]:1", "127.0.0.2:4", "[::2]:3"]);
        let (of_six, of_four) = (RacePlan::of(&six), RacePlan::of(&four));
        assert_eq!(of_six.first, addresses(&["[::1]:1", "[::2]:3"]));
        assert_eq!(of_six.other, addresses(&["127.0.0.1:2", "127.0.0.2:4"]));
        assert_eq!((of_six.first, of_six.other), (of_four.other, of_four.first));
    }

    #[test]
    fn addresses_of_one_family_are_not_raced() {
        let plan = RacePlan::of(&addresses(&["127.0.0.1:2", "127.0.0.2:4"]));
        assert_eq!((plan.first.len(), plan.other.len()), (2, 0));
        let plan = RacePlan::of(&[]);
        assert_eq!((plan.first.len(), plan.other.len()), (0, 0));
    }

    #[test]
    fn the_time_left_is_shared_but_never_below_two_seconds() {
        let seconds = Duration::from_secs;
        for (left, addresses, expected) in
            [(30, 1, 30), (30, 3, 10), (30, 15, 2), (30, 23, 2), (3, 5, 2), (1, 5, 1), (0, 2, 0)]
        {
            assert_eq!(share(seconds(left), addresses), seconds(expected), "{left} s {addresses}");
        }
        assert_eq!(share(seconds(30), 0), seconds(30));
    }

    fn attempt<'a>(address: SocketAddr, limit: Duration) -> AddressDial<'a> {
        Box::pin(async move {
            let server = ServerAddr::new(address);
            let failed = |source| Error::Connect { server, source };
            let stream = tokio::time::timeout(limit, TcpStream::connect(address)).await;
            let stream =
                stream.map_err(|_| Error::ConnectTimedOut { server, limit })?.map_err(failed)?;
            let client = ClientAddr::new(stream.local_addr().map_err(failed)?);
            Ok((stream, client))
        })
    }

    /// The winner or the error, and the moments that were told, in words.
    async fn race(
        addresses: &[SocketAddr],
        within: Duration,
    ) -> (Option<Result<SocketAddr, String>>, Vec<String>) {
        let told: Mutex<Vec<String>> = Mutex::default();
        let name =
            |server: ServerAddr| addresses.iter().position(|a| *a == server.socket_addr()).unwrap();
        let tell = |moment| {
            Mutex::lock(&told).unwrap().push(match moment {
                Moment::ConnectStart { server } => format!("start {}", name(server)),
                Moment::ConnectDone { server, result: Ok(_) } => format!("done {}", name(server)),
                Moment::ConnectDone { server, result: Err(error) } => {
                    let error = if error.contains("refused") { "refused".into() } else { error };
                    format!("failed {}: {error}", name(server))
                }
                moment => moment.name().to_owned(),
            });
        };
        let winner = run(addresses, Instant::now() + within, attempt, tell).await;
        let winner = winner.map(|won| {
            won.map(|winner| winner.server.socket_addr()).map_err(|error| error.to_string())
        });
        (winner, told.into_inner().unwrap())
    }

    const LONG: Duration = Duration::from_secs(30);

    async fn listens() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address where nobody listens any more.
    async fn refuses() -> SocketAddr {
        listens().await.1
    }

    /// An address that does not answer: its queue for one connection holds one already.
    async fn is_silent() -> (TcpListener, TcpStream, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = TcpStream::connect(address).await.unwrap();
        (listener, waiting, address)
    }

    /// A listener at `::1`, if this machine has that address.
    async fn listens_v6() -> Option<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await;
        let Ok(listener) = listener else {
            eprintln!("SKIPPED: this machine has no ::1, so no two families can be raced");
            return None;
        };
        let address = listener.local_addr().unwrap();
        Some((listener, address))
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next() {
        let (_listener, second) = listens().await;
        let (winner, told) = race(&[refuses().await, second], LONG).await;
        assert_eq!(winner, Some(Ok(second)));
        assert_eq!(told, ["start 0", "failed 0: refused", "start 1", "done 1"]);
    }

    #[tokio::test]
    async fn if_all_fail_the_first_failure_is_told() {
        let (first, second) = (refuses().await, refuses().await);
        let (winner, told) = race(&[first, second], LONG).await;
        assert_eq!(winner, Some(Err(format!("cannot connect to {first}"))));
        assert_eq!(told.len(), 4);
        assert_eq!(race(&[], LONG).await, (None, Vec::new()));
    }

    #[tokio::test]
    async fn an_address_that_stays_silent_costs_its_share_of_the_time() {
        let (_silent, _waiting, first) = is_silent().await;
        let (_listener, second) = listens().await;
        let started = Instant::now();
        let (winner, told) = race(&[first, second], Duration::from_millis(4400)).await;
        assert_eq!(winner, Some(Ok(second)));
        assert!(started.elapsed() >= Duration::from_millis(2190), "{:?}", started.elapsed());
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[1].contains("no answer within 2."), "{told:?}");
    }

    #[tokio::test]
    async fn the_other_family_wins_after_300_ms_if_the_first_stays_silent() {
        let Some((_listener, six)) = listens_v6().await else { return };
        let (_silent, _waiting, four) = is_silent().await;
        let started = Instant::now();
        let (winner, told) = race(&[four, six], LONG).await;
        assert_eq!(winner, Some(Ok(six)));
        assert!(started.elapsed() >= HEAD_START, "{:?}", started.elapsed());
        let lost = format!("failed 0: lost the race: {six} connected first");
        assert_eq!(told, ["start 0", "start 1", "done 1", &lost]);
    }

    #[tokio::test]
    async fn the_other_family_is_tried_at_once_if_the_first_has_failed() {
        let Some((_listener, six)) = listens_v6().await else { return };
        let mut fastest = LONG;
        // A busy machine may take its time, but hardly ten times over.
        for _ in 0..10 {
            let started = Instant::now();
            let four = [refuses().await, refuses().await];
            let (winner, told) = race(&[four[0], six, four[1]], LONG).await;
            assert_eq!(winner, Some(Ok(six)));
            let refused = ["start 0", "failed 0: refused", "start 2", "failed 2: refused"];
            assert_eq!(told, [&refused[..], &["start 1", "done 1"]].concat());
            fastest = fastest.min(started.elapsed());
            if fastest < HEAD_START {
                return;
            }
        }
        panic!("the fastest of ten took {fastest:?}");
    }

    #[tokio::test]
    async fn the_first_family_wins_alone_if_it_answers() {
        let Some((_listener, six)) = listens_v6().await else { return };
        let (_second, four) = listens().await;
        for addresses in [[six, four], [four, six]] {
            let (winner, told) = race(&addresses, LONG).await;
            assert_eq!(winner, Some(Ok(addresses[0])));
            assert_eq!(told, ["start 0", "done 0"]);
        }
    }
}
